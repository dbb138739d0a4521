#!/bin/sh
# Writes what each program is built of into target/sbom/PROGRAM.cdx.json, as CycloneDX, and checks it,
# and that the check finds what is wrong with one that was falsified.
#   write.sh PROGRAM...
# It is the same each time for the same source: its date is that of the commit, and its number is made of what is in it.
set -eu
cd "$(dirname "$0")/../.."
out=$PWD/target/sbom
mkdir -p "$out"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

# The tool writes beside each manifest, so it has copies to write into.
places=$(mktemp -d)
trap 'rm -rf "$places"' EXIT
for place in "$places/one" "$places/of-another/person"; do
    mkdir -p "$place"
    git ls-files -z | tar -c --null -T - | tar -x -C "$place"
    (cd "$place" && cargo cyclonedx --quiet --format json --spec-version 1.5 --describe binaries)
done

for program in "$@"; do
    for place in "$places/one" "$places/of-another/person"; do
        found=$(find "$place" -name "${program}_bin.cdx.json")
        [ -n "$found" ] || { echo "sbom: nothing was written for $program" >&2; exit 1; }
        python3 deploy/sbom/finish.py "$program" "$place" "$found" "$place/$program.cdx.json"
    done
    cmp "$places/one/$program.cdx.json" "$places/of-another/person/$program.cdx.json"
    python3 deploy/sbom/check.py "$program" "$places/one/$program.cdx.json"
    python3 -B deploy/sbom/falsify.py "$program" "$places/one/$program.cdx.json"
    mv "$places/one/$program.cdx.json" "$out/$program.cdx.json"
done
