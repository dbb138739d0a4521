//! Agents that know less than the node, say the wrong thing, or change their mind.

use super::*;

/// Takes a port the node needs.
fn squat(pod: &Netns) -> std::net::TcpListener {
    pod.run(|| std::net::TcpListener::bind(("0.0.0.0", INBOUND_TUNNEL)).unwrap()).unwrap()
}

fn end_of_snapshot() -> Payload {
    Payload::SnapshotSent(SnapshotSent {})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_is_set_aside_is_tried_again_also_when_the_next_agent_has_lost_its_namespace() {
    let agent = Agent::start("aside-kept");
    let (first, taken) = (agent.session().await, pod());
    let squatter = squat(&taken);
    assert_ne!(ask(&first, add("taken"), Some(&taken)).await, "");
    assert_eq!(ask(&first, end_of_snapshot(), None).await, "");
    drop(first);
    let second = agent.session().await;
    assert_eq!(ask(&second, keep("taken"), None).await, "");
    assert_eq!(ask(&second, end_of_snapshot(), None).await, "");
    drop(squatter);
    becomes(&taken, true).await;
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_a_pod_that_is_taken_out_while_it_is_set_aside() {
    let agent = Agent::start("aside-gone");
    let (channel, taken) = (agent.session().await, pod());
    let squatter = squat(&taken);
    assert_ne!(ask(&channel, add("taken"), Some(&taken)).await, "");
    assert_eq!(agent.state.pods().len(), 1);
    assert_eq!(ask(&channel, end_of_snapshot(), None).await, "");
    assert_eq!(ask(&channel, delete("taken"), None).await, "");
    assert!(agent.state.pods().is_empty());
    drop(squatter);
    // The first retry would have been after a second.
    let retried = tokio::time::timeout(Duration::from_millis(1_500), becomes(&taken, true)).await;
    assert!(retried.is_err(), "it is served all the same");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_moved_while_it_was_set_aside_is_not_tried_where_it_was() {
    let agent = Agent::start("aside-moved");
    let (channel, old, new) = (agent.session().await, pod(), pod());
    let squatter = squat(&old);
    assert_ne!(ask(&channel, add("one"), Some(&old)).await, "");
    assert_eq!(ask(&channel, add("one"), Some(&new)).await, "");
    drop(squatter);
    let retried = tokio::time::timeout(Duration::from_millis(1_500), becomes(&old, true)).await;
    assert!(retried.is_err() && is_served(&new));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_is_kept_and_not_known_does_not_count_as_served() {
    let agent = Agent::start("ghost");
    let (channel, one) = (agent.session().await, pod());
    assert_eq!(ask(&channel, keep("ghost"), None).await, "");
    assert_eq!(ask(&channel, end_of_snapshot(), None).await, "");
    assert!(agent.is_ready() && agent.state.pods().is_empty());
    assert_eq!(ask(&channel, add("ghost"), Some(&one)).await, "", "until the agent has its namespace");
    assert!(is_served(&one));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_descriptor_that_is_no_network_namespace_is_refused() {
    let agent = Agent::start("kinds");
    let channel = agent.session().await;
    for path in ["/dev/null", "/proc/self/ns/mnt", "/proc/self"] {
        let file = std::fs::File::open(path).unwrap();
        let bytes = WorkloadRequest { payload: Some(add("one")) }.encode_to_vec();
        channel.send(&bytes, Some(file.as_fd())).await.unwrap();
        let packet = soon(channel.receive(1024)).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&packet.bytes).into_owned();
        assert!(said.contains("not usable") && said.contains("not a network namespace"), "{path}: {said}");
    }
    assert!(agent.state.pods().is_empty());
    agent.stop().await;
}

/// Requests wait in the socket while one is at work: each is answered, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_come_before_others_are_answered_are_answered_in_order() {
    let agent = Agent::start("queued");
    let (channel, one, two) = (agent.session().await, pod(), pod());
    let requests = [(add("one"), Some(&one)), (add("two"), Some(&one)), (add("two"), Some(&two))];
    for (payload, netns) in requests.into_iter().chain([(end_of_snapshot(), None), (delete("one"), None)]) {
        let bytes = WorkloadRequest { payload: Some(payload) }.encode_to_vec();
        channel.send(&bytes, netns.map(Netns::as_fd)).await.unwrap();
    }
    let mut refused = Vec::new();
    for _ in 0..5 {
        let packet = soon(channel.receive(1024)).await.unwrap().unwrap();
        refused.push(packet.bytes != [0x0a, 0x00]);
    }
    assert_eq!(refused, [false, true, false, false, false]);
    becomes(&one, false).await;
    assert!(is_served(&two) && agent.is_ready());
    agent.stop().await;
}
