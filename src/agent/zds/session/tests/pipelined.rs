//! Several requests at once: in order, within bounds, and without harm when the node misbehaves in the middle.

use std::os::fd::AsFd as _;
use std::process::Command;

use tokio::time::sleep;

use super::*;
use crate::zds::window::WIDTH;

/// Longer than anything here takes.
const FAR: Duration = Duration::from_secs(60);

/// Pods `000`, `001` and so on, all in one namespace: what a session makes of it does not matter.
fn pods(count: usize) -> Vec<(String, Entry)> {
    let netns = Arc::new(Netns::current().unwrap());
    let pod = |n: usize| {
        let name = format!("{n:04}");
        let workload =
            Workload { name: name.clone(), namespace: "shop".into(), service_account: "sa".into() };
        (name, Entry::Serve(Arc::new(Enrolled::new(workload, Arc::clone(&netns), Probes::default()))))
    };
    (0..count).map(pod).collect()
}

fn named(pods: &[(String, Entry)]) -> Vec<(&str, &Entry)> {
    pods.iter().map(|(uid, entry)| (uid.as_str(), entry)).collect()
}

fn add(uid: &str) -> String {
    format!("add {uid} shop/{uid}/sa")
}

impl Agent {
    /// How many nodes serve each of the pods.
    fn serving(&self, pods: &[(String, Entry)]) -> Vec<usize> {
        let of = |(uid, entry): &(String, Entry)| self.served.of(&Uid::from(&**uid), id(entry));
        pods.iter().map(of).collect()
    }

    /// Waits until this many nodes serve each of the pods.
    async fn serves(&self, pods: &[(String, Entry)], nodes: &[usize]) {
        let mut changes = self.served.changes();
        let become_true = async {
            while self.serving(pods) != nodes {
                changes.changed().await.unwrap();
            }
        };
        timeout(FAR, become_true).await.unwrap_or_else(|_| panic!("{:?}, not {nodes:?}", self.serving(pods)));
    }
}

impl Node {
    /// Whether a request is there to be heard without any wait.
    async fn hears_something(&self) -> bool {
        // What the session does by itself, it does when it gets a turn.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        timeout(Duration::from_millis(50), self.channel.receive(PACKET_LIMIT)).await.is_ok()
    }
}

#[tokio::test]
async fn requests_follow_each_other_before_they_are_answered_up_to_the_window() {
    let pods = pods(WIDTH + 2);
    let agent = Agent::with(&named(&pods));
    let node = agent.connect().await;
    for (uid, _) in &pods[..WIDTH] {
        assert_eq!(node.hear().await.0, add(uid));
    }
    assert!(!node.hears_something().await, "the window is full");
    node.ack("").await;
    assert_eq!(node.hear().await.0, add(&pods[WIDTH].0));
    for _ in 0..WIDTH {
        node.ack("").await;
    }
    assert_eq!(node.hear().await.0, add(&pods[WIDTH + 1].0));
    assert_eq!(node.hear().await.0, "end of snapshot");
}

#[tokio::test]
async fn answers_belong_to_requests_in_their_order() {
    let pods = pods(3);
    let agent = Agent::with(&named(&pods));
    let node = agent.connect().await;
    for _ in 0..4 {
        node.hear().await;
    }
    for answer in ["", "no place", "", ""] {
        node.ack(answer).await;
    }
    agent.serves(&pods, &[1, 0, 1]).await;
    let refusal = agent.served.refusal(&Uid::from("0001"), id(&pods[1].1));
    assert_eq!(refusal.as_deref(), Some("no place"));
    assert_eq!(node.hear().await.0, add("0001"), "it alone is tried again");
    node.ack("").await;
    agent.serves(&pods, &[1, 1, 1]).await;
    node.end().await.unwrap();
    assert_eq!(agent.serving(&pods), [0, 0, 0], "nobody is there any more");
}

