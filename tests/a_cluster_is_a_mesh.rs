//! A cluster without any other mesh becomes one by a label: its own control plane knows who is where from the API server, nodes get
//! their pods' identities by tokens that are reviewed, and policies are enforced on what is open already.

use culvert_lab::Pod;
use serde_json::json;

use crate::harness::cluster::ECHO;
use crate::harness::nameserver::dig;
use crate::harness::signer;
use crate::harness::standalone::{Standalone, policy, start_control};
use crate::harness::talk::{Ending, SOON, assert_alive, assert_echo, assert_reset, exchange};

const AMBIENT: Option<&str> = Some("ambient");

/// Two pods of one namespace that is in the mesh.
#[track_caller]
fn labelled(cluster: &Standalone) -> [Pod; 2] {
    let node = &cluster.node;
    node.kubernetes.label_namespace("shop", AMBIENT);
    let pods = ["client", "server"].map(|name| node.run("shop", name).pod().clone());
    cluster.wait_until_in(&[&pods[0], &pods[1]]);
    let [client, server] = &pods;
    node.wait("what they say is in tunnels", || !node.is_read(client, (server.ip4(), ECHO)));
    pods
}

#[test]
fn a_labelled_namespace_talks_in_private_and_an_unlabelled_one_as_before() {
    let cluster = Standalone::start("mesh-label", &["shop"]);
    let node = &cluster.node;
    let [client, server] = labelled(&cluster);
    for ip in server.ips() {
        assert!(!node.is_read(&client, (ip, ECHO)), "{ip}");
    }
    node.kubernetes.label_namespace("shop", None);
    for pod in [&client, &server] {
        node.wait("the pod is out of the mesh", || node.kubernetes.claim(pod).is_none());
    }
    node.wait("what they say is as before", || node.is_read(&client, (server.ip4(), ECHO)));
}

#[test]
fn a_policy_is_enforced_on_what_is_open_and_says_so() {
    let cluster = Standalone::start("mesh-policy", &["shop"]);
    let node = &cluster.node;
    let [client, server] = labelled(&cluster);
    let mut open = client.connect((server.ip4(), ECHO), SOON).unwrap();
    assert_alive(&mut open, b"before");
    let deny =
        json!({ "action": "DENY", "rules": [{ "to": [{ "operation": { "ports": [ECHO.to_string()] } }] }] });
    cluster.apply(policy("shop", "no-echo", &deny));
    node.wait("the open connection is cut", || {
        use std::io::{Read as _, Write as _};
        let answer = open.write_all(b"x").and_then(|()| open.read(&mut [0; 1]));
        // One that is only late is not cut.
        answer.map_or_else(|error| Ending::of(&error) == Ending::Reset, |read| read == 0)
    });
    assert_reset(&client, (server.ip4(), ECHO));
    let of = ("authorizationpolicies", "shop", "no-echo");
    let says = |kind: &str| cluster.condition(of, kind).map(|condition| condition["status"].clone());
    node.wait("the policy says that it is accepted", || says("ZtunnelAccepted") == Some("True".into()));
    node.wait("the policy says that it is enforced", || says("culvert.dev/Enforced") == Some("True".into()));
    node.kubernetes.api.remove("authorizationpolicies", "shop", "no-echo").unwrap();
    let is_let_in =
        || exchange(&client, (server.ip4(), ECHO), b"again") == Ending::Complete(b"again".to_vec());
    node.wait("without the policy it is as before", is_let_in);
}

#[test]
fn a_policy_that_cannot_be_enforced_lets_nobody_in_and_says_why() {
    let cluster = Standalone::start("mesh-refused", &["shop"]);
    let node = &cluster.node;
    let [client, server] = labelled(&cluster);
    let by_path =
        json!({ "action": "ALLOW", "rules": [{ "to": [{ "operation": { "paths": ["/health"] } }] }] });
    cluster.apply(policy("shop", "by-path", &by_path));
    node.wait("nobody gets in", || exchange(&client, (server.ip4(), ECHO), b"let me in") == Ending::Reset);
    let accepted = || cluster.condition(("authorizationpolicies", "shop", "by-path"), "ZtunnelAccepted");
    node.wait("the policy says that it is not accepted", || {
        accepted().is_some_and(|condition| condition["status"] == "False")
    });
    let message = accepted().unwrap()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("paths"), "{message}");
}

