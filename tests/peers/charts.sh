#!/bin/sh
# Installs what judges the Helm chart, under target/charts: Helm itself (its Go SDK as a library), the schemas of Kubernetes, and the
# CEL evaluator of CEL's authors. Does nothing when all is there.
set -eu

helm=0.2.2
schemas=1.37.0
cel=0.1.3
root=$(cd "$(dirname "$0")/../.." && pwd)
venv=${CARGO_TARGET_DIR:-$root/target}/charts

works() {
    "$venv/bin/python" -c 'import cel_expr_python, helm_python, jsonschema, kubernetes_validate, sys; helm_python.helm_sdk_version()' 2>/dev/null &&
        "$venv/bin/python" - "$helm" "$schemas" "$cel" <<'PYTHON'
import sys
from importlib.metadata import version
sys.exit(sys.argv[1:] != [version(it) for it in ("helm-python-sdk", "kubernetes-validate", "cel-expr-python")])
PYTHON
}

works && exit 0
printf 'peers: installing Helm, the schemas of Kubernetes and CEL into %s\n' "$venv" >&2
if [ -L "$venv" ]; then rm "$venv"; fi
python3 -m venv --clear "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: \
    "helm-python-sdk==$helm" "kubernetes-validate==$schemas" "cel-expr-python==$cel"
# The wheel has the library three times, 85 MB each: wheels know no links.
libraries=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')/helm_python/lib
for copy in "$libraries"/libhelm_c.so.*; do ln -f "$libraries/libhelm_c.so" "$copy"; done
works || { printf 'peers: Helm %s, kubernetes-validate %s or CEL %s does not run\n' "$helm" "$schemas" "$cel" >&2; exit 1; }
