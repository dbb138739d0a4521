#!/bin/sh
# Installs what the Makefile's targets need and the machine does not have. Does nothing when all is there.
#   packages    tools the programs, the demo and the tests run (Debian packages)
#   peers       independent programs the conformance tests talk to, under target/peers
#   cargo-deny  the dependency checker, from the crate registry
#   sbom        what writes bills of materials, from the crate registry; Python checks them
#   reproducible  what shows where two programs differ (Debian packages)
#   memory      valgrind (a Debian package)
#   miri        a nightly compiler's interpreter (rustup)
#   fips        compilers of the validated module (Debian packages)
#   fuzz        what runs the fuzz targets, from the crate registry; libFuzzer is built with a C++ compiler
set -eu
cd "$(dirname "$0")"

# Another one writes other files.
cyclonedx=0.5.9

say() { printf 'setup: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        say "need root to run: $*"
        exit 1
    fi
}

# COMMAND:PACKAGE pairs, as arguments.
need_commands() {
    PATH=$PATH:/usr/sbin:/sbin
    missing=
    for pair in "$@"; do
        have "${pair%%:*}" || missing="$missing ${pair#*:}"
    done
    # shellcheck disable=SC2086 # a list of words
    install_packages $missing
}

install_packages() {
    [ $# -gt 0 ] || return 0
    if ! have apt-get; then
        say "please install: $*"
        exit 1
    fi
    say "installing $*"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

case "${1:-}" in
packages)
    need_commands cc:build-essential ip:iproute2 iptables-nft:iptables iptables-legacy:iptables ipset:ipset openssl:openssl
    ;;
peers)
    need_commands python3:python3 node:nodejs nghttpx:nghttp2-proxy dnsmasq:dnsmasq-base dig:bind9-dnsutils \
        kdig:knot-dnsutils dnsperf:dnsperf podman:podman conmon:conmon runc:runc busybox:busybox-static nft:nftables \
        ipset:ipset prometheus:prometheus promtool:prometheus curl:curl chromium:chromium faketime:faketime
    # What the API server keeps everything in that is named by it; the tests' own one needs none.
    [ -z "${KUBE_APISERVER:-}" ] || need_commands etcd:etcd-server
    [ -x /usr/lib/cni/bridge ] || [ -x /opt/cni/bin/bridge ] || install_packages containernetworking-plugins
    python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv
    tests/peers/setup.sh
    tests/peers/charts.sh
    ;;
fuzz)
    need_commands c++:build-essential
    cargo fuzz --version >/dev/null 2>&1 || { say "building cargo-fuzz"; cargo install --quiet --locked cargo-fuzz; }
    ;;
cargo-deny)
    cargo deny --version >/dev/null 2>&1 || { say "building cargo-deny"; cargo install --quiet --locked cargo-deny; }
    ;;
sbom)
    need_commands cc:build-essential python3:python3
    cargo cyclonedx --version 2>/dev/null | grep -q " $cyclonedx\$" ||
        { say "building cargo-cyclonedx"; cargo install --quiet --locked --force "cargo-cyclonedx@$cyclonedx"; }
    ;;
reproducible)
    need_commands cc:build-essential strings:binutils cmp:diffutils
    ;;
memory)
    need_commands cc:build-essential valgrind:valgrind
    ;;
miri)
    cargo +nightly miri --version >/dev/null 2>&1 ||
        { say "installing miri"; rustup toolchain install nightly --profile minimal --component miri --component rust-src; }
    ;;
fips)
    need_commands cc:build-essential cmake:cmake go:golang-go perl:perl
    ;;
*)
    say "usage: setup.sh packages|peers|cargo-deny|sbom|reproducible|memory|miri|fuzz|fips"
    exit 2
    ;;
esac
