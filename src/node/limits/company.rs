//! Whether there is anybody else: pods with connections, and peers.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many there are on a node.
#[derive(Debug, Default)]
pub(super) struct Company {
    /// Pods that have connections.
    pods: AtomicU64,
    /// Who connects to them.
    peers: AtomicU64,
}

impl Company {
    /// Whether somebody may be disturbed by somebody else.
    pub(super) fn is_several(&self) -> bool {
        [&self.pods, &self.peers].iter().any(|count| count.load(Ordering::Relaxed) > 1)
    }

    /// A pod without connections has its first.
    pub(super) fn pod_comes(&self) {
        self.pods.fetch_add(1, Ordering::Relaxed);
    }

    /// It has lost its last.
    pub(super) fn pod_goes(&self) {
        self.pods.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn peer_comes(&self) {
        self.peers.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn peer_goes(&self) {
        self.peers.fetch_sub(1, Ordering::Relaxed);
    }
}
