"""Asks Helm, the schemas of Kubernetes and a CEL evaluator: one question on stdin, its answer on stdout, both JSON.

    chart.py render   {chart, values, namespace?, version?, apis?}
                                                   -> {objects, files, notes} or {error}; for a cluster of a version that has APIs
    chart.py lint     {chart, values}              -> [message]
    chart.py validate {versions, objects}          -> [complaint]
    chart.py conform  {schema, objects}            -> [complaint or null, for each object]
    chart.py admit    {policies, requests}         -> [[message], for each request]
    chart.py manifest {chart}                      -> text: all objects of an installation with defaults, for kubectl

Whether an answer is the right one is for whoever asks.
"""

import json
import pathlib
import sys

import yaml

def render(chart, values, namespace="culvert-system", version=None, apis=None):
    import helm_python as helm
    from helm_python import _native

    options = {"name": "culvert", "namespace": namespace}
    if version:
        options["kube_version"] = version
    if apis:
        options["api_versions"] = apis
    try:
        # Chart.render knows all options but those about the cluster.
        loaded = helm.Chart.load(chart)
        question = (loaded._raw(), json.dumps(values), json.dumps(options))
        rendered = json.loads(_native.call_string("helm_render", *question))
    except helm.HelmError as error:
        return {"error": str(error)}
    notes = "".join(text for path, text in rendered.items() if path.endswith("NOTES.txt"))
    files = {path: text for path, text in rendered.items() if path.endswith(".yaml") and text.strip()}
    objects = [it for path in sorted(files) for it in yaml.safe_load_all(files[path]) if it]
    return {"objects": objects, "files": files, "notes": notes}


def lint(chart, values):
    import helm_python as helm

    report = helm.lint(chart, values, strict=True)
    return report["errors"] + [it["error"] for it in report["messages"] if it["severity"] != 1]


def validate(versions, objects):
    import kubernetes_validate

    complaints = []
    for version in versions:
        for it in objects:
            try:
                kubernetes_validate.validate(it, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                complaints.append(f"{version}: {it['kind']} {it['metadata']['name']}: {error.message}")
    return complaints


def conform(schema, objects):
    import jsonschema

    validator = jsonschema.Draft7Validator(schema)
    errors = (jsonschema.exceptions.best_match(validator.iter_errors(it)) for it in objects)
    return [error and f"{error.json_path}: {error.message}" for error in errors]


def admit(policies, requests):
    from cel_expr_python import cel

    names = ["object", "oldObject", "request", "variables"]
    environment = cel.NewEnv(variables={name: cel.Type.DYN for name in names})

    def value(expression, data):
        result = environment.compile(expression).eval(data=data)
        if result.type() == cel.Type.ERROR:
            raise ValueError(f"{expression}: {result.plain_value()}")
        return result.plain_value()

    def messages(policy, request):
        spec = policy["spec"]
        if not concerns(spec["matchConstraints"], request):
            return
        data = {
            "object": request["object"],
            "oldObject": request.get("oldObject"),
            "request": {
                "operation": request["operation"],
                "resource": {"resource": request["resource"].partition("/")[0]},
                "userInfo": request.get("userInfo", {"username": "jane"}),
            },
            "variables": {},
        }
        if not all(value(it["expression"], data) for it in spec.get("matchConditions", [])):
            return
        for it in spec.get("variables", []):
            data["variables"][it["name"]] = value(it["expression"], data)
        for it in spec["validations"]:
            if value(it["expression"], data) is not True:
                yield it["message"]

    return [[message for policy in policies for message in messages(policy, request)] for request in requests]


def concerns(constraints, request):
    """Whether rules and the namespace's name match, as far as these policies use them."""
    group, _, version = request["object"]["apiVersion"].rpartition("/")
    selector = constraints.get("namespaceSelector", {}).get("matchLabels", {})
    labels = {"kubernetes.io/metadata.name": request["object"]["metadata"]["namespace"]}
    return selector.items() <= labels.items() and any(
        group in rule["apiGroups"]
        and {"*", version} & set(rule["apiVersions"])
        and request["resource"] in rule["resources"]
        and request["operation"] in rule["operations"]
        for rule in constraints["resourceRules"]
    )


HEAD = """\
# Culvert with the defaults of its chart. Made by `make manifests`; changes belong into deploy/helm/culvert.
#   kubectl apply --server-side -f deploy/manifests/culvert.yaml
# In a cluster that has the CRDs of Istio, apply it without those.
apiVersion: v1
kind: Namespace
metadata:
  name: culvert-system
  labels:
    # Node proxies and agents have capabilities, and directories of the host.
    pod-security.kubernetes.io/enforce: privileged
"""


def manifest(chart):
    rendered = render(chart, {})
    if "error" in rendered:
        raise ValueError(rendered["error"])
    definitions = [path.read_text() for path in sorted(pathlib.Path(chart, "crds").glob("*.yaml"))]
    # Accounts first: pods that come before their account wait for it.
    files = sorted(rendered["files"].items(), key=lambda it: (not it[0].endswith("account.yaml"), it[0]))
    parts = [HEAD, *definitions, *(text.lstrip("\n-") for _, text in files)]
    lines = "\n---\n".join(part.strip("\n") for part in parts).split("\n")
    return "\n".join(line.rstrip() for line in lines) + "\n"


if __name__ == "__main__":
    answer = globals()[sys.argv[1]](**json.load(sys.stdin))
    sys.stdout.write(answer if isinstance(answer, str) else json.dumps(answer))
