//! Surveys of real namespaces.
//!
//! Processes are declared after the node they are shown on, so that they have ended when its control groups are removed.

use std::fs;
use std::process::Command;

use super::*;
use crate::handed::Sandbox;
use crate::pod::Workload;

mod file;
pub(super) mod lab;
use lab::{Node, address_in, later_process, netns, spec, uid};

#[test]
fn a_pod_is_found_by_a_process_of_its_own_and_its_address() {
    let (mut node, pod, netns) = (Node::new(), uid(), netns("2001:db8::7/128"));
    let spec = spec(&pod, &["10.1.0.7", "2001:db8::7"]);
    assert!(node.survey(&spec, None).unwrap_err().is_awaited());
    let _process = node.process(&pod, &netns);
    let found = node.finds(&spec, None, &netns);
    // What was found once is not opened again, whether somebody has taken hold of it or not.
    assert!(Arc::ptr_eq(&found, &node.finds(&spec, None, &netns)));
    assert!(Arc::ptr_eq(&netns, &node.finds(&spec, Some(&netns), &netns)));
}

#[test]
fn a_pod_with_users_of_its_own_is_found() {
    let (mut node, pod, home) = (Node::new(), uid(), Netns::current().unwrap());
    let mut command = Command::new("unshare");
    let process = node.start(command.args(["--user", "--net", "sleep", "600"]), &home);
    node.sort(&pod, &process);
    let netns = process.netns_that(|id| id != home.id());
    address_in(&netns, "add", "10.1.0.7/32");
    node.finds(&spec(&pod, &["10.1.0.7"]), None, &netns);
}

#[test]
fn without_its_address_no_namespace_is_a_pods() {
    let (mut node, pod, netns) = (Node::new(), uid(), netns("10.1.0.8/32"));
    let _process = node.process(&pod, &netns);
    for addresses in [&["10.1.0.7"][..], &[]] {
        assert!(node.survey(&spec(&pod, addresses), None).unwrap_err().is_awaited(), "{addresses:?}");
    }
}

#[test]
fn processes_in_foreign_namespaces_do_not_mix_pods() {
    let (mut node, a, b) = (Node::new(), uid(), uid());
    let (of_a, of_b) = (netns("10.1.0.1/32"), netns("10.1.0.2/32"));
    let _b = node.process(&b, &of_b);
    let _a_in_b = node.process(&a, &of_b);
    let _debugger = node.passer_by(&of_a);
    let (a, b) = (spec(&a, &["10.1.0.1"]), spec(&b, &["10.1.0.2"]));
    assert!(node.survey(&a, None).unwrap_err().is_awaited());
    node.finds(&b, None, &of_b);
    let _a = node.process(&a.uid, &of_a);
    let wanted = node.namespaces.survey(&[a, b], &BTreeMap::new());
    let found: Vec<_> = wanted.iter().map(|wish| wish.found.as_ref().unwrap().id()).collect();
    assert_eq!(found, [of_a.id(), of_b.id()]);
}

#[test]
fn of_two_namespaces_the_one_counts_whose_process_started_first() {
    for first_is_shown_last in [false, true] {
        let (mut node, pod) = (Node::new(), uid());
        let (sandbox, copy) = (netns("10.1.0.7/32"), netns("10.1.0.7/32"));
        let first = node.process(&pod, &sandbox);
        let second = later_process(&node, &pod, &copy, &first);
        if first_is_shown_last {
            node.hide(&first);
            node.show(second.0.id() + 1_000_000, &first);
        }
        node.finds(&spec(&pod, &["10.1.0.7"]), None, &sandbox);
    }
}

