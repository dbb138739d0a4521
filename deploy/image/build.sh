#!/bin/sh
# Builds programs as they are in images: for speed, static, and the same bytes wherever that is done.
#   build.sh DIRECTORY PROGRAM...     into DIRECTORY, which is made; BUILD_FLAGS are more words for cargo
#
# What would tell one place from another are names of directories, in messages of panics and in what is generated while compiling: they are
# replaced by names that are the same everywhere. AWS-LC, which is C, sees to that itself where it is built for speed, and there alone.
set -eu
[ $# -ge 2 ] || { echo "usage: build.sh DIRECTORY PROGRAM..." >&2; exit 2; }

# Compilers are told the real path, whatever links lead here.
real() { mkdir -p "$1" && cd "$1" && pwd -P; }
output=$(real "$1")
shift
CARGO_HOME=$(real "${CARGO_HOME:-$HOME/.cargo}")
export CARGO_HOME
cd "$(dirname "$0")/../.."
source=$(pwd -P)

host=$(rustc -vV | sed -n 's/^host: //p')

# Between flags there is a character that no path of theirs has. Of two names that fit, the later one counts: what is built may be in the source.
flags=$(printf '%s\037' -Ctarget-feature=+crt-static "--remap-path-prefix=$source=/culvert" "--remap-path-prefix=$CARGO_HOME=/cargo" \
    "--remap-path-prefix=$output=/built")
unset RUSTFLAGS CFLAGS
# One at a time: those that are built together have each other's features of crates, and are other programs then. A target of its own name
# keeps the flags away from what runs while compiling.
for program in "$@"; do
    # shellcheck disable=SC2086 # a list of words
    CARGO_ENCODED_RUSTFLAGS=${flags%?} CARGO_INCREMENTAL=0 \
        cargo build --locked --release --target "$host" --target-dir "$output/target" ${BUILD_FLAGS:-} -p "$program"
    cp "$output/target/$host/release/$program" "$output/$program"
done
