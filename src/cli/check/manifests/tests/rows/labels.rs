//! Labels and annotations.

use super::*;

#[test]
fn pods_that_ask_for_the_mesh_and_cannot_be_in_it_are_named() {
    let labels = "        istio.io/dataplane-mode: ambient #<\n";
    let path = "spec.template.metadata.labels[istio.io/dataplane-mode]";
    found(
        "never-in-mesh",
        State::Problem,
        path,
        &deployment("shop", labels, "", "      hostNetwork: true\n"),
    );
    found("never-in-mesh", State::Problem, path, &deployment("kube-system", labels, "", ""));
    let own = "        sidecar.istio.io/status: '{}'\n";
    found("never-in-mesh", State::Problem, path, &deployment("shop", labels, own, ""));
    let shown_by_kubelet = "        kubernetes.io/config.mirror: 7d0f\n";
    found("never-in-mesh", State::Problem, path, &deployment("shop", labels, shown_by_kubelet, ""));
    let text = namespace(&format!("    {}", labels.trim())).replace("name: other", "name: kube-system");
    found("never-in-mesh", State::Warning, "metadata.labels[istio.io/dataplane-mode]", &text);
}

#[test]
fn words_that_mean_nothing_are_named() {
    let mode = "metadata.labels[istio.io/dataplane-mode]";
    for word in ["ambiant", "Ambient", "enabled", "''"] {
        let text = namespace(&format!("    istio.io/dataplane-mode: {word} #<"));
        found("label-value", State::Problem, mode, &text);
    }
    let in_template = |path: &str| format!("spec.template.{path}");
    let text = deployment("shop", "        istio.io/dataplane-mode: nope #<\n", "", "");
    found("label-value", State::Problem, &in_template(mode), &text);
    for key in ["dns-capture", "bypass-inbound-capture"] {
        let text = deployment("shop", "", &format!("        ambient.istio.io/{key}: 'no' #<\n"), "");
        let path = in_template(&format!("metadata.annotations[ambient.istio.io/{key}]"));
        found("label-value", State::Warning, &path, &text);
    }
    let text = namespace("    istio.io/ingress-use-waypoint: 'yes' #<");
    found("label-value", State::Warning, "metadata.labels[istio.io/ingress-use-waypoint]", &text);
    let text = namespace("    a: b\n  annotations:\n    networking.istio.io/traffic-distribution: Close #<");
    let path = "metadata.annotations[networking.istio.io/traffic-distribution]";
    found("label-value", State::Warning, path, &text);
    let text = namespace("    istio.io/use-waypoint-namespace: shop #<");
    found("label-value", State::Warning, "metadata.labels[istio.io/use-waypoint-namespace]", &text);
}

#[test]
fn labels_where_nobody_looks_are_named() {
    let text = namespace("    a: b\n  annotations:\n    istio.io/dataplane-mode: ambient #<");
    found("label-place", State::Problem, "metadata.annotations[istio.io/dataplane-mode]", &text);
    let outside = deployment("shop", "", "", "");
    let text = outside.replacen(
        "  name: api\n",
        "  name: api\n  labels:\n    istio.io/dataplane-mode: none #<\n",
        1,
    );
    found("label-place", State::Warning, "metadata.labels[istio.io/dataplane-mode]", &text);
    let both =
        text.replace("        app: api\n", "        app: api\n        istio.io/dataplane-mode: none\n");
    assert_eq!(found_all(&both), []);
}

#[test]
fn annotations_for_sidecars_are_named_with_what_to_write() {
    let annotation = "        traffic.sidecar.istio.io/excludeOutboundPorts: '5432' #<\n";
    let path = "spec.template.metadata.annotations[traffic.sidecar.istio.io/excludeOutboundPorts]";
    let finding = found("sidecar-annotations", State::Warning, path, &deployment("shop", "", annotation, ""));
    assert_eq!(finding.remedy.as_deref(), Some("write culvert.dev/exclude-outbound-ports"));
    let outside = deployment("shop", "        istio.io/dataplane-mode: none\n", annotation, "");
    assert_eq!(found_all(&outside), []);
}

#[test]
fn what_the_agent_writes_is_not_to_be_written_by_hand() {
    let annotation = "        ambient.istio.io/redirection: enabled #<\n";
    let path = "spec.template.metadata.annotations[ambient.istio.io/redirection]";
    found("redirection-by-hand", State::Warning, path, &deployment("shop", "", annotation, ""));
    let pod = |uid: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: api\n  namespace: shop\n{uid}  annotations:\n    ambient.istio.io/redirection: enabled #<\nspec: {{}}\n"
        )
    };
    found(
        "redirection-by-hand",
        State::Warning,
        "metadata.annotations[ambient.istio.io/redirection]",
        &pod(""),
    );
    assert_eq!(found_all(&pod("  uid: written-down-from-a-cluster\n")), []);
}
