//! Memory for bytes that have come and that applications do not take: shared by all pods, so that none can take it from the others.
//!
//! In goes how much a connection needs for what is left with it; out comes whether it may have that, and whoever got it gives it back by
//! being dropped. Bytes that are taken at once are never counted: only what has to be kept costs anything, and that a few atomics when
//! its memory grows or shrinks. Deliberately absent: who reads how fast, and which connection had better go for another one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::shares::Before;
use super::{By, Exceeded, Limit, OfPod, Peer, counts};

/// What there is for all pods, and how much of it is taken.
#[derive(Debug)]
pub(super) struct Memory {
    all: u64,
    taken: AtomicU64,
}

/// Those whose bytes are kept, or sent by a tunnel: the pod, and its peer where it was the peer who has connected.
#[derive(Debug)]
pub(crate) struct Account {
    pub(super) of: Arc<OfPod>,
    pub(super) peer: Option<Arc<Peer>>,
}

/// Memory a connection has for bytes its application does not take. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Buffered {
    of: Arc<Account>,
    bytes: u64,
}

impl Memory {
    pub(super) const fn new(all: u64) -> Self {
        Self { all, taken: AtomicU64::new(0) }
    }

    pub(super) fn all(&self) -> u64 {
        self.all
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    pub(super) fn free(&self) -> u64 {
        self.all.saturating_sub(self.taken())
    }

    /// Takes some, be they there or not, and tells how many were free before.
    fn take(&self, more: u64) -> u64 {
        self.all.saturating_sub(self.taken.fetch_add(more, Ordering::Relaxed))
    }
}

impl OfPod {
    /// Where the bytes are counted of connections that the pod makes, or that a peer makes to it.
    pub(crate) fn account(self: &Arc<Self>, by: By<'_>) -> Arc<Account> {
        let peer = match by {
            By::Pod => None,
            By::Peer(peer) => Some(Arc::clone(peer)),
        };
        Arc::new(Account { of: Arc::clone(self), peer })
    }
}

/// What a connection has whose application stops for a moment; more than that is much.
const MUCH: u64 = 64 << 10;

impl Account {
    /// What a connection has whose application has taken all.
    pub(crate) fn nothing(self: &Arc<Self>) -> Buffered {
        Buffered { of: Arc::clone(self), bytes: 0 }
    }

    /// What is taken is taken at once, and given back when it was too much: so many who come at the same moment do not come to more than
    /// there is.
    ///
    /// A connection that has much of it counts twice: those who hoard leave something to those who stop for a moment.
    fn take(&self, more: u64, all: u64) -> Result<(), Exceeded> {
        let Self { of, peer } = self;
        let weight = if all > MUCH { 2 } else { 1 };
        let own = of.bytes.fetch_add(more, Ordering::Relaxed);
        let free = of.node.memory.take(more);
        let of_peer = peer.as_ref().map(|peer| peer.bytes.fetch_add(more, Ordering::Relaxed));
        let limits = [Limit::BufferedBytes, Limit::BufferedBytesOfPod, Limit::BufferedBytesOfPeer];
        if let Some(limit) = (Before { own, of_peer, free }).over((more, weight), limits) {
            self.give_back(more);
            return Err(of.refuse(limit));
        }
        counts::has(Limit::BufferedBytes, of.node.memory.all() - free + more);
        counts::has(Limit::BufferedBytesOfPod, own + more);
        if let Some(of_peer) = of_peer {
            counts::has(Limit::BufferedBytesOfPeer, of_peer + more);
        }
        Ok(())
    }

    fn give_back(&self, some: u64) {
        if let Some(peer) = &self.peer {
            peer.bytes.fetch_sub(some, Ordering::Relaxed);
        }
        self.of.node.memory.taken.fetch_sub(some, Ordering::Relaxed);
        self.of.bytes.fetch_sub(some, Ordering::Relaxed);
    }
}

impl Buffered {
    /// Sees to it that it has that much; what it has it keeps.
    ///
    /// # Errors
    /// When there is too little left for that, which is counted.
    pub(crate) fn needs(&mut self, bytes: u64) -> Result<(), Exceeded> {
        let more = bytes.saturating_sub(self.bytes);
        if more > 0 {
            self.of.take(more, bytes)?;
            self.bytes += more;
        }
        Ok(())
    }

    /// Gives back all but that much.
    pub(crate) fn keeps(&mut self, bytes: u64) {
        let less = self.bytes.saturating_sub(bytes);
        if less > 0 {
            self.of.give_back(less);
            self.bytes -= less;
        }
    }
}

impl Drop for Buffered {
    fn drop(&mut self) {
        self.keeps(0);
    }
}
