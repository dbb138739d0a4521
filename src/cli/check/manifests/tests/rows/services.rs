//! What traffic is addressed to: waypoints, entries, named ports.

use super::*;

#[test]
fn a_waypoint_that_is_not_here_may_be_in_the_cluster() {
    let service = "apiVersion: v1\nkind: Service\nmetadata:\n  name: api\n  namespace: shop\n  labels:\n    istio.io/use-waypoint: gat #<\nspec: {}\n";
    let path = "metadata.labels[istio.io/use-waypoint]";
    let finding = found("waypoint", State::Warning, path, service);
    assert_eq!(finding.found, "waypoint shop/gat does not exist in these manifests");
    assert_eq!(finding.why, "unless it is in the cluster, its traffic is refused: Service shop/api");
    let remedy = finding.remedy.unwrap();
    assert!(remedy.starts_with("Create the Gateway shop/gat"), "{remedy}");
}

#[test]
fn what_many_have_from_their_namespace_is_said_once() {
    let mut text = namespace("    istio.io/use-waypoint: absent #<");
    for name in ["a", "b", "c", "d", "e"] {
        text += &format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: other}}\nspec: {{}}\n"
        );
    }
    let finding = found("waypoint", State::Warning, "metadata.labels[istio.io/use-waypoint]", &text);
    assert!(
        finding.why.ends_with("Service other/a, Service other/b, Service other/c and 2 more"),
        "{}",
        finding.why
    );
}

#[test]
fn a_waypoint_that_may_not_be_used_is_a_problem() {
    let text = namespace("    istio.io/dataplane-mode: none")
        + "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: api\n  namespace: other\n  labels:\n    istio.io/use-waypoint: gate #<\n    istio.io/use-waypoint-namespace: shop\nspec: {}\n";
    let path = "metadata.labels[istio.io/use-waypoint]";
    assert!(
        found("waypoint", State::Problem, path, &text).found.contains("may not be used from namespace other")
    );
    let pod = deployment("shop", "        istio.io/use-waypoint: gate #<\n", "", "");
    let path = "spec.template.metadata.labels[istio.io/use-waypoint]";
    assert!(
        found("waypoint", State::Problem, path, &pod)
            .found
            .contains("is not for traffic addressed to workloads")
    );
}

#[test]
fn a_canary_without_a_share_is_said() {
    let text = "apiVersion: v1\nkind: Service\nmetadata:\n  name: api\n  namespace: shop\n  labels:\n    istio.io/use-waypoint: gate #<\n    istio.io/use-waypoint-canary: next\nspec: {}\n";
    let path = "metadata.labels[istio.io/use-waypoint]";
    assert!(found("waypoint", State::Warning, path, text).found.contains("its canary has no share"));
}

#[test]
fn what_makes_no_sense_in_an_entry_is_left_out() {
    let text = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a, namespace: shop}\nspec:\n  hosts: [a.example]\n  resolution: DNS\n  ports:\n  - name: https\n    number: 70000 #<\n";
    found("entry-understood", State::Problem, "spec.ports[0].number", text);
    let text = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata:\n  name: b\n  namespace: shop\n  labels:\n    istio.io/waypoint-for: services #<\nspec: {gatewayClassName: istio-waypoint}\n";
    found("entry-understood", State::Problem, "metadata.labels[istio.io/waypoint-for]", text);
}

#[test]
fn a_named_port_that_no_pod_has_is_a_problem_and_one_that_some_have_a_warning() {
    let service = |app: &str, name: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: api, namespace: shop}}\nspec:\n  selector: {{{app}}}\n  ports:\n  - {{port: 1, targetPort: 1}}\n  - port: 80\n    targetPort: {name} #<\n"
        )
    };
    let path = "spec.ports[1].targetPort";
    let finding = found("named-port", State::Problem, path, &service("app: web", "htpp"));
    assert_eq!(finding.found, "no pod has a TCP port called htpp: Deployment shop/web");
    assert_eq!(finding.why, "connections to port 80 are refused");
    let labels = "        version: '1'\n";
    let text = format!("{}---\n{}", service("version: '1'", "metrics"), deployment("shop", labels, "", ""));
    let finding = found("named-port", State::Warning, path, &text);
    assert_eq!(finding.found, "not all pods have a TCP port called metrics: Deployment shop/api");
    assert_eq!(found_all(&service("app: web", "metrics")), []);
    assert_eq!(found_all(&service("app: none", "metrics")), []);
}

#[test]
fn of_several_that_define_one_host_one_counts() {
    let entry = |name: &str, namespace: &str, hosts: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  resolution: DNS\n  ports: [{{number: 443, name: https}}]\n  hosts:\n{hosts}"
        )
    };
    let text = entry("other", "shop", "  - a.example\n  - Bank.example #<\n");
    let finding = found("host-once", State::Warning, "spec.hosts[1]", &text);
    assert_eq!(finding.found, "ServiceEntry shop/bank defines this hostname as well");
    let text = entry("web", "shop", "  - web.shop.svc.cluster.local #<\n");
    assert_eq!(
        found("host-once", State::Warning, "spec.hosts[0]", &text).found,
        "Service shop/web has this hostname"
    );
    let text = entry("a", "shop", "  - a.example\n  - a.example #<\n");
    assert_eq!(found("host-once", State::Warning, "spec.hosts[1]", &text).why, "it counts once");
    assert_eq!(found_all(&entry("bank", "elsewhere", "  - bank.example\n")), []);
}