#[test]
fn a_control_plane_is_replaced_and_nobody_notices() {
    let cluster = Standalone::start("mesh-upgrade", &["shop"]);
    let node = &cluster.node;
    let [client, server] = labelled(&cluster);
    let mut open = client.connect((server.ip4(), ECHO), SOON).unwrap();
    cluster.control.stop().unwrap();
    assert_alive(&mut open, b"without a control plane");
    assert_echo(&client, (server.ip4(), ECHO), b"a new one without a control plane");
    start_control(node, "control-2");
    assert_alive(&mut open, b"with the next one");
    let deny =
        json!({ "action": "DENY", "rules": [{ "to": [{ "operation": { "ports": [ECHO.to_string()] } }] }] });
    cluster.apply(policy("shop", "no-echo", &deny));
    node.wait("what the next one says counts", || {
        exchange(&client, (server.ip4(), ECHO), b"let me in") == Ending::Reset
    });
}

/// Agents and control plane go by the same selectors: whoever is captured has an identity, and whoever is not has none.
#[test]
fn selectors_of_ones_own_say_who_is_in_and_who_gets_an_identity() {
    let told = [
        ("AMBIENT_ENABLEMENT_SELECTOR", "- namespaceSelector: {matchLabels: {team: payments}}"),
        ("EXCLUDE_NAMESPACES", "infra"),
    ];
    let cluster = Standalone::start_told("mesh-selectors", &["shop", "infra", "other"], &told);
    let node = &cluster.node;
    let team = json!({ "metadata": { "labels": { "team": "payments" } } });
    for namespace in ["shop", "infra"] {
        node.kubernetes.api.patch("namespaces", "", namespace, team.clone()).unwrap();
    }
    // What is labelled as usual is nothing to these selectors.
    node.kubernetes.label_namespace("other", AMBIENT);
    let ask = |namespace: &str| {
        let identity = format!("spiffe://cluster.local/ns/{namespace}/sa/default");
        signer::ask(node, node.lab.control_address(), &identity)
    };
    let pods = ["client", "server"].map(|name| node.run("shop", name).pod().clone());
    let [excluded, other] = ["infra", "other"].map(|namespace| node.run(namespace, "server").pod().clone());
    let [client, server] = &pods;
    cluster.wait_until_in(&[client, server]);
    node.wait("what they say is in tunnels", || !node.is_read(client, (server.ip4(), ECHO)));
    let strict = json!({ "apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication",
        "metadata": { "namespace": "shop", "name": "strict", "generation": 1 }, "spec": { "mtls": { "mode": "STRICT" } } });
    cluster.apply(strict);
    let from_outside = || exchange(&other, (server.ip4(), ECHO), b"in clear");
    node.wait("whoever has no identity is refused", || from_outside() == Ending::Reset);
    assert_echo(client, (server.ip4(), ECHO), b"with an identity");
    for (pod, why) in [(&excluded, "excluded"), (&other, "neither")] {
        let listed = || node.listed(pod.uid()).filter(|listed| listed["state"] == "passed");
        node.wait("the agent lets it pass", || listed().is_some());
        let reason = listed().unwrap()["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains(why), "{reason}");
        assert!(!pod.is_captured().unwrap(), "{}", pod.namespace());
        let refusal = ask(pod.namespace()).unwrap_err();
        assert_eq!(signer::reason(&refusal), "identity-not-enrolled", "{}", pod.namespace());
    }
    ask("shop").unwrap();
}

#[test]
fn a_name_outside_the_cluster_gets_an_address_and_pods_find_it() {
    let cluster = Standalone::start("mesh-names", &["shop"]);
    let node = &cluster.node;
    let [client, _] = labelled(&cluster);
    cluster.apply(json!({ "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
        "metadata": { "namespace": "shop", "name": "api" },
        "spec": { "hosts": ["api.example"], "resolution": "DNS", "ports": [{ "number": 443, "name": "tls" }] } }));
    let given = || {
        let entry = node.kubernetes.api.object("serviceentries", "shop", "api").unwrap();
        entry["status"]["addresses"][0]["value"].as_str().map(str::to_owned)
    };
    node.wait("it is given an address", || given().is_some());
    let address = given().unwrap();
    // Nobody is at this address: what it says is the mesh's answer.
    let nameserver = [192, 0, 2, 53].into();
    let answers = || dig(&client, nameserver, "api.example A").is_ok_and(|said| said.contains(&address));
    node.wait("pods find it", answers);
}
