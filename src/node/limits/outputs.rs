//! Large buffers for what tunnels send: no more than so many, shared by all pods so that no few of them have all.
//!
//! In goes that a tunnel has something to send; out comes whether it has a large buffer for that, which it gives back by being done or
//! dropped. Who gets none has a small one, and sends all the same: nothing is refused, so there is nothing to count or to tell of.
//! Deliberately absent: the buffers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Account;
use super::shares::Before;

/// Large buffers that tunnels may have at a time. A tunnel has one for as long as it has something to send; one whose peer does not read keeps
/// it for ever, and all that can be kept like that is 34 MiB.
const MOST: u64 = 128;

/// Large buffers that tunnels have.
#[derive(Debug, Default)]
pub(super) struct Outputs(AtomicU64);

/// What a tunnel may have for its output. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Output {
    of: Arc<Account>,
    is_large: bool,
}

impl Account {
    /// What a tunnel has that has nothing to send.
    pub(crate) fn output(self: &Arc<Self>) -> Output {
        Output { of: Arc::clone(self), is_large: false }
    }
}

impl Output {
    /// Whether it has a large buffer.
    pub(crate) fn is_large(&self) -> bool {
        self.is_large
    }

    /// Begins to have a large buffer, if it may.
    pub(crate) fn takes_large(&mut self) -> bool {
        debug_assert!(!self.is_large, "one at a time");
        let Account { of: pod, peer } = &*self.of;
        let own = pod.outputs.take();
        let free = MOST.saturating_sub(pod.node.outputs.take());
        let of_peer = peer.as_ref().map(|peer| peer.outputs.take());
        self.is_large = true;
        if (Before { own, of_peer, free }).over((1, 1), [(); 3]).is_some() {
            self.is_over();
        }
        self.is_large
    }

    /// It has no buffer any more.
    pub(crate) fn is_over(&mut self) {
        if !std::mem::take(&mut self.is_large) {
            return;
        }
        let Account { of: pod, peer } = &*self.of;
        let all = [Some(&pod.outputs), Some(&pod.node.outputs), peer.as_ref().map(|peer| &peer.outputs)];
        for Outputs(taken) in all.into_iter().flatten() {
            taken.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Outputs {
    /// Takes one, be it there or not, and tells how many were taken before.
    fn take(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.is_over();
    }
}

#[cfg(test)]
impl super::OfPod {
    /// How many its tunnels have.
    pub(crate) fn large_outputs(&self) -> u64 {
        self.outputs.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
pub(super) mod tests;
