"""Says what is wrong with a bill of materials.

    check.py PROGRAM FILE

In goes CycloneDX as JSON; out comes an error for each crate that is linked into the program, or runs while it is compiled, and is not in it
once, with the version, licence and checksum that Cargo.lock and the crates have; for each that is in it and does neither; and for each whose
dependencies are not told. Cargo is asked what is linked, another way than by whoever wrote the bill. Whether the file keeps to the schema of
CycloneDX is not judged here.
"""

import collections
import functools
import json
import subprocess
import sys
import tomllib

TREE = ["cargo", "tree", "--locked", "--prefix", "none", "--format", "{p}|{l}"]
# No dependencies of tests, nothing that runs while compiling.
LINKED = "normal,no-proc-macro"
USED = "normal,build"


@functools.cache
def listed(program, edges):
    """The crates a program needs: (name, version, licence, whether it is one of others)."""
    tree = [*TREE, "--package", program, "--edges", edges]
    found = set()
    for line in subprocess.run(tree, check=True, capture_output=True, text=True).stdout.splitlines():
        package, licence = line.removesuffix(" (*)").split("|")
        name, version, *where = package.split(" ", 2)
        # What runs while compiling says so behind its version.
        foreign = not [it for it in where if it.startswith("(/")]
        found.add((name, version.removeprefix("v"), licence.removesuffix(" (*)"), foreign))
    return sorted(found)


def checksums():
    with open("Cargo.lock", "rb") as lock:
        return {(it["name"], it["version"]): it.get("checksum") for it in tomllib.load(lock)["package"]}


def licence_of(component):
    for licence in component.get("licenses", []):
        return licence.get("expression") or licence["license"].get("id") or licence["license"].get("name")


def flaws(program, bill):
    locked = checksums()
    components = {(it["name"], it["version"]): it for it in bill.get("components", [])}
    about = bill["metadata"]["component"]
    if about["name"] != program:
        yield f"it is of {about['name']}"
    parts = [about, *about.get("components", [])]
    linked = {crate[:2] for crate in listed(program, LINKED)}
    used = listed(program, USED)
    for key in components.keys() - {crate[:2] for crate in used}:
        yield f"{' '.join(key)} is in it, and of no use to it"
    for key, times in collections.Counter((it["name"], it["version"]) for it in bill.get("components", [])).items():
        if times > 1:
            yield f"{' '.join(key)} is in it {times} times"
    yield from untold(parts, bill)
    for name, version, licence, foreign in used:
        if name == program:
            if version not in [it["version"] for it in parts]:
                yield f"it is of another version than {version}"
            continue
        component = components.get((name, version))
        if component is None:
            yield f"{name} {version} is {'linked' if (name, version) in linked else 'used'} and not in it"
            continue
        if (name, version) in linked and component.get("scope") != "required":
            yield f"{name} {version} is linked, and not said to be"
        if component.get("purl", "").split("?")[0] != f"pkg:cargo/{name}@{version}":
            yield f"{name} {version} is found elsewhere: {component.get('purl')}"
        said = licence_of(component)
        if normal(said) != normal(licence):
            yield f"{name} {version} has the licence {licence}, and not {said}"
        hashes = [it["content"] for it in component.get("hashes", []) if it["alg"] == "SHA-256"]
        if foreign and hashes != [locked[name, version]]:
            yield f"{name} {version} has the checksum {locked[name, version]}, and not {hashes}"


def untold(parts, bill):
    """Crates whose dependencies are not told, and dependencies that are none of the crates."""
    crates = {it["bom-ref"] for it in bill.get("components", [])}
    told = {it["ref"]: it.get("dependsOn", []) for it in bill.get("dependencies", [])}
    for ref in sorted(crates - told.keys()):
        yield f"what {ref} depends on is not told"
    for ref, on in told.items():
        for other in [it for it in on if it not in crates]:
            yield f"{ref} depends on {other}, which is not in it"
    if not any(told.get(it["bom-ref"]) for it in parts):
        yield "what the program depends on is not told"


def normal(licence):
    """Old manifests have a stroke for OR."""
    return " ".join((licence or "").replace("/", " OR ").split())


def main():
    program, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        text = file.read()
    bill = json.loads(text)
    found = list(flaws(program, bill))
    for flaw in found:
        print(f"{path}: {flaw}", file=sys.stderr)
    if found:
        sys.exit(1)
    print(f"{program}: {len(bill['components'])} crates")


if __name__ == "__main__":
    main()
