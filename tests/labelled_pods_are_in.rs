//! Labels of Kubernetes say which pods are in the mesh: those are captured and say so only once they are protected, all others are
//! as if never touched, and both may change at any time.

use std::thread;
use std::time::Duration;

use culvert_lab::api_server::{Trouble, pod};
use culvert_lab::{Pod, Snapshot, new_uid};

use crate::harness::calls::call_meanwhile;
use crate::harness::cluster::ECHO;
use crate::harness::kubernetes::{Kubernetes, MODE};
use crate::harness::one_node::OneNode;
use crate::harness::talk::SOON;

const AMBIENT: Option<&str> = Some("ambient");
const NONE: Option<&str> = Some("none");

/// Everything of a pod's namespace that capture could change.
#[track_caller]
fn look(pod: &Pod) -> Snapshot {
    Snapshot::of_pod(pod).unwrap()
}

#[track_caller]
fn assert_untouched(pod: &Pod, before: &Snapshot) {
    let differences = before.differences(&look(pod));
    assert!(differences.is_empty(), "{} is not as it was: {differences:#?}", pod.name());
}

/// Whether rules are in the pod and somebody takes what they redirect.
fn is_protected(pod: &Pod) -> bool {
    pod.is_captured().unwrap() && [15001, 15006, 15008].iter().all(|port| pod.listens(*port).unwrap())
}

/// Fails unless two pods talk in private, in both families.
#[track_caller]
fn assert_private(node: &OneNode, from: &Pod, to: &Pod) {
    for ip in to.ips() {
        assert!(!node.is_read(from, (ip, ECHO)), "{} -> {ip} is in clear", from.name());
    }
}

#[test]
fn pods_of_a_labelled_namespace_are_in_and_of_an_unlabelled_one_as_they_were() {
    let node = OneNode::start("labelled", &["shop"]);
    let (client, server) = (node.run("shop", "client"), node.run("shop", "server"));
    let (client, server) = (client.pod(), server.pod());
    node.follow();
    let before = [look(client), look(server)];
    assert!(node.is_read(client, (server.ip4(), ECHO)), "the test cannot read what is in clear");

    node.kubernetes.label_namespace("shop", AMBIENT);
    for pod in [client, server] {
        node.wait("the pod is said to be in the mesh", || node.kubernetes.claim(pod).is_some());
        assert_eq!(node.kubernetes.claim(pod).as_deref(), Some("enabled"));
        assert!(is_protected(pod), "{} is said to be in the mesh before it is protected", pod.name());
    }
    node.wait_until_in(&[client, server]);
    assert_private(&node, client, server);
    for pod in [client, server] {
        node.wait_for_event(pod, "CulvertEnrolled");
    }

    node.kubernetes.label_namespace("shop", None);
    node.wait_until_out(&[client, server]);
    for (pod, before) in [client, server].into_iter().zip(&before) {
        assert_untouched(pod, before);
        node.wait_for_event(pod, "CulvertLeft");
    }
    assert!(node.is_read(client, (server.ip4(), ECHO)), "what nobody asked for is still in tunnels");
}

/// Control planes tell peers to send tunnels as soon as they read it.
#[test]
fn a_pod_that_no_node_serves_is_not_said_to_be_in_the_mesh() {
    let node = OneNode::start_with("unserved", &["shop"], Kubernetes::agent_without_plugin);
    node.proxy().kill_hard().unwrap();
    let client = node.run("shop", "client");
    node.kubernetes.label_namespace("shop", AMBIENT);
    node.wait("the pod is captured", || {
        node.listed(client.pod().uid()).is_some_and(|pod| pod["state"] == "enrolled")
    });
    assert_eq!(node.kubernetes.claim(client.pod()), None);
    node.lab.start_node(&node.node).unwrap();
    node.wait_until_in(&[client.pod()]);
    assert!(is_protected(client.pod()));
}

#[test]
fn a_pod_says_more_than_its_namespace() {
    let node = OneNode::start("pods-label", &["shop", "bank"]);
    node.kubernetes.label_namespace("shop", AMBIENT);
    let refuses = node.run_as(pod("shop", "refuses").label(MODE, "none"));
    let joins = node.run_as(pod("bank", "joins").label(MODE, "ambient"));
    let (follows, stays) = (node.run("shop", "follows"), node.run("bank", "stays"));
    let plain = look(stays.pod());
    node.wait_until_in(&[joins.pod(), follows.pod()]);
    assert_private(&node, joins.pod(), follows.pod());
    for pod in [refuses.pod(), stays.pod()] {
        assert_untouched(pod, &plain);
        assert_eq!(node.kubernetes.claim(pod), None);
    }

    let label = |pod: &Pod, mode| node.kubernetes.label_pod((pod.namespace(), pod.name()), mode);
    for (pod, mode) in
        [(refuses.pod(), None), (joins.pod(), None), (follows.pod(), NONE), (stays.pod(), AMBIENT)]
    {
        label(pod, mode);
    }
    node.wait_until_in(&[refuses.pod(), stays.pod()]);
    node.wait_until_out(&[joins.pod(), follows.pod()]);
    assert_private(&node, refuses.pod(), stays.pod());
    for pod in [joins.pod(), follows.pod()] {
        assert_untouched(pod, &plain);
    }
}

