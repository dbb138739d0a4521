//! What a connection holds of what its pod may have: descriptors, and a place among the connections of the pod.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::outputs::Outputs;
use super::pod::OfPod;
use super::shares::{Before, OF_WHAT_IS_LEFT};
use super::{Exceeded, Limit, Turnstile, counts};

/// Who connects to a pod from elsewhere, by address; and what it has of what the pod may have.
#[derive(Debug)]
pub(crate) struct Peer {
    of: Arc<OfPod>,
    address: IpAddr,
    descriptors: AtomicU64,
    handshakes: AtomicU64,
    tunnels: AtomicU64,
    /// Memory for what it has sent and the pod's applications do not take.
    pub(super) bytes: AtomicU64,
    /// Large buffers for what is sent to it.
    pub(super) outputs: Outputs,
    /// When what it asks for begins.
    pub(crate) turnstile: Turnstile,
}

/// Something a peer has; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct OfPeer {
    peer: Arc<Peer>,
    limit: Limit,
}

/// Whose a descriptor is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum By<'p> {
    /// The pod's own connection.
    Pod,
    /// Somebody else's to the pod.
    Peer(&'p Arc<Peer>),
}

/// What a connection holds. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    of: Arc<OfPod>,
    peer: Option<Arc<Peer>>,
    descriptors: u32,
    is_connection: bool,
}

/// The most a peer that has so many can come to, where its pod has so many left.
pub(super) const fn most_of_peer(has: u64, left: u64) -> u64 {
    let most = has.saturating_add(left).saturating_mul(OF_WHAT_IS_LEFT).div_ceil(OF_WHAT_IS_LEFT + 1);
    if most > has { most } else { has }
}

/// Those of an address nobody has proven to have: of IPv6, whoever has one has the whole /64.
pub(super) fn unproven(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

impl OfPod {
    /// Takes the place of one more connection of the pod, with one descriptor.
    ///
    /// # Errors
    /// When it has too many already, which is counted.
    pub(crate) fn connect(self: &Arc<Self>, by: By<'_>) -> Result<Place, Exceeded> {
        self.take_connection()?;
        let mut place = self.nothing(by);
        place.is_connection = true;
        place.needs(1)?;
        Ok(place)
    }

    /// Takes descriptors that are no connection by themselves: those of a tunnel.
    ///
    /// # Errors
    /// When it has too many already, which is counted.
    pub(crate) fn descriptors(self: &Arc<Self>, some: u32, by: By<'_>) -> Result<Place, Exceeded> {
        let mut place = self.nothing(by);
        place.needs(some)?;
        Ok(place)
    }

    fn nothing(self: &Arc<Self>, by: By<'_>) -> Place {
        let peer = match by {
            By::Pod => None,
            By::Peer(peer) => Some(Arc::clone(peer)),
        };
        Place { of: Arc::clone(self), peer, descriptors: 0, is_connection: false }
    }

    fn take_connection(&self) -> Result<(), Exceeded> {
        let has = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        if has == 1 {
            self.node.company.pod_comes();
        }
        if self.node.config.most_connections.is_some_and(|most| has > most) {
            self.give_back_connection();
            return Err(self.refuse(Limit::ConnectionsOfPod));
        }
        counts::has(Limit::ConnectionsOfPod, has);
        Ok(())
    }

    fn give_back_connection(&self) {
        if self.connections.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.node.company.pod_goes();
        }
    }
}

impl Place {
    /// Sees to it that it has that many descriptors: whatever is dialled again has taken its own before.
    ///
    /// # Errors
    /// When there are too few left for that, which is counted.
    pub(crate) fn needs(&mut self, descriptors: u32) -> Result<(), Exceeded> {
        let more = descriptors.saturating_sub(self.descriptors);
        if more > 0 {
            self.take(more.into())?;
            self.descriptors += more;
        }
        Ok(())
    }