#[test]
fn as_long_as_the_witness_is_there_nothing_is_searched() {
    let (mut node, pod) = (Node::new(), uid());
    let (sandbox, copy) = (netns("10.1.0.7/32"), netns("10.1.0.7/32"));
    let spec = spec(&pod, &["10.1.0.7"]);
    let earlier = node.process(&pod, &copy);
    node.hide(&earlier);
    let mut witness = later_process(&node, &pod, &sandbox, &earlier);
    let held = node.finds(&spec, None, &sandbox);
    // A search would prefer this one.
    node.show(earlier.0.id(), &earlier);
    node.finds(&spec, Some(&held), &sandbox);
    node.finds(&spec, None, &sandbox);
    // Nor does the pod join a search that is made for another one.
    for _ in 0..2 {
        let both = [spec.clone(), lab::spec(&uid(), &["10.1.0.99"])];
        let found = node.namespaces.survey(&both, &BTreeMap::new()).remove(0).found.unwrap();
        assert_eq!(found.id(), sandbox.id());
    }
    witness.end();
    node.finds(&spec, Some(&held), &copy);
}

#[test]
fn another_process_with_the_number_of_the_witness_is_no_witness() {
    let (mut node, pod, sandbox) = (Node::new(), uid(), netns("10.1.0.7/32"));
    let spec = spec(&pod, &["10.1.0.7"]);
    let witness = node.process(&pod, &sandbox);
    let held = node.finds(&spec, None, &sandbox);
    address_in(&sandbox, "del", "10.1.0.7/32");
    node.finds(&spec, Some(&held), &sandbox);
    let other = Node::new();
    let debugger = later_process(&other, &uid(), &sandbox, &witness);
    node.show(witness.0.id(), &debugger);
    assert!(node.survey(&spec, Some(&held)).unwrap_err().is_gone());
}

#[test]
fn a_witness_that_has_left_is_no_witness() {
    let (mut node, pod) = (Node::new(), uid());
    let (sandbox, elsewhere) = (netns("10.1.0.7/32"), netns("10.9.9.9/32"));
    let spec = spec(&pod, &["10.1.0.7"]);
    let mut witness = node.wanderer(&pod, (&sandbox, &elsewhere));
    let held = node.finds(&spec, None, &sandbox);
    witness.go_to(&elsewhere);
    node.finds(&spec, Some(&held), &sandbox);
    address_in(&sandbox, "del", "10.1.0.7/32");
    assert!(node.survey(&spec, Some(&held)).unwrap_err().is_gone());
}

#[test]
fn the_namespace_of_the_host_is_no_pods() {
    let (mut node, pod, netns) = (Node::new(), uid(), netns("10.1.0.7/32"));
    let spec = spec(&pod, &["10.1.0.7"]);
    let process = node.process(&pod, &netns);
    node.show(1, &process);
    assert!(node.survey(&spec, None).unwrap_err().is_awaited());
    assert!(Host::find(&node.proc).unwrap().is(netns.id()));
}

#[test]
fn processes_that_end_during_the_search_do_not_end_it() {
    let (mut node, pod, netns) = (Node::new(), uid(), netns("10.1.0.7/32"));
    let mut ended = node.process(&pod, &netns);
    let mut zombie = node.process(&pod, &netns);
    let process = node.process(&pod, &netns);
    // Numbers in the order they are looked at: the dead ones first, and again last.
    for number in [2, 9_000_001] {
        node.show(number, &ended);
        node.show(number + 1, &zombie);
    }
    ended.end();
    zombie.0.kill().unwrap();
    fs::create_dir(node.proc.join("17")).unwrap();
    fs::write(node.proc.join("18"), "").unwrap();
    node.finds(&spec(&pod, &["10.1.0.7"]), None, &netns);
    drop(process);
}

