//! Trouble inside a pod.

use culvert_lab::{Lab, Node, Pod, PodSpec, Snapshot};

use super::{Answer, Preflight};
use crate::harness::cluster::lab;
use crate::harness::command::run;
use crate::harness::talk::SOON;

fn lab_with_pod(name: &str) -> (Lab, Node, Pod) {
    let lab = lab(name).unwrap();
    let node = lab.node("one").unwrap();
    let pod = lab.pod(&node, PodSpec::new("web")).unwrap();
    (lab, node, pod)
}

#[track_caller]
fn look(lab: &Lab, node: &Node, pod: &Pod, words: &[&str]) -> Answer {
    let path = pod.netns().path().display().to_string();
    Preflight::new(lab).say(&["--netns", &path]).say(words).run(node)
}

#[test]
fn rules_of_another_mesh_in_a_pod_are_found() {
    let (lab, node, pod) = lab_with_pod("check-pod-mesh");
    look(&lab, &node, &pod, &[]).assert_found("pod-other-mesh-rules", "ok", "");
    for (words, mesh) in [
        ("iptables -t nat -N PROXY_INIT_REDIRECT", "Linkerd"),
        ("ip6tables-legacy -t nat -N ISTIO_IN_REDIRECT", "Istio (sidecar)"),
    ] {
        run(&pod, &words.split(' ').collect::<Vec<_>>()).unwrap();
        look(&lab, &node, &pod, &[]).assert_found("pod-other-mesh-rules", "problem", mesh);
        run(&pod, &words.replace("-N", "-X").split(' ').collect::<Vec<_>>()).unwrap();
    }
}

#[test]
fn what_keeps_a_pod_from_being_served_is_found() {
    let (lab, node, pod) = lab_with_pod("check-pod-trouble");
    let healthy = look(&lab, &node, &pod, &[]);
    assert_eq!(healthy.code, Some(0), "{:#?}", healthy.with_state("problem"));
    healthy.assert_found("pod-capture", "ok", "nothing of capture is in it");
    let _taken = pod.listen(15008).unwrap();
    run(&pod, &["iptables", "-A", "INPUT", "-p", "tcp", "--dport", "15008", "-j", "DROP"]).unwrap();
    run(&pod, &["sysctl", "-qw", "net.ipv6.conf.lo.disable_ipv6=1", "net.ipv4.conf.all.route_localnet=1"])
        .unwrap();
    let answer = look(&lab, &node, &pod, &[]);
    answer.assert_found("pod-ports", "problem", "15008 is taken by");
    answer.assert_found("pod-tunnel-port", "problem", "--dport 15008 -j DROP");
    answer.assert_found("pod-ipv6", "problem", "switched off on its loopback interface");
    answer.assert_found("pod-route-localnet", "warning", "route_localnet is 1");
    run(&pod, &["ip", "link", "set", "lo", "down"]).unwrap();
    look(&lab, &node, &pod, &[]).assert_found("pod-loopback", "problem", "lo is down");
}

#[test]
fn a_capture_rule_that_is_missing_is_found_and_left_alone() {
    let (lab, node, pod) = lab_with_pod("check-pod-rules");
    lab.enrol_all(&[&pod]).unwrap();
    lab.start_control().unwrap();
    let agent = lab.start_agent(&node).unwrap();
    lab.start_node(&node).unwrap();
    lab.wait_until(SOON, "the pod is captured", || pod.is_captured().unwrap()).unwrap();
    look(&lab, &node, &pod, &["--pod-rules"]).assert_found("pod-rules", "ok", "");
    // While it runs, what is missing is put back at once.
    agent.stop().unwrap();
    run(&pod, &["iptables", "-t", "nat", "-D", "OUTPUT", "-j", "ISTIO_OUTPUT"]).unwrap();
    let before = Snapshot::of_pod(&pod).unwrap();
    let answer = look(&lab, &node, &pod, &["--pod-rules"]);
    answer.assert_found("pod-rules", "problem", "OUTPUT does not jump to ISTIO_OUTPUT");
    assert_eq!(before.differences(&Snapshot::of_pod(&pod).unwrap()), Vec::<String>::new());
}
