//! Pods that are started, and what becomes of what was begun for them.

use super::*;

#[tokio::test]
async fn a_pod_starts_once_it_is_protected_in_the_very_namespace_it_was_given() {
    let (netns, other) = (Netns::create().unwrap(), Netns::create().unwrap());
    let agent = Agent::start(Some(shop(true)));
    // What was said of an earlier sandbox is about that one.
    agent.post(State::Enrolled, Some(other.id()), 1);
    let answer = agent.asking("add", &request(&netns));
    assert_eq!(agent.until_handed("u").await, netns.id());
    for (state, at, nodes) in [
        (State::Awaited, None, 0),
        (State::Programming, Some(netns.id()), 0),
        (State::Enrolled, Some(netns.id()), 0),
        (State::Enrolled, Some(other.id()), 1),
        (State::Impaired { reason: "x".into() }, Some(netns.id()), 1),
        (quarantined("of the earlier one"), Some(other.id()), 0),
    ] {
        agent.post(state.clone(), at, nodes);
        // The answer would be sent before this one is: there is one thread.
        agent.ask("check", &request(&netns)).await;
        assert!(!answer.is_finished(), "{state:?} {at:?} {nodes}");
    }
    agent.post(State::Enrolled, Some(netns.id()), 1);
    assert_eq!(soon(answer).await.unwrap(), (200, json!({"enrolled": true})));
    assert!(agent.handed.of(&"u".into()).is_some());

    let check = agent.ask("check", &request(&netns)).await;
    assert_eq!(check, (200, json!({"enrolled": true})));
    assert_eq!(agent.ask("check", &request(&other)).await.0, 503);
}

#[tokio::test]
async fn a_pod_that_cannot_be_captured_hears_why_and_its_namespace_is_forgotten() {
    let netns = Netns::create().unwrap();
    let agent = Agent::start(Some(shop(true)));
    let old = quarantined("left from the last attempt");
    agent.post(old, None, 0);
    let answer = agent.asking("add", &request(&netns));
    agent.until_handed("u").await;
    agent.ask("check", &request(&netns)).await;
    assert!(!answer.is_finished(), "that was before the namespace was known");
    agent.post(quarantined("iptables is broken"), Some(netns.id()), 0);
    let (status, refusal) = soon(answer).await.unwrap();
    assert_eq!((status, reason(&refusal), &refusal["ready"]), (503, "iptables is broken", &json!(true)));
    assert!(agent.handed.of(&"u".into()).is_none());
}

#[tokio::test]
async fn what_fails_again_in_the_new_namespace_is_told_at_once() {
    let netns = Netns::create().unwrap();
    let agent = Agent::start(Some(shop(true)));
    agent.post(quarantined("iptables is broken"), None, 0);
    let answer = agent.asking("add", &request(&netns));
    agent.until_handed("u").await;
    agent.boards.send_modify(|board| {
        let tried_again = Status { netns: Some(netns.id()), ..Status::clone(&board["u"]) };
        *board = Arc::new([(Uid::from("u"), Arc::new(tried_again))].into());
    });
    let (_, refusal) = timeout(ENOUGH, answer).await.expect("long before the deadline").unwrap();
    assert_eq!(reason(&refusal), "iptables is broken");
}

#[tokio::test]
async fn a_pod_nobody_serves_is_not_waited_for_for_ever() {
    let netns = Netns::create().unwrap();
    let agent = Agent::impatient(Some(shop(true)));
    agent.post(State::Enrolled, Some(netns.id()), 0);
    let start = Instant::now();
    let (status, refusal) = agent.ask("add", &request(&netns)).await;
    assert_eq!(status, 503);
    assert!(reason(&refusal).contains("no node proxy has taken it"), "{refusal}");
    assert!(start.elapsed() >= IMPATIENT.enrol, "a node may be about to come: {:?}", start.elapsed());
    assert!(agent.handed.of(&"u".into()).is_none());
}

#[tokio::test]
async fn a_namespace_is_forgotten_when_the_plugin_has_gone_away() {
    let netns = Netns::create().unwrap();
    let agent = Agent::start(Some(shop(true)));
    let answer = agent.asking("add", &request(&netns));
    agent.until_handed("u").await;
    answer.abort();
    let mut changes = agent.handed.changes();
    let forgotten = timeout(ENOUGH, changes.wait_for(|all| all.is_empty())).await;
    forgotten.expect("long before the deadline").unwrap();
}

#[tokio::test]
async fn a_pod_outside_the_mesh_starts_at_once_and_is_not_handed_over() {
    let netns = Netns::create().unwrap();
    let agent = Agent::start(Some(shop(false)));
    for what in ["add", "check"] {
        let (status, answer) = agent.ask(what, &request(&netns)).await;
        assert_eq!((status, &answer["enrolled"]), (200, &json!(false)), "{what}");
        assert!(answer["note"].as_str().unwrap().contains("labelled"), "{answer}");
    }
    assert!(agent.handed.of(&"u".into()).is_none());
}

#[tokio::test]
async fn without_a_uid_the_name_counts() {
    let netns = Netns::create().unwrap();
    let agent = Agent::start(Some(shop(true)));
    let mut request = request(&netns);
    request.as_object_mut().unwrap().remove("podUid");
    let answer = agent.asking("add", &request);
    agent.until_handed("u").await;
    agent.post(State::Enrolled, Some(netns.id()), 1);
    assert_eq!(soon(answer).await.unwrap().0, 200);
    assert_eq!(agent.ask("del", &request).await.0, 200);
    assert!(agent.handed.of(&"u".into()).is_none());
}

#[tokio::test]
async fn only_the_sandbox_that_was_taken_down_is_forgotten_even_if_its_pod_is_gone() {
    let netns = Arc::new(Netns::create().unwrap());
    let agent = Agent::start(None);
    let sandbox = crate::handed::Sandbox { container: "c2".into(), netns: Arc::clone(&netns) };
    agent.handed.put("u".into(), sandbox);
    assert_eq!(agent.ask("del", &request(&netns)).await.0, 200);
    assert!(agent.handed.of(&"u".into()).is_some(), "c1 was taken down, c2 is there");
    let mut second = request(&netns);
    second["containerId"] = json!("c2");
    assert_eq!(agent.ask("del", &second).await.0, 200);
    assert!(agent.handed.of(&"u".into()).is_none());
}

#[tokio::test]
async fn what_is_no_pods_namespace_is_refused() {
    let netns = Netns::create().unwrap();
    let agent = Agent::start(Some(shop(true)));
    for (path, status, hint) in [
        ("/proc/self/ns/net", 400, "host"),
        ("/run/netns/there-is-none", 503, "mountPropagation"),
        ("/etc/passwd", 503, "not a network namespace"),
        ("/tmp", 503, "not a network namespace"),
    ] {
        let mut request = request(&netns);
        request["netns"] = json!(path);
        let (got, answer) = agent.ask("add", &request).await;
        assert_eq!(got, status, "{path}: {answer}");
        assert!(reason(&answer).contains(hint), "{answer}");
    }
    let mut request = request(&netns);
    request["netns"] = Value::Null;
    assert_eq!(agent.ask("add", &request).await.0, 400);
    assert!(agent.handed.of(&"u".into()).is_none());
}

#[test]
fn the_hosts_files_are_looked_for_below_the_prefix() {
    let seen = |prefix: &str| add::seen_from_here(Path::new(prefix), "/var/run/netns/x");
    assert_eq!(seen(""), Path::new("/var/run/netns/x"));
    assert_eq!(seen("/host"), Path::new("/host/var/run/netns/x"));
}
