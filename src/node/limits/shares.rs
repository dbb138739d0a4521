//! Who has taken too much of what all share: of all there is, a pod, or a peer of the pod.

use culvert_core::fair;

/// A peer may have so many times what its pod has left: a pod mostly has a few peers that want much, and one alone gets four fifths.
pub(super) const OF_WHAT_IS_LEFT: u64 = 4;

/// What was had and free before more was taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    pub(super) own: u64,
    /// Nothing where no peer takes it.
    pub(super) of_peer: Option<u64>,
    pub(super) free: u64,
}

impl Before {
    /// Which limit does not allow more, if one does not: that of all, of the pod, or of the peer. What counts `weight` times fills a share so
    /// much sooner.
    pub(super) fn over<L>(self, (more, weight): (u64, u64), [all, pod, peer]: [L; 3]) -> Option<L> {
        let Self { own, of_peer, free } = self;
        let admits = |has: u64, left| fair::admits(has * weight, more * weight, left);
        if free < more {
            Some(all)
        } else if !admits(own, free) {
            Some(pod)
        } else {
            let left = OF_WHAT_IS_LEFT.saturating_mul(fair::within(own, free));
            of_peer.is_some_and(|has| !admits(has, left)).then_some(peer)
        }
    }
}
