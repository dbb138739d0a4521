//! A mesh of its own on two nodes, and a pod on each: `client` on the first calls `server` on the other.

use culvert_lab::{Capture, Container, Pod};

use super::cluster::ECHO;
use super::one_node::OneNode;
use super::standalone::Standalone;
use super::talk::{Ending, assert_echo, exchange};

/// The namespace the pods are in, which is in the mesh as a whole.
pub(crate) const SHOP: &str = "shop";

/// The two.
pub(crate) struct Pair {
    pub(crate) cluster: Standalone,
    pub(crate) two: OneNode,
    pub(crate) client: Pod,
    pub(crate) server: Container,
}

impl Pair {
    /// Starts everything, and waits until the pods reach each other.
    #[track_caller]
    pub(crate) fn start(name: &str) -> Self {
        let cluster = Standalone::start(name, &[SHOP]);
        let two = cluster.join("two");
        cluster.node.kubernetes.label_namespace(SHOP, Some("ambient"));
        let client = cluster.node.run(SHOP, "client").pod().clone();
        let server = two.run(SHOP, "server");
        let pair = Self { cluster, two, client, server };
        pair.settle();
        pair
    }

    /// The first node.
    pub(crate) fn one(&self) -> &OneNode {
        &self.cluster.node
    }

    /// Runs another pod on the second node, and waits until it is a member as any other.
    #[track_caller]
    pub(crate) fn welcome(&self) {
        let late = self.two.run(SHOP, "late").pod().clone();
        self.cluster.wait_until_in(&[&late]);
        for (node, from) in [(self.one(), &self.client), (&self.two, self.server.pod())] {
            let is_private = || node.is_answered_in_private(from, (late.ip4(), ECHO));
            node.wait(&format!("{} talks to it in private", from.name()), is_private);
        }
        assert_echo(&late, (self.client.ip4(), ECHO), b"hello");
    }

    /// Waits until both pods are in the mesh and reach each other in private.
    #[track_caller]
    pub(crate) fn settle(&self) {
        let server = self.server.pod();
        self.cluster.wait_until_in(&[&self.client, server]);
        let reached = |from: &Pod, to: &Pod| {
            exchange(from, (to.ip4(), ECHO), b"there?") == Ending::Complete(b"there?".to_vec())
        };
        self.one().wait("the pods reach each other", || {
            reached(&self.client, server) && reached(server, &self.client)
        });
        self.one().wait("what they say is in tunnels", || !self.is_read(b"said in confidence"));
    }

    fn is_read(&self, text: &[u8]) -> bool {
        let server = self.server.pod();
        self.record(|| assert_echo(&self.client, (server.ip4(), ECHO), text)).contains(text)
    }

    /// Records what passes between the nodes while something happens.
    #[track_caller]
    pub(crate) fn record(&self, happen: impl FnOnce()) -> Capture {
        let wire = self.one().lab.wire(&self.one().node, &self.two.node).unwrap();
        happen();
        let capture = wire.stop().unwrap();
        capture.assert_lossless();
        capture
    }
}
