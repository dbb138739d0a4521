//! Kubelet's probes: what the host may say to a pod in plaintext, whatever the policies demand.
//!
//! In go the facts the node agent tells of a pod: the addresses the host uses towards it, and the ports kubelet probes. Out comes
//! whether a caller is let in by them, and when a live one no longer is. This is beside [`culvert_core::policy`] and not in it:
//! policies are the mesh's and mean the same on every node, while who the host is to a pod is known on its node alone.
//!
//! The host is known by its address, so whoever is given that address on the way (by masquerading) is let in to those ports as
//! well. Whether the destination is the pod's own is not looked at here.

use std::collections::BTreeSet;
use std::net::IpAddr;

use culvert_core::policy::Peer;
use tokio::sync::watch;

/// What kubelet does to a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Probes {
    ports: BTreeSet<u16>,
    /// The addresses kubelet calls from, in canonical form.
    from: BTreeSet<IpAddr>,
}

impl Probes {
    /// Either kind of fact without the other lets nobody in.
    pub(crate) fn new(ports: BTreeSet<u16>, from: impl IntoIterator<Item = IpAddr>) -> Self {
        let from = from.into_iter().map(|ip| ip.to_canonical()).filter(|ip| !ip.is_unspecified());
        Self { ports, from: from.collect() }
    }

    /// Whether the peer calls as kubelet does: without a tunnel, from the host, at a port that is probed.
    fn include(&self, peer: &Peer) -> bool {
        peer.identity.is_none()
            && self.ports.contains(&peer.destination.port())
            && self.from.contains(&peer.source.ip().to_canonical())
    }
}

/// Recognises the probes of one pod, by the facts of the moment.
#[derive(Debug, Clone)]
pub(crate) struct Recogniser(watch::Receiver<Probes>);

impl Recogniser {
    /// Recognises by what is sent there.
    pub(crate) fn of(facts: &watch::Sender<Probes>) -> Self {
        Self(facts.subscribe())
    }

    /// Recognises nothing: there is no agent that knows of probes.
    pub(crate) fn of_nothing() -> Self {
        Self(watch::channel(Probes::default()).1)
    }

    /// Whether the peer is let in as a probe.
    pub(crate) fn knows(&self, peer: &Peer) -> bool {
        self.0.borrow().include(peer)
    }

    /// Resolves when a peer that was let in is no probe any more. Facts that nobody can change stay.
    pub(crate) async fn no_longer_knows(&self, peer: &Peer) {
        let mut facts = self.0.clone();
        if facts.wait_for(|facts| !facts.include(peer)).await.is_err() {
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use culvert_core::identity::SpiffeId;

    use super::*;

    fn probes() -> Probes {
        let from = ["10.0.0.1", "::ffff:10.0.0.2", "fd00::1", "0.0.0.0", "::"];
        Probes::new([8080, 9090].into(), from.map(|ip| ip.parse().unwrap()))
    }

    fn peer(source: &str, port: u16) -> Peer {
        let source = format!("{source}:40000").parse().unwrap();
        Peer { identity: None, source, destination: ([10, 0, 0, 9], port).into() }
    }

    #[test]
    fn the_host_is_let_in_to_the_ports_that_are_probed_and_to_no_other() {
        let check = |source: &str, port, expected| {
            assert_eq!(probes().include(&peer(source, port)), expected, "{source} -> {port}");
        };
        check("10.0.0.1", 8080, true);
        check("10.0.0.1", 9090, true);
        check("10.0.0.2", 8080, true);
        check("[::ffff:10.0.0.1]", 8080, true);
        check("[fd00::1]", 8080, true);
        check("10.0.0.1", 8081, false);
        check("10.0.0.3", 8080, false);
        check("[fd00::2]", 8080, false);
        check("0.0.0.0", 8080, false);
        check("[::]", 8080, false);
    }

    #[test]
    fn half_of_the_facts_lets_nobody_in() {
        let host: IpAddr = "10.0.0.1".parse().unwrap();
        for facts in [Probes::new([8080].into(), []), Probes::new(BTreeSet::new(), [host])] {
            assert!(!facts.include(&peer("10.0.0.1", 8080)), "{facts:?}");
        }
    }

    #[test]
    fn what_comes_by_a_tunnel_is_no_probe() {
        let identity: SpiffeId = "spiffe://cluster.local/ns/default/sa/default".parse().unwrap();
        let peer = Peer { identity: Some(identity), ..peer("10.0.0.1", 8080) };
        assert!(!probes().include(&peer));
    }

    #[tokio::test]
    async fn a_live_probe_hears_when_it_is_none_any_more_and_of_nothing_else() {
        let facts = watch::Sender::new(probes());
        let (recogniser, peer) = (Recogniser::of(&facts), peer("10.0.0.1", 8080));
        let mut over = std::pin::pin!(recogniser.no_longer_knows(&peer));
        let mut is_over = async || {
            tokio::select! { biased; () = &mut over => true, () = tokio::task::yield_now() => false }
        };
        facts.send_replace(Probes::new([8080].into(), ["10.0.0.1".parse().unwrap()]));
        assert!(!is_over().await);
        facts.send_replace(Probes::new([9090].into(), ["10.0.0.1".parse().unwrap()]));
        assert!(is_over().await);
    }

    #[tokio::test]
    async fn a_live_probe_outlives_whoever_told_of_it() {
        let facts = watch::Sender::new(probes());
        let (recogniser, peer) = (Recogniser::of(&facts), peer("10.0.0.1", 8080));
        drop(facts);
        assert!(recogniser.knows(&peer));
        let over = recogniser.no_longer_knows(&peer);
        tokio::select! { biased; () = over => panic!("over"), () = tokio::task::yield_now() => {} }
    }
}
