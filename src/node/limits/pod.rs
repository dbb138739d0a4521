//! What one pod has of everything that is limited.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use culvert_api::LimitOf;
use culvert_core::fair;

use super::outputs::Outputs;
use super::place::{By, Peer, Place, most_of_peer};
use super::table::Limit;
use super::{Exceeded, Node, Turnstile, counts, room};
use crate::proxy::PodInfo;

/// What one pod has.
#[derive(Debug)]
pub(crate) struct OfPod {
    pod: PodInfo,
    pub(super) node: Arc<Node>,
    pub(super) connections: AtomicU64,
    pub(super) descriptors: AtomicU64,
    /// Memory for what its applications do not take.
    pub(super) bytes: AtomicU64,
    /// Large buffers for what its tunnels send.
    pub(super) outputs: Outputs,
    peers: Mutex<HashMap<IpAddr, Weak<Peer>>>,
    /// When what it asks for itself begins.
    pub(crate) turnstile: Arc<Turnstile>,
    gauges: [AtomicU64; Limit::ALL.len()],
}

/// One place of a pod; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Held {
    of: Arc<OfPod>,
    limit: Limit,
    _place: Option<Place>,
}

impl OfPod {
    pub(super) fn new(pod: PodInfo, node: Arc<Node>, this: &Weak<Self>) -> Self {
        node.room.take(room::OF_EACH_POD);
        let gauges = [const { AtomicU64::new(0) }; Limit::ALL.len()];
        let [connections, descriptors, bytes] = [const { AtomicU64::new(0) }; 3];
        let (peers, outputs) = (Mutex::default(), Outputs::default());
        let turnstile = Arc::new(Turnstile::of_pod(Weak::clone(this)));
        Self { pod, node, connections, descriptors, bytes, outputs, peers, turnstile, gauges }
    }

    /// Takes one of so many places.
    ///
    /// # Errors
    /// When all are taken, which is counted.
    pub(crate) fn take(self: &Arc<Self>, limit: Limit) -> Result<Held, Exceeded> {
        let gauge = &self.gauges[limit as usize];
        let has = gauge.fetch_add(1, Ordering::Relaxed) + 1;
        if limit.facts().most.is_some_and(|most| has > most) {
            gauge.fetch_sub(1, Ordering::Relaxed);
            return Err(self.refuse(limit));
        }
        let mut held = Held { of: Arc::clone(self), limit, _place: None };
        if limit.facts().is_descriptor {
            held._place = Some(self.descriptors(1, By::Pod)?);
        }
        counts::has(limit, has);
        Ok(held)
    }

    /// Notes one more, where who has to go for it is for others to say.
    pub(crate) fn note(self: &Arc<Self>, limit: Limit) -> Held {
        let has = self.gauges[limit as usize].fetch_add(1, Ordering::Relaxed) + 1;
        counts::has(limit, limit.facts().most.map_or(has, |most| has.min(most)));
        Held { of: Arc::clone(self), limit, _place: None }
    }

    /// Counts and tells of something that is not done because there is too much of it.
    pub(crate) fn refuse(&self, limit: Limit) -> Exceeded {
        let exceeded = Exceeded(limit);
        counts::hit_by(limit, |_, unsaid| {
            let PodInfo { name, namespace, .. } = &self.pod;
            tracing::warn!(pod = name, namespace, unsaid, "{exceeded}");
        });
        exceeded
    }

    /// Counts and tells that what it begins, or a peer to it, is held to a rate.
    pub(super) fn limit_beginnings(&self, peer: Option<IpAddr>) {
        counts::hit_by(Limit::Beginnings, |_, unsaid| {
            let PodInfo { name, namespace, .. } = &self.pod;
            let peer = peer.map(tracing::field::display);
            tracing::warn!(pod = name, namespace, peer, unsaid, "{}", Exceeded(Limit::Beginnings));
        });
    }

    /// How much it may have of something at the moment, and has.
    pub(super) fn standing(&self, limit: Limit) -> (Option<u64>, u64) {
        let has = |count: &AtomicU64| count.load(Ordering::Relaxed);
        if limit == Limit::ConnectionsOfPod {
            (self.node.config.most(limit), has(&self.connections))
        } else if matches!(limit, Limit::DescriptorsOfPod | Limit::DescriptorsOfPeer) {
            self.share((has(&self.descriptors), self.node.room.free()), limit)
        } else if matches!(limit, Limit::BufferedBytesOfPod | Limit::BufferedBytesOfPeer) {
            self.share((has(&self.bytes), self.node.memory.free()), limit)
        } else if matches!(limit.facts().of, LimitOf::Peer | LimitOf::Source) {
            (limit.facts().most, self.most_of_peers(limit))
        } else {
            (self.node.config.most(limit), has(&self.gauges[limit as usize]))
        }
    }

    /// The same of what all pods share; of a peer, that of what its pod has left.
    fn share(&self, (own, free): (u64, u64), limit: Limit) -> (Option<u64>, u64) {
        if limit.facts().of == LimitOf::Pod {
            return (Some(fair::most(own, free)), own);
        }
        let has = self.most_of_peers(limit);
        (Some(most_of_peer(has, fair::within(own, free))), has)
    }

    /// What the peer has that has most.
    fn most_of_peers(&self, limit: Limit) -> u64 {
        // Peers that nobody else holds any more go when the lock is not held.
        let peers: Vec<_> = self.peers().values().filter_map(Weak::upgrade).collect();
        peers.iter().map(|peer| peer.has(limit)).max().unwrap_or(0)
    }

    pub(super) fn peers(&self) -> MutexGuard<'_, HashMap<IpAddr, Weak<Peer>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OfPod {
    fn drop(&mut self) {
        self.node.room.give_back(room::OF_EACH_POD);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.of.gauges[self.limit as usize].fetch_sub(1, Ordering::Relaxed);
    }
}
