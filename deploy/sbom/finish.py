"""Makes of a bill of materials one that is the same wherever it is written.

    finish.py PROGRAM PLACE FILE OUTPUT

In goes CycloneDX as JSON, written below the directory PLACE; out comes the same with the name of that place replaced, without crates that are for
other members of the workspace (whoever writes it knows the features of all together), what has no order put into one, and a serial number that
is made of the rest.
"""

import json
import subprocess
import sys
import uuid

# What the numbers are made below: any fixed one.
NAMESPACE = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")


# What is linked, and what runs while compiling.
TREE = ["cargo", "tree", "--locked", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"]


def used(program):
    lines = subprocess.run([*TREE, "--package", program], check=True, capture_output=True, text=True).stdout.splitlines()
    return {(name, version.removeprefix("v")) for name, version, *_ in (line.split(" ") for line in lines if line)}


def without_others(bill, program):
    of_program = used(program)
    others = {it["bom-ref"] for it in bill["components"] if (it["name"], it["version"]) not in of_program}
    bill["components"] = [it for it in bill["components"] if it["bom-ref"] not in others]
    bill["dependencies"] = [it for it in bill["dependencies"] if it["ref"] not in others]
    for it in bill["dependencies"]:
        if "dependsOn" in it:
            it["dependsOn"] = sorted(ref for ref in it["dependsOn"] if ref not in others)


def main():
    program, place, path, output = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        bill = json.loads(file.read().replace(place, "/culvert"))
    bill.pop("serialNumber", None)
    without_others(bill, program)
    for unordered, name in (("components", "bom-ref"), ("dependencies", "ref")):
        bill[unordered].sort(key=lambda it: it[name])
    bill["serialNumber"] = f"urn:uuid:{uuid.uuid5(NAMESPACE, json.dumps(bill, sort_keys=True))}"
    with open(output, "w", encoding="utf-8") as file:
        json.dump(bill, file, indent=2)
        file.write("\n")


main()
