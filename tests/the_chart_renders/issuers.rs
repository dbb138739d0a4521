//! Who issues certificates is said by values: the node program is told where, and gets at it.

use serde_json::{Value, json};

use crate::harness::chart::{Container, render};

/// What the node program is told of its issuer.
const OF_ISSUERS: [&str; 6] = [
    "CULVERT_ISSUER",
    "CA_ADDRESS",
    "CA_ROOT_CA",
    "ALT_CA_HOSTNAME",
    "SPIRE_ADMIN_ENDPOINT_SOCKET",
    "SPIFFE_ENDPOINT_SOCKET",
];

fn told<'c>(container: &'c Container<'c>) -> Vec<(&'c str, &'c str)> {
    let told = OF_ISSUERS.into_iter().filter_map(|name| {
        let found = container.environment().into_iter().find(|it| it.0 == name)?;
        Some((name, found.1.unwrap()))
    });
    told.collect()
}

/// The volume that is mounted at a path of a container, and whether it can be written to.
#[track_caller]
fn mounted<'c>(container: &'c Container<'c>, path: &str) -> (&'c Value, bool) {
    let mounts = container.it["volumeMounts"].as_array().unwrap();
    let mount = mounts.iter().find(|it| it["mountPath"] == path);
    let mount = mount.unwrap_or_else(|| panic!("nothing is at {path}: {mounts:?}"));
    let volumes = container.workload["spec"]["template"]["spec"]["volumes"].as_array().unwrap();
    let volume = volumes.iter().find(|it| it["name"] == mount["name"]).unwrap();
    (volume, mount["readOnly"] != true)
}

#[test]
fn the_control_plane_issues_unless_something_else_is_said() {
    let rendered = render(&json!({})).unwrap();
    let node = rendered.container("culvert-node");
    assert_eq!(told(&node), [("CA_ADDRESS", "culvert-control.culvert-system.svc:15012")]);
    assert_eq!(node.workload["spec"]["template"]["spec"]["volumes"].as_array().unwrap().len(), 3);
}

#[test]
fn spires_socket_is_where_the_node_looks_for_it() {
    for (values, name) in [
        (
            json!({ "issuer": "spire-delegated", "spire": { "adminSocket": "/run/spire/private/admin.sock" } }),
            "SPIRE_ADMIN_ENDPOINT_SOCKET",
        ),
        (
            json!({ "issuer": "spire-workload", "spire": { "workloadSocket": "/run/spire/private/admin.sock" },
                "node": { "env": { "PROXY_MODE": "dedicated" } } }),
            "SPIFFE_ENDPOINT_SOCKET",
        ),
    ] {
        let rendered = render(&values).unwrap();
        let node = rendered.container("culvert-node");
        let expected = [
            ("CULVERT_ISSUER", values["issuer"].as_str().unwrap()),
            (name, "unix:///run/spire/private/admin.sock"),
        ];
        assert_eq!(told(&node), expected, "{values}");
        // The directory, because a socket that is made anew is another file.
        let (volume, writable) = mounted(&node, "/run/spire/private");
        assert_eq!(volume["hostPath"]["path"], "/run/spire/private");
        assert!(!writable, "{values}");
    }
}

#[test]
fn another_authority_is_known_by_its_own_root() {
    let values = json!({ "ca": { "address": "cert-manager-istio-csr.cert-manager.svc:443", "rootConfigMap": "istio-csr-root" } });
    let rendered = render(&values).unwrap();
    let node = rendered.container("culvert-node");
    let root = "/var/run/secrets/ca/root-cert.pem";
    assert_eq!(
        told(&node),
        [("CA_ADDRESS", "cert-manager-istio-csr.cert-manager.svc:443"), ("CA_ROOT_CA", root)]
    );
    let (volume, _) = mounted(&node, "/var/run/secrets/ca");
    assert_eq!(volume["configMap"]["name"], "istio-csr-root");
    // The control plane is known by the mesh's, as ever.
    assert_eq!(node.variable("XDS_ADDRESS"), "culvert-control.culvert-system.svc:15012");
    assert_eq!(mounted(&node, "/var/run/secrets/istio").0["configMap"]["name"], "istio-ca-root-cert");
}

/// The node program would refuse it at its start, on all nodes at once.
#[test]
fn an_issuer_that_does_not_fit_is_refused() {
    for (values, remedy) in [
        (json!({ "issuer": "spire-workload" }), "use spire-delegated"),
        (
            json!({ "issuer": "spire-delegated", "node": { "env": { "PROXY_MODE": "dedicated" } } }),
            "use spire-workload",
        ),
    ] {
        let error = render(&values).unwrap_err();
        assert!(error.contains(remedy), "{values}: {error}");
    }
}