#[tokio::test(start_paused = true)]
async fn a_slow_node_has_the_whole_deadline_for_each_request() {
    let pods = pods(WIDTH);
    let agent = Agent::with(&named(&pods));
    let node = agent.connect().await;
    let begin = Instant::now();
    for (uid, _) in &pods {
        assert_eq!(node.hear().await.0, add(uid));
        // Its work; the others wait in its socket meanwhile.
        sleep(ANSWER_DEADLINE - Duration::from_secs(1)).await;
        node.ack("").await;
    }
    assert_eq!(node.hear().await.0, "end of snapshot");
    node.ack("").await;
    agent.serves(&pods, &[1; WIDTH]).await;
    assert!(begin.elapsed() > ANSWER_DEADLINE * 10);
    node.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_removal_waits_behind_one_request_at_most_at_a_slow_node() {
    let pods = pods(WIDTH * 2);
    let agent = Agent::with(&named(&pods[..1]));
    let node = agent.connect_and_sync().await;
    agent.publish(&named(&pods));
    for (uid, _) in &pods[1..=WIDTH] {
        assert_eq!(node.hear().await.0, add(uid));
        sleep(Duration::from_secs(2)).await;
        node.ack("").await;
    }
    assert_eq!(node.hear().await.0, add(&pods[WIDTH + 1].0));
    agent.publish(&named(&pods[1..]));
    sleep(Duration::from_secs(2)).await;
    node.ack("").await;
    assert_eq!(node.told().await, "delete 0000");
}

#[tokio::test]
async fn a_node_that_answers_twice_is_closed_and_counts_no_more() {
    let pods = pods(4);
    let agent = Agent::with(&named(&pods));
    let node = agent.connect().await;
    for _ in 0..5 {
        node.hear().await;
    }
    for _ in 0..6 {
        node.ack("").await;
    }
    assert!(matches!(node.closed_by_agent().await, Error::Unasked));
    assert_eq!(agent.serving(&pods), [0; 4]);
}

#[tokio::test]
async fn a_node_that_dies_with_requests_unread_is_an_error_and_the_next_one_is_told_all() {
    let pods = pods(5);
    let agent = Agent::with(&named(&pods));
    let node = agent.connect().await;
    node.told().await;
    node.told().await;
    agent.serves(&pods, &[1, 1, 0, 0, 0]).await;
    let error = node.end().await.unwrap_err();
    assert!(matches!(&error, Error::Abandoned(request) if request.uid() == Some(&"0002".into())), "{error}");
    assert_eq!(agent.serving(&pods), [0; 5]);
    let next = agent.connect_and_sync().await;
    agent.serves(&pods, &[1; 5]).await;
    next.end().await.unwrap();
}

#[tokio::test]
async fn while_two_nodes_are_there_both_count_and_the_newest_is_given_what_is_new() {
    let pods = pods(2);
    let agent = Agent::with(&named(&pods[..1]));
    let old = agent.connect_and_sync().await;
    let new = agent.connect_and_sync().await;
    agent.serves(&pods, &[2, 0]).await;
    agent.publish(&named(&pods));
    assert_eq!(new.told().await, add("0001"));
    agent.serves(&pods, &[2, 1]).await;
    old.end().await.unwrap();
    assert_eq!(agent.serving(&pods), [1, 1]);
    agent.publish(&named(&pods[1..]));
    assert_eq!(new.hear().await.0, "delete 0000");
    assert_eq!(agent.serving(&pods), [0, 1], "it does not count from when it is told");
    new.ack("").await;
    new.end().await.unwrap();
}

#[tokio::test]
async fn a_thousand_pods_are_told_in_as_few_round_trips_as_the_window_allows() {
    const PODS: usize = 1_000;
    let pods = pods(PODS);
    let agent = Agent::with(&named(&pods));
    let node = agent.connect().await;
    let mut left = PODS + 1;
    while left > 0 {
        // It answers nothing before it has heard as many as may be outstanding.
        let at_once = left.min(WIDTH);
        for _ in 0..at_once {
            node.hear().await;
        }
        for _ in 0..at_once {
            node.ack("").await;
        }
        left -= at_once;
    }
    agent.serves(&pods, &[1; PODS]).await;
}

/// The kernel lets a process without `CAP_SYS_RESOURCE` and `CAP_SYS_ADMIN` send only as many descriptors, before others take
/// them, as it may have open. The test is such a process, started by itself.
#[tokio::test]
async fn a_kernel_with_too_many_descriptors_under_way_is_waited_for() {
    const NAME: &str = "CULVERT_TEST_WITH_FEW_DESCRIPTORS";
    if std::env::var_os(NAME).is_some() {
        return wait_for_the_kernel().await;
    }
    let test = std::thread::current().name().unwrap().to_owned();
    let output = Command::new("prlimit")
        .args(["--nofile=40:40", "setpriv", "--bounding-set=-sys_resource,-sys_admin"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", &test])
        .env(NAME, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

async fn wait_for_the_kernel() {
    let (busy, idle) = Channel::pair().unwrap();
    let netns = Netns::current().unwrap();
    let full = loop {
        if let Err(error) = busy.send(b"x", Some(netns.as_fd())).await {
            break error;
        }
    };
    assert_eq!(full.raw_os_error(), Some(TOO_MANY_UNDER_WAY));
    let pods = pods(2);
    let agent = Agent::with(&[("0000", &Entry::Keep)]);
    let node = agent.connect_and_sync().await;
    agent.publish(&[("0000", &Entry::Keep), (&pods[1].0, &pods[1].1)]);
    assert!(!node.hears_something().await, "it cannot be told");
    agent.publish(&named(&pods[1..]));
    assert_eq!(node.told().await, "delete 0000", "what needs no descriptor is told");
    assert!(!node.session.is_finished());
    // Somebody takes theirs.
    drop(idle);
    assert_eq!(node.told().await, add("0001"));
    node.end().await.unwrap();
}