#[test]
fn a_pod_follows_its_new_sandbox() {
    let (mut node, pod) = (Node::new(), uid());
    let (old, new) = (netns("10.1.0.7/32"), netns("10.1.0.8/32"));
    let mut process = node.process(&pod, &old);
    let before = spec(&pod, &["10.1.0.7"]);
    let held = node.finds(&before, None, &old);
    process.end();
    // Not every sandbox has processes that can be seen.
    assert!(Arc::ptr_eq(&held, &node.finds(&before, Some(&held), &old)));
    assert!(Arc::ptr_eq(&held, &node.finds(&before, None, &old)));
    address_in(&old, "del", "10.1.0.7/32");
    // It stays gone until nobody holds it any more.
    assert!(node.survey(&before, Some(&held)).unwrap_err().is_gone());
    assert!(node.survey(&before, Some(&held)).unwrap_err().is_gone());
    assert!(node.survey(&before, None).unwrap_err().is_awaited());
    let _process = node.process(&pod, &new);
    let after = spec(&pod, &["10.1.0.8"]);
    node.finds(&after, Some(&held), &new);
    node.finds(&after, None, &new);
}

#[test]
fn the_runtime_is_believed_without_a_process() {
    let (mut node, pod, sandbox) = (Node::new(), uid(), netns("10.1.0.7/32"));
    node.hand(&pod, &sandbox);
    for addresses in [&[][..], &["10.1.0.7"], &["10.9.9.9"]] {
        let found = node.finds(&spec(&pod, addresses), None, &sandbox);
        assert!(Arc::ptr_eq(&found, &sandbox), "{addresses:?}");
    }
    address_in(&sandbox, "del", "10.1.0.7/32");
    let spec = spec(&pod, &["10.1.0.7"]);
    assert!(node.survey(&spec, Some(&sandbox)).unwrap_err().is_gone());
    assert!(node.survey(&spec, None).unwrap_err().is_awaited());
}

#[test]
fn a_sandbox_from_before_the_agent_was_away_gives_way_to_what_runs() {
    let (mut node, pod) = (Node::new(), uid());
    let (dead, alive, foreign) = (netns("10.1.0.7/32"), netns("10.1.0.7/32"), netns("10.1.0.9/32"));
    let spec = spec(&pod, &["10.1.0.7"]);
    address_in(&dead, "del", "10.1.0.7/32");
    for stale in [dead, foreign] {
        node.hand(&pod, &stale);
        let _process = node.process(&pod, &alive);
        node.finds(&spec, Some(&stale), &alive);
        node.finds(&spec, None, &alive);
    }
}

#[test]
fn a_new_sandbox_is_taken_while_processes_of_the_old_one_remain() {
    let (mut node, pod) = (Node::new(), uid());
    let (old, new) = (netns("10.1.0.7/32"), netns("10.1.0.7/32"));
    let spec = spec(&pod, &["10.1.0.7"]);
    let _process = node.process(&pod, &old);
    let held = node.finds(&spec, None, &old);
    node.hand(&pod, &new);
    node.finds(&spec, Some(&held), &new);
    node.handed.withdraw(&pod, "c");
    node.finds(&spec, Some(&held), &old);
}

#[test]
fn a_node_that_cannot_be_looked_at_makes_no_pod_gone() {
    let (mut node, pod, sandbox) = (Node::new(), uid(), netns("10.1.0.7/32"));
    let spec = spec(&pod, &["10.1.0.7"]);
    let _process = node.process(&pod, &sandbox);
    let held = node.finds(&spec, None, &sandbox);
    address_in(&sandbox, "del", "10.1.0.7/32");
    fs::rename(&node.proc, node.proc.with_extension("away")).unwrap();
    let missing = node.survey(&spec, Some(&held)).unwrap_err();
    let all = node.namespaces.survey(&[spec.clone(), lab::spec(&uid(), &[])], &BTreeMap::new());
    assert!(all[1].found.as_ref().unwrap_err().is_awaited(), "nothing can be found out about it anyway");
    fs::rename(node.proc.with_extension("away"), &node.proc).unwrap();
    assert!(!missing.is_gone() && !missing.is_awaited(), "{missing}");
    let text = Chain(&missing).to_string();
    assert!(text.contains("CAP_SYS_PTRACE") && text.contains("No such file"), "{text}");
    node.finds(&spec, Some(&held), &sandbox);
}

