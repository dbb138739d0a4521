#!/bin/sh
# Runs fuzz targets.
#   run.sh                      every target, the same inputs every time
#   run.sh TARGET [SECONDS]     one target, for a time; what it finds interesting is kept for the next time
# Inputs that break something are left in fuzz/artifacts; to run one again: run.sh TARGET 0 FILE
#
# The targets are safe Rust, in which a sanitizer finds nothing. So a stable toolchain does; for one that has them, set
# FUZZ_SANITIZER=address and RUSTC_BOOTSTRAP=1.
set -eu
cd "$(dirname "$0")/.."

# TARGET WORKING-CORPUS LIBFUZZER-OPTION...
fuzz() {
    target=$1 corpus=$2
    shift 2
    mkdir -p "$corpus"
    # The words of a language that chance does not come by.
    words="fuzz/words/$target"
    [ ! -e "$words" ] || set -- "-dict=$words" "$@"
    cargo fuzz run --fuzz-dir fuzz --sanitizer "${FUZZ_SANITIZER:-none}" "$target" "$corpus" "fuzz/corpus/$target" -- \
        -max_len=2048 -timeout=20 -rss_limit_mb=1024 -print_final_stats=1 "$@"
}

if [ $# -gt 2 ]; then
    exec cargo fuzz run --fuzz-dir fuzz --sanitizer "${FUZZ_SANITIZER:-none}" "$1" "$3"
elif [ $# -gt 0 ]; then
    fuzz "$1" "fuzz/target/corpus/$1" -max_total_time="${2:-300}"
else
    for target in hpack hbone socks mesh_file cluster http2_client http2_server records engine; do
        rm -rf "fuzz/target/smoke/$target"
        fuzz "$target" "fuzz/target/smoke/$target" -runs=20000 -seed=1
    done
fi
