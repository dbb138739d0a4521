//! A connection that is being carried by the task of a tunnel.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use super::inbox::{Carry, Inbox, Order, Ticket};
use super::socket::Socket;
use crate::stream::{Broken, Early, Loss};

/// Stands for a carried connection: it is broken when this is dropped before it has ended.
#[derive(Debug)]
pub(crate) struct Carried {
    inbox: Arc<Inbox>,
    ticket: Ticket,
    done: Option<oneshot::Receiver<Result<(), Early>>>,
    /// How it broke, if the task of the tunnel ends without a word.
    lost: fn(Broken) -> Early,
}

impl Carried {
    /// Makes both ends: what stands for the connection, and what the task of the tunnel is given.
    pub(super) fn new(
        inbox: &Arc<Inbox>,
        socket: Socket,
        moved: &Arc<crate::stream::Moved>,
        lost: fn(Broken) -> Early,
    ) -> (Self, Carry) {
        let ticket = inbox.ticket();
        let (done, ended) = oneshot::channel();
        let carried = Self { inbox: Arc::clone(inbox), ticket, done: Some(ended), lost };
        (carried, Carry { ticket, socket, moved: Arc::clone(moved), done })
    }
}

/// Resolves at the end of the connection, with who broke it.
impl Future for Carried {
    type Output = Result<(), Early>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(done) = &mut self.done else { return Poll::Ready(Ok(())) };
        let ended = ready!(Pin::new(done).poll(cx));
        self.done = None;
        let lost = |_| Err((self.lost)(Broken::Tunnel(Loss::Vanished)));
        Poll::Ready(ended.unwrap_or_else(lost))
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        if self.done.is_some() {
            // Fails when the tunnel is over. What is still being delivered then ends because `done` is dropped.
            let _ = self.inbox.order(Order::Abandon(self.ticket));
        }
    }
}