/// In a process of its own, which may not look at processes that may do more than itself.
#[test]
fn a_pod_whose_processes_may_not_be_looked_at_is_neither_gone_nor_awaited() {
    const PROC: &str = "CULVERT_TEST_PROC";
    const POD: &str = "CULVERT_TEST_POD";
    if let (Ok(proc), Ok(pod)) = (std::env::var(PROC), std::env::var(POD)) {
        let specs = [spec(&Uid::from(&*pod), &["10.1.0.7"]), spec(&uid(), &["10.1.0.8"])];
        let wanted = Namespaces::new(proc.into(), Handed::default()).survey(&specs, &BTreeMap::new());
        let [hidden, other] = &wanted[..] else { panic!("{wanted:?}") };
        let hidden = hidden.found.as_ref().unwrap_err();
        assert!(!hidden.is_gone() && !hidden.is_awaited(), "{hidden}");
        assert!(other.found.as_ref().unwrap_err().is_awaited());
        return;
    }
    let (node, pod, netns) = (Node::new(), uid(), netns("10.1.0.7/32"));
    let _process = node.process(&pod, &netns);
    let test = std::thread::current().name().unwrap().to_owned();
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "60", "setpriv", "--bounding-set", "-sys_ptrace"]);
    command.arg(std::env::current_exe().unwrap());
    command.args([&*test, "--exact"]).env(PROC, &node.proc).env(POD, pod.as_str());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn pods_nobody_wants_are_found_all_at_once() {
    let (node, a, b, c) = (Node::new(), uid(), uid(), uid());
    let (of_a, of_b) = (netns("10.1.0.1/32"), netns("10.1.0.2/32"));
    let _processes = [node.process(&a, &of_a), node.process(&b, &of_b), node.process(&c, &of_b)];
    let pods: Vec<_> = [(&a, "10.1.0.1"), (&b, "10.1.0.2"), (&c, "10.1.0.3")]
        .map(|(uid, address)| (uid.clone(), Arc::from([lab::ip(address)])))
        .into();
    let found = node.namespaces.scan_all(&pods);
    let found: Vec<_> = found.iter().map(|(uid, netns)| (uid, netns.id())).collect();
    assert_eq!(found, [(&a, of_a.id()), (&b, of_b.id())]);
}

#[test]
fn one_descriptor_is_kept_for_a_pod_and_none_of_a_search() {
    let node = Node::new();
    let pods: Vec<_> = (1..=5).map(|n| (uid(), netns(&format!("10.1.1.{n}/32")))).collect();
    let processes: Vec<_> = pods.iter().map(|(uid, netns)| node.process(uid, netns)).collect();
    let specs: Vec<_> = (1..).zip(&pods).map(|(n, (uid, _))| spec(uid, &[&format!("10.1.1.{n}")])).collect();
    let open = || {
        let links =
            fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
        let ours = |link: &PathBuf| {
            pods.iter().any(|(_, netns)| link.as_os_str() == &*netns.id().to_string())
                || processes.iter().any(|process| link.starts_with(format!("/proc/{}", process.0.id())))
                || link.starts_with(&node.proc)
        };
        links.filter(ours).count()
    };
    let proc = node.proc.clone();
    let mut namespaces = Namespaces::new(proc, Handed::default());
    assert_eq!(open(), 5);
    for _ in 0..3 {
        assert!(namespaces.survey(&specs, &BTreeMap::new()).iter().all(|wish| wish.found.is_ok()));
        assert_eq!(open(), 10);
    }
    let held = pods.iter().cloned().collect();
    for _ in 0..3 {
        assert!(namespaces.survey(&specs, &held).iter().all(|wish| wish.found.is_ok()));
        assert_eq!(open(), 5);
    }
    namespaces.survey(&[], &held);
    drop(held);
    assert_eq!(open(), 5);
}
