//! Queries in datagrams.
//!
//! What needs no waiting is answered where it is read; what does is a task of its own, of which there are only as many as may
//! wait for others.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use culvert_sys::conntrack::Conntrack;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::handler::{Handler, Step};
use super::message::Transport;
use super::others::Wanted;
use crate::drain::Guard;

/// The longest message that is taken. There are no longer ones but by mistake.
const LONGEST_QUERY: usize = 4096;
/// Time to wait when the socket cannot be read: reading again at once would fail again at once.
const UNREADABLE: Duration = Duration::from_millis(100);

/// A socket queries arrive at.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: Arc<UdpSocket>,
    /// Its address.
    pub(super) here: SocketAddr,
    /// Knows whom queries were for before they were redirected; `None` where the kernel does not say.
    pub(super) conntrack: Option<Conntrack>,
}

impl Listener {
    /// Serves until a drain begins; then until what was asked is answered, or until cut. What still arrives in between is
    /// answered too: the kernel goes on dividing queries among all who listen.
    pub(super) async fn serve(mut self, handler: Arc<Handler>, guard: Guard) {
        tokio::select! {
            () = self.serve_all(&handler, &guard) => {}
            () = guard.cut() => {}
        }
    }

    async fn serve_all(&mut self, handler: &Arc<Handler>, guard: &Guard) {
        let mut tasks = JoinSet::new();
        let mut draining = false;
        loop {
            tokio::select! {
                readable = self.socket.readable() => match readable {
                    Ok(()) => self.serve_next(handler, &mut tasks).await,
                    Err(error) => pause(&error).await,
                },
                () = guard.draining(), if !draining => draining = true,
                Some(ended) = tasks.join_next() => if let Err(error) = ended {
                    tracing::error!(%error, "answering a query failed; only this one is lost");
                },
            }
            if draining && tasks.is_empty() && !self.has_more() {
                return;
            }
        }
    }

    /// Reads one datagram, if there is one, and answers it or begins to.
    async fn serve_next(&mut self, handler: &Arc<Handler>, tasks: &mut JoinSet<()>) {
        // A pod that asks without end must not keep others from this thread.
        tokio::task::coop::consume_budget().await;
        let (query, client) = match receive(&self.socket) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => return pause(&error).await,
        };
        // What goes wrong with one query must not end the listener of all.
        let begun = catch_unwind(AssertUnwindSafe(|| handler.begin(query, Transport::Udp)));
        let pending = match begun {
            Ok(Step::Done(answer)) => return send(&self.socket, answer, client),
            Ok(Step::Forward(pending)) => pending,
            Err(_) => {
                tracing::error!(%client, "reading a query panicked; only this one is lost");
                return;
            }
        };
        let wanted = self.wanted(client);
        let (handler, socket) = (Arc::clone(handler), Arc::clone(&self.socket));
        tasks.spawn(async move {
            let answer = handler.finish(pending, wanted).await;
            send(&socket, answer, client);
        });
    }

    /// Whom a client wanted to ask.
    fn wanted(&mut self, client: SocketAddr) -> Wanted {
        let Some(conntrack) = &mut self.conntrack else { return Wanted::Anybody };
        match conntrack.udp_destination(client, self.here) {
            Ok(Some(server)) => Wanted::Server(server),
            Ok(None) => Wanted::Anybody,
            Err(error) => {
                tracing::debug!(%client, %error, "whom a query was for is not known");
                Wanted::NotKnown
            }
        }
    }

    /// Whether there is a datagram to be read. Looks, and does not take it.
    fn has_more(&self) -> bool {
        self.socket.try_peek_sender().is_ok()
    }
}

async fn pause(error: &io::Error) {
    tracing::warn!(%error, "cannot read queries; trying again");
    tokio::time::sleep(UNREADABLE).await;
}

fn receive(socket: &UdpSocket) -> io::Result<(Vec<u8>, SocketAddr)> {
    let mut buffer = [0; LONGEST_QUERY + 1];
    let (length, client) = socket.try_recv_from(&mut buffer)?;
    // What does not fit is not answered, rather than passed on without its end.
    let whole = if length > LONGEST_QUERY { &[][..] } else { &buffer[..length] };
    Ok((whole.to_vec(), client))
}

/// An answer that cannot be sent is lost, as datagrams may be.
fn send(socket: &UdpSocket, answer: Option<Vec<u8>>, client: SocketAddr) {
    let Some(answer) = answer else { return };
    if let Err(error) = socket.try_send_to(&answer, client) {
        tracing::debug!(%client, %error, "an answer could not be sent");
    }
}
