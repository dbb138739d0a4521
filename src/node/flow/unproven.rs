//! A peer that has opened a tunnel and has not proven who it is.
//!
//! It may have to go for another one at any moment: its task is ended. It ends with one report like any other connection all the same.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::drain::Guard;
use crate::ledger::Direction;
use crate::limits::{Exceeded, Held, Limit, OfPeer, Peer};
use crate::outcome::{Failure, Report};
use crate::proxy::Proxy;

/// Who has not proven anything yet.
pub(super) struct Unproven {
    proxy: Arc<Proxy>,
    client: SocketAddr,
    destination: SocketAddr,
    guard: Guard,
    is_settled: bool,
    _of_pod: Held,
    _of_source: OfPeer,
}

impl Unproven {
    pub(super) fn new(
        proxy: &Arc<Proxy>,
        by: &Arc<Peer>,
        (client, destination): (SocketAddr, SocketAddr),
        guard: &Guard,
    ) -> Self {
        Self {
            proxy: Arc::clone(proxy),
            client,
            destination,
            guard: guard.clone(),
            is_settled: false,
            _of_pod: proxy.limits.note(Limit::HandshakesOfPod),
            _of_source: by.note(Limit::HandshakesOfSource),
        }
    }

    /// It is not let in.
    pub(super) fn fails(mut self, failure: Failure) {
        self.settle(Some(failure));
    }

    /// It has proven who it is.
    pub(super) fn proves(mut self) {
        self.settle(None);
    }

    fn settle(&mut self, failure: Option<Failure>) {
        self.is_settled = true;
        if let Some(failure) = failure {
            let book = self.proxy.ledger.book();
            let report = Report::begin(book, Direction::Inbound, self.client, self.destination);
            report.end(Err(failure));
        }
    }
}

impl Drop for Unproven {
    fn drop(&mut self) {
        if !self.is_settled {
            let went = Failure::Exceeded(Exceeded(Limit::HandshakesOfPod));
            let failure = if self.guard.is_cut() { Failure::Drained } else { went };
            self.settle(Some(failure));
        }
    }
}
