"""Says whether the check of bills of materials finds what it should.

    falsify.py PROGRAM FILE

In goes a bill that is right; out comes an error for each way to falsify it that check.py has nothing against.
"""

import copy
import json
import sys

import check


def of(components, program, edges):
    """A crate of others of that kind."""
    wanted = {crate[:2] for crate in edges if crate[3] and crate[0] != program}
    return next(it for it in components if (it["name"], it["version"]) in wanted)


def falsified(program, bill):
    """What is wrong, and a bill of which that is true."""
    linked = check.listed(program, check.LINKED)
    compiling = [crate for crate in check.listed(program, check.USED) if crate not in linked]
    for kind, edges in (("linked", linked), ("used while compiling", compiling)):
        for what, change in CHANGES.items():
            other = copy.deepcopy(bill)
            change(other, of(other["components"], program, edges))
            yield f"a crate that is {kind} {what}", other
    for what, change in CHANGES_OF_LINKED.items():
        other = copy.deepcopy(bill)
        change(other, of(other["components"], program, linked))
        yield what, other


def without(bill, component):
    bill["components"].remove(component)


def untold(bill, component):
    bill["dependencies"] = [it for it in bill["dependencies"] if it["ref"] != component["bom-ref"]]


CHANGES = {
    "is missing": without,
    "is there twice": lambda bill, it: bill["components"].append(it),
    "has another version": lambda bill, it: it.update(version="0.0.0"),
    "has another licence": lambda bill, it: it.update(licenses=[{"expression": "LicenseRef-None"}]),
    "has no licence": lambda bill, it: it.pop("licenses"),
    "has another checksum": lambda bill, it: it["hashes"][0].update(content="00" * 32),
    "has no checksum": lambda bill, it: it.pop("hashes"),
    "is found elsewhere": lambda bill, it: it.update(purl="pkg:cargo/another@0.0.0"),
    "does not tell what it needs": untold,
}

CHANGES_OF_LINKED = {
    "a crate that is linked is optional": lambda bill, it: it.update(scope="optional"),
    "a crate that is linked says nothing of that": lambda bill, it: it.pop("scope"),
    "a crate is of no use": lambda bill, it: it.update(name="of-no-use"),
    "something is needed that is not there": lambda bill, it: bill["dependencies"][0].update(dependsOn=["nowhere"]),
    "nothing is needed": lambda bill, it: bill.update(dependencies=[]),
    "there are no crates": lambda bill, it: bill.update(components=[]),
    "it is of another program": lambda bill, it: bill["metadata"]["component"].update(name="another"),
    "it is of another version": lambda bill, it: [
        part.update(version="0.0.0")
        for part in (bill["metadata"]["component"], *bill["metadata"]["component"].get("components", []))
    ],
}


def main():
    program, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        bill = json.load(file)
    missed = [what for what, other in falsified(program, bill) if not list(check.flaws(program, other))]
    for what in missed:
        print(f"{path}: when {what}, nobody notices", file=sys.stderr)
    if missed:
        sys.exit(1)


main()
