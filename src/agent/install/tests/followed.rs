//! Others write their configuration while ours is kept in it.

use std::thread;
use std::time::Instant;

use futures::future::join_all;

use super::*;

/// Longer than a repair may take, on a machine that is busy.
const SOON: Duration = Duration::from_secs(20);

struct Running {
    node: Node,
    installation: watch::Receiver<Installation>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(node: Node) -> Self {
        let (sender, installation) = watch::channel(Installation::begun());
        let task = tokio::spawn(run(node.settings.clone(), sender));
        Self { node, installation, task }
    }

    /// Waits until a file says something, and returns how long that took.
    async fn until(&self, name: &str, wanted: impl Fn(&str) -> bool) -> Duration {
        let start = Instant::now();
        while !fs::read_to_string(self.node.conf.join(name)).is_ok_and(|text| wanted(&text)) {
            assert!(start.elapsed() < SOON, "{name} is {:?}", fs::read_to_string(self.node.conf.join(name)));
            sleep(Duration::from_millis(10)).await;
        }
        start.elapsed()
    }

    async fn until_done(&mut self) {
        let done = self.installation.wait_for(|state| *state == Installation::Done);
        tokio::time::timeout(SOON, done).await.expect("it is installed in time").unwrap();
    }

    async fn stop(self) -> Node {
        drop(self.installation);
        tokio::time::timeout(SOON, self.task).await.expect("it ends in time").unwrap();
        self.node
    }
}

#[tokio::test]
async fn a_cni_that_comes_later_and_rewrites_its_file_is_joined_each_time_within_two_seconds() {
    let mut running = Running::start(Node::new(Mode::Append, &[]));
    let has_begun = running.installation.wait_for(|state| *state != Installation::begun());
    tokio::time::timeout(SOON, has_begun).await.expect("it begins in time").unwrap();
    assert!(running.installation.borrow().why_not().unwrap().contains("no valid CNI configuration"));
    assert!(running.node.bin.join(PLUGIN).exists(), "the executable need not wait");
    for round in 0..3 {
        running.node.conf.write("05-cilium.conflist", CILIUM);
        let took = running.until("05-cilium.conflist", |text| text.contains(PLUGIN)).await;
        assert!(took < Duration::from_secs(2), "round {round}: {took:?}");
        running.until_done().await;
    }
    fs::remove_file(running.node.bin.join(PLUGIN)).unwrap();
    let start = Instant::now();
    while !running.node.bin.join(PLUGIN).exists() {
        assert!(start.elapsed() < SOON);
        sleep(Duration::from_millis(10)).await;
    }
    running.stop().await;
}

#[tokio::test]
async fn the_own_file_wins_again_after_somebody_has_put_it_aside() {
    let mut running = Running::start(Node::new(Mode::Own, &[("05-cilium.conflist", CILIUM)]));
    running.until_done().await;
    let conf = &running.node.conf;
    fs::rename(conf.join(plan::OWN), conf.join("00-culvert.conflist.cilium_bak")).unwrap();
    running.until(plan::OWN, |text| text.contains(PLUGIN)).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_a_busy_owner_writes_is_lost() {
    let both = [Mode::Append, Mode::Own].map(async |mode| {
        let running = Running::start(Node::new(mode, &[("05-cilium.conflist", CILIUM)]));
        let path = running.node.conf.join("05-cilium.conflist");
        let newest = CILIUM.replace("false", "\"newest\"");
        let last = newest.clone();
        let owner = tokio::task::spawn_blocking(move || {
            for round in 0..150 {
                let text = CILIUM.replace("false", &round.to_string());
                match round % 3 {
                    // Not all owners are careful.
                    0 => fs::write(&path, &text).unwrap(),
                    _ => {
                        let draft = path.with_extension("tmp");
                        fs::write(&draft, &text).unwrap();
                        fs::rename(&draft, &path).unwrap();
                    }
                }
                thread::sleep(Duration::from_millis(20));
            }
            fs::write(&path, &last).unwrap();
        });
        owner.await.unwrap();
        let ours = if mode == Mode::Own { plan::OWN } else { "05-cilium.conflist" };
        running.until(ours, |text| text.contains("newest") && text.contains(PLUGIN)).await;
        let node = running.stop().await;
        node.remove();
        assert_eq!(node.conf.read("05-cilium.conflist"), newest, "{mode:?}");
    });
    join_all(both).await;
}