#[test]
fn pods_of_the_host_and_of_excluded_namespaces_are_never_touched() {
    let node = OneNode::start("never", &["shop", "kube-system"]);
    let before = node.look();
    for namespace in ["shop", "kube-system"] {
        node.kubernetes.label_namespace(namespace, AMBIENT);
    }
    let host = node.run_as(pod("shop", "of-the-host").label(MODE, "ambient").host_network());
    let excluded = node.run_as(pod("kube-system", "excluded").label(MODE, "ambient"));
    let plain = look(excluded.pod());
    // Seen after the others.
    let usual = node.run("shop", "usual");
    node.wait_until_in(&[usual.pod()]);
    for pod in [host.pod(), excluded.pod()] {
        assert_untouched(pod, &plain);
        assert_eq!(node.kubernetes.claim(pod), None);
        assert_eq!(node.listed(pod.uid()).unwrap()["state"], "passed");
    }
    assert_eq!(node.look(), before, "the node is not as it was");
}

#[test]
fn labels_may_come_and_go_while_traffic_flows() {
    const TIMES: u64 = 10;
    let node = OneNode::start("to-and-fro", &["shop"]);
    let (client, server) = (node.run("shop", "client"), node.run("shop", "server"));
    let (client, server) = (client.pod(), server.pod());
    node.follow();
    let plain = look(client);
    let calls = call_meanwhile(client, server, || {
        for time in 0..TIMES {
            node.kubernetes.label_namespace("shop", AMBIENT);
            // What makes the pace, a different one each time: nothing is waited for here.
            thread::sleep(Duration::from_millis(time * 100));
            node.kubernetes.label_namespace("shop", None);
            thread::sleep(Duration::from_millis((TIMES - time) * 60));
        }
        node.wait_until_out(&[client, server]);
    });
    assert!(calls.good > 0, "{calls:?}");
    for pod in [client, server] {
        node.wait("the pod is as it was", || look(pod) == plain);
    }
    node.kubernetes.label_namespace("shop", AMBIENT);
    node.wait_until_in(&[client, server]);
    assert_private(&node, client, server);
}

/// As stateful sets do it. What was said of the first pod must not be taken for what is said of the second.
#[test]
fn a_pod_re_created_under_its_name_is_another_one() {
    let node = OneNode::start("re-created", &["shop"]);
    node.kubernetes.label_namespace("shop", AMBIENT);
    let first = node.run("shop", "db-0");
    node.wait_until_in(&[first.pod()]);
    // What the agent is about to write of the first one comes late.
    let api = node.kubernetes.api.lab();
    api.trouble(Trouble::late(Duration::from_secs(2)).on("patch", "pods/status").times(1));
    node.kubernetes.label_pod(("shop", "db-0"), NONE);
    node.wait("the agent is about to take back what it said", || {
        api.requests_of("patch", "pods/status").len() > 1
    });
    api.terminate("pods", "shop", "db-0").unwrap();
    node.end(&first);
    api.remove("pods", "shop", "db-0").unwrap();
    let uid = new_uid().unwrap();
    let second =
        node.kubernetes.create(pod("shop", "db-0").annotation("ambient.istio.io/redirection", "kept"), &uid);
    node.wait("the agent knows the new one", || node.listed(&uid).is_some());
    node.wait("the agent is told that the first one is gone", || {
        node.counted("culvert_agent_annotations_total{result=\"gone\"}") == 1
    });
    assert_eq!(
        node.kubernetes.claim(first.pod()).as_deref(),
        Some("kept"),
        "written to a pod it was not meant for"
    );
    let second = node.run_created(&second);
    node.wait_until_in(&[second.pod()]);
    assert!(is_protected(second.pod()));
}

#[test]
fn a_new_sandbox_of_the_same_pod_is_enrolled_and_told_of() {
    let node = OneNode::start_with("sandbox", &["shop"], Kubernetes::agent_without_plugin);
    node.kubernetes.label_namespace("shop", AMBIENT);
    let (server, first) = (node.run("shop", "server"), node.run("shop", "client"));
    node.wait_until_in(&[server.pod(), first.pod()]);
    let object = node.kubernetes.api.object("pods", "shop", "client").unwrap();
    node.end(&first);
    let second = node.run_created(&object);
    assert_ne!(first.pod().netns().id(), second.pod().netns().id());
    node.wait("the new sandbox is protected", || is_protected(second.pod()));
    node.wait_until_in(&[second.pod()]);
    assert_private(&node, second.pod(), server.pod());
    let event = node.wait_for_event(second.pod(), "CulvertFoundInPlaintext");
    assert!(event.note.contains("plaintext"), "{event:?}");
    assert_eq!(node.counted("culvert_agent_pods_found_in_plaintext_total"), 1);
}

#[test]
fn a_sandbox_the_plugin_was_asked_about_never_ran_in_plaintext() {
    let node = OneNode::start("asked", &["shop"]);
    node.kubernetes.label_namespace("shop", AMBIENT);
    let first = node.run("shop", "client");
    assert!(is_protected(first.pod()), "the pod was started before it was protected");
    node.wait_until_in(&[first.pod()]);
    let object = node.kubernetes.api.object("pods", "shop", "client").unwrap();
    node.end(&first);
    let second = node.run_created(&object);
    assert!(is_protected(second.pod()), "the sandbox was started before it was protected");
    node.agent().wait_for_log("pod enrolled", SOON).unwrap();
    assert_eq!(node.counted("culvert_agent_pods_found_in_plaintext_total"), 0);
}
