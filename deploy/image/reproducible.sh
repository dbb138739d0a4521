#!/bin/sh
# Builds programs twice, as two people on two machines would, and fails when they are not the same, byte for byte.
#   reproducible.sh [PROGRAM...]     CARGO_PROFILE_RELEASE_LTO=off has it sooner, of other bytes
#
# The second build has another place, depth, home, name of the user, date, time zone, language, set of rights and number of jobs, and crates that are
# unpacked anew. Compilers and linker are the same: whoever wants the same bytes takes those of the same image (docs/supply-chain.md).
set -eu
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- culvert-node culvert-agent culvert-control culvert
here=$(pwd -P)
work=$here/target/reproducible
cargo_home=$(cd "${CARGO_HOME:-$HOME/.cargo}" && pwd -P)
rustup_home=${RUSTUP_HOME:-$HOME/.rustup}

# What git knows, as it is here.
copy_source() {
    mkdir -p "$1"
    git ls-files -z | tar -c --null --ignore-failed-read -T - | tar -x -C "$1"
}

# What cargo has downloaded; it is unpacked there anew.
copy_crates() {
    mkdir -p "$1/registry"
    cp -r "$cargo_home/registry/cache" "$cargo_home/registry/index" "$1/registry"
}

# Where nothing can be preloaded this is an error, and no check that sees nothing.
another_year() {
    cc -shared -fPIC -O2 -o "$work/another_year.so" deploy/image/another_year.c
    ahead=$(($(LD_PRELOAD="$work/another_year.so" date +%s) - $(date +%s)))
    [ "$ahead" -gt 30000000 ] || { echo "reproducible.sh: the second build's clock is $ahead s ahead, and not a year" >&2; exit 1; }
}

# Programs that differ, and what is said in one of them alone.
explain() {
    echo "DIFFERENT: $1 $2; texts in one of them alone:"
    for built in "$1" "$2"; do strings -n 8 "$built" | LC_ALL=C sort -u >"$built.strings"; done
    LC_ALL=C comm -3 "$1.strings" "$2.strings" | head -n 20
}

cargo fetch --quiet --locked
rm -rf "$work"
mkdir -p "$work"
another_year

# Both before the first build, for that takes long enough for somebody to change a file.
one=$work/one
other=$work/of-another/person/entirely
copy_source "$one/source"
(umask 077 && copy_source "$other/culvert" && copy_crates "$other/home/.cargo")

"$one/source/deploy/image/build.sh" "$one/built" "$@"
rm -rf "$one/built/target"
(
    umask 077
    export HOME="$other/home" CARGO_HOME="$other/home/.cargo" RUSTUP_HOME="$rustup_home" USER=another LOGNAME=another
    export TZ=Pacific/Auckland LC_ALL=C CARGO_NET_OFFLINE=true CARGO_BUILD_JOBS="$(($(nproc) + 1))"
    LD_PRELOAD="$work/another_year.so" "$other/culvert/deploy/image/build.sh" "$other/built" "$@"
)
rm -rf "$other/built/target" "$other/home"

status=0
for program in "$@"; do
    if cmp -s "$one/built/$program" "$other/built/$program"; then
        echo "same: $(sha256sum "$one/built/$program" | cut -d' ' -f1) $program"
    else
        status=1
        explain "$one/built/$program" "$other/built/$program"
    fi
    # The same twice is not enough where both had it from the same machine.
    for place in "$here" "$cargo_home" "$rustup_home"; do
        if grep -aqF "$place" "$one/built/$program"; then
            status=1
            echo "A PLACE OF THIS MACHINE is in $program: $(strings "$one/built/$program" | grep -F -m 1 "$place")"
        fi
    done
done
exit $status
