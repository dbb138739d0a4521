#!/bin/sh
# Runs fuzz targets under libFuzzer.
#   run.sh                      every target, the same inputs every time
#   run.sh TARGET [SECONDS]     one target, for a time; what it finds interesting is kept for the next time
#   run.sh TARGET 0 FILE        one input again
#   run.sh cmin TARGET          what was kept, as few inputs as do the same, into the repository's corpus
# Inputs that break something are left in target/fuzz/artifacts.
#
# The targets are safe Rust, in which a sanitizer finds nothing. So a stable toolchain does; for one that has them, set
# FUZZ_SANITIZER=address and RUSTC_BOOTSTRAP=1.
set -eu
cd "$(dirname "$0")/.."
work=target/fuzz

# COMMAND ARGUMENT...
cargo_fuzz() {
    command=$1
    shift
    cargo fuzz "$command" --fuzz-dir fuzz/targets --target-dir "$work/build" --sanitizer "${FUZZ_SANITIZER:-none}" "$@"
}

# TARGET WORKING-CORPUS LIBFUZZER-OPTION...
fuzz() {
    target=$1 corpus=$2
    shift 2
    mkdir -p "$corpus" "$work/artifacts/$target"
    # The words of a language that chance does not come by.
    words="fuzz/words/$target"
    [ ! -e "$words" ] || set -- "-dict=$words" "$@"
    cargo_fuzz run "$target" "$corpus" "fuzz/corpus/$target" -- -max_len=2048 -timeout=20 -rss_limit_mb=1024 \
        -print_final_stats=1 "-artifact_prefix=$work/artifacts/$target/" "$@"
}

# TARGET: what covers something the repository's corpus does not is added to it, by names of its content.
cmin() {
    mkdir -p "$work/corpus/$1"
    cargo_fuzz run "$1" "fuzz/corpus/$1" "$work/corpus/$1" -- -merge=1 -max_len=2048
}

if [ "${1:-}" = cmin ]; then
    cmin "$2"
elif [ $# -gt 2 ]; then
    cargo_fuzz run "$1" "$3"
elif [ $# -gt 0 ]; then
    fuzz "$1" "$work/corpus/$1" -max_total_time="${2:-300}"
else
    for target in fuzz/corpus/*; do
        target=${target##*/}
        rm -rf "$work/smoke/$target"
        fuzz "$target" "$work/smoke/$target" -runs=20000 -seed=1
    done
fi