    /// What is taken is taken at once, and given back when it was too much: so many who come at the same moment do not come to more than
    /// there is.
    fn take(&self, more: u64) -> Result<(), Exceeded> {
        let Self { of, peer, .. } = self;
        let own = of.descriptors.fetch_add(more, Ordering::Relaxed);
        let free = of.node.room.take(more);
        let of_peer = peer.as_ref().map(|peer| peer.descriptors.fetch_add(more, Ordering::Relaxed));
        let limits = [Limit::Descriptors, Limit::DescriptorsOfPod, Limit::DescriptorsOfPeer];
        if let Some(limit) = (Before { own, of_peer, free }).over((more, 1), limits) {
            self.give_back(more);
            return Err(of.refuse(limit));
        }
        counts::has(Limit::DescriptorsOfPod, own + more);
        if let Some(of_peer) = of_peer {
            counts::has(Limit::DescriptorsOfPeer, of_peer + more);
        }
        Ok(())
    }

    fn give_back(&self, some: u64) {
        if let Some(peer) = &self.peer {
            peer.descriptors.fetch_sub(some, Ordering::Relaxed);
        }
        self.of.node.room.give_back(some);
        self.of.descriptors.fetch_sub(some, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.give_back(self.descriptors.into());
        if self.is_connection {
            self.of.give_back_connection();
        }
    }
}

impl OfPod {
    /// Who has proven to be somebody, by his address.
    pub(crate) fn peer(self: &Arc<Self>, address: IpAddr) -> Arc<Peer> {
        let mut peers = self.peers();
        if let Some(peer) = peers.get(&address).and_then(std::sync::Weak::upgrade) {
            return peer;
        }
        let [descriptors, handshakes, tunnels, bytes] = [const { AtomicU64::new(0) }; 4];
        let (of, outputs) = (Arc::clone(self), Outputs::default());
        let turnstile = Turnstile::of_peer(Arc::downgrade(self), address);
        self.node.company.peer_comes();
        let peer = Peer { of, address, descriptors, handshakes, tunnels, bytes, outputs, turnstile };
        let peer = Arc::new(peer);
        peers.insert(address, Arc::downgrade(&peer));
        peer
    }

    /// Who has proven nothing.
    pub(crate) fn stranger(self: &Arc<Self>, address: IpAddr) -> Arc<Peer> {
        self.peer(unproven(address))
    }
}

impl Peer {
    /// Takes one of so many.
    ///
    /// # Errors
    /// When it has all it may have, which is counted.
    pub(crate) fn take(self: &Arc<Self>, limit: Limit) -> Result<OfPeer, Exceeded> {
        let held = self.note(limit);
        if limit.facts().most.is_some_and(|most| self.has(limit) > most) {
            return Err(self.of.refuse(limit));
        }
        Ok(held)
    }

    /// Notes one more, where who has to go for it is for others to say.
    pub(crate) fn note(self: &Arc<Self>, limit: Limit) -> OfPeer {
        let has = self.count(limit).fetch_add(1, Ordering::Relaxed) + 1;
        counts::has(limit, limit.facts().most.map_or(has, |most| has.min(most)));
        OfPeer { peer: Arc::clone(self), limit }
    }

    pub(super) fn has(&self, limit: Limit) -> u64 {
        self.count(limit).load(Ordering::Relaxed)
    }

    fn count(&self, limit: Limit) -> &AtomicU64 {
        if limit == Limit::HandshakesOfSource {
            &self.handshakes
        } else if limit == Limit::TunnelsOfPeer {
            &self.tunnels
        } else if limit == Limit::BufferedBytesOfPeer {
            &self.bytes
        } else {
            &self.descriptors
        }
    }
}

impl Drop for OfPeer {
    fn drop(&mut self) {
        self.peer.count(self.limit).fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.of.node.company.peer_goes();
        let mut peers = self.of.peers();
        // Somebody may have come from there again meanwhile.
        if peers.get(&self.address).is_some_and(|peer| peer.strong_count() == 0) {
            peers.remove(&self.address);
        }
    }
}
