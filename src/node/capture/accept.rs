//! Accepting what comes to a listener, until a drain: each connection in a task of its own.
//!
//! Those who may have to go for others, and those who never have to, come in through one door ([`Listener::welcome`]); who they are to
//! make room for is known to their [`Room`] alone.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use culvert_serving::Limits;
use culvert_serving::guests::{Full, Guests, Pulse};
use culvert_sys::{limits, tcp};
use tokio::net::TcpStream;

use super::{Captured, Listener, captured};
use crate::drain::Guard;
use crate::limits::{HANDSHAKES, HANDSHAKES_OF_SOURCE, Limit, OfPod, Turnstile, hit};
use crate::tasks::Tasks;

/// Time to wait when the process is out of descriptors: accepting again at once would fail again at once.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);

/// How many peers that have not proven who they are there may be.
const UNPROVEN: Limits = Limits::Replace { most: HANDSHAKES, per_source: HANDSHAKES_OF_SOURCE };

/// Where those are who were accepted.
trait Room {
    /// Whether one more may come, or others can go for it.
    fn is_open(&self) -> bool;
    /// Serves one more.
    fn admit(&mut self, captured: Captured);
    /// Waits until somebody has gone, if that is of interest. Cancel safe.
    fn gone(&mut self) -> impl Future<Output = ()> + Send;
    /// Waits until all have gone.
    fn all_gone(&mut self) -> impl Future<Output = ()> + Send;
}

impl Listener {
    /// Accepts until a drain begins, each connection in a task of its own; then waits for those tasks, or ends them
    /// when cut.
    pub(crate) async fn each<F>(
        self,
        guard: Guard,
        turnstile: &Turnstile,
        serve: impl Fn(Captured, Guard) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let serve = |captured| serve(captured, guard.clone());
        self.welcome(&guard, turnstile, AllStay { tasks: Tasks::default(), serve }).await;
    }

    /// Likewise from peers who have to prove who they are: as long as they have not, they make room for one another.
    pub(crate) async fn each_unproven<F>(
        self,
        guard: Guard,
        limits: &OfPod,
        serve: impl Fn(Captured, Arc<Pulse>, Guard) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let serve = |captured, pulse| serve(captured, pulse, guard.clone());
        let turnstile = Turnstile::default();
        self.welcome(&guard, &turnstile, Unproven { peers: Guests::new(UNPROVEN), limits, serve }).await;
    }

    async fn welcome(self, guard: &Guard, turnstile: &Turnstile, mut room: impl Room) {
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept(), if room.is_open() => accepted,
                () = room.gone() => continue,
                () = guard.draining() => break,
            };
            match accepted {
                Ok((stream, client)) => {
                    if let Some(captured) = self.captured(stream, client) {
                        room.admit(captured);
                    }
                }
                Err(error) => pause(&error).await,
            }
            tokio::select! {
                () = turnstile.pass() => {}
                () = guard.draining() => break,
            }
        }
        let last = self.last();
        let rest = async {
            for captured in last {
                turnstile.pass().await;
                room.admit(captured);
            }
            room.all_gone().await;
        };
        tokio::select! {
            () = rest => {}
            () = guard.cut() => {}
        }
    }

    fn captured(&self, stream: TcpStream, client: SocketAddr) -> Option<Captured> {
        captured(stream, client, self.plain)
    }

    /// Closes the listener, after taking the connections the kernel has completed already: closing resets what waits
    /// in its queue, and their clients were told they are connected. What comes faster than it is taken is not waited for.
    fn last(self) -> Vec<Captured> {
        let Ok(listener) = self.listener.into_std() else { return Vec::new() };
        let mut last = Vec::new();
        for _ in 0..=tcp::BACKLOG {
            let Ok((stream, client)) = listener.accept() else { break };
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            last.extend(stream.ok().and_then(|stream| captured(stream, client, self.plain)));
        }
        last
    }
}

/// Nobody has to go for anybody. They end with it.
struct AllStay<S> {
    tasks: Tasks,
    serve: S,
}

impl<S, F> Room for AllStay<S>
where
    S: Fn(Captured) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    fn is_open(&self) -> bool {
        true
    }

    fn admit(&mut self, captured: Captured) {
        self.tasks.spawn((self.serve)(captured));
    }

    fn gone(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    fn all_gone(&mut self) -> impl Future<Output = ()> + Send {
        self.tasks.finished()
    }
}

/// Those who have not proven who they are make room for one another. They end with it.
struct Unproven<'l, S> {
    peers: Guests,
    limits: &'l OfPod,
    serve: S,
}

impl<S, F> Room for Unproven<'_, S>
where
    S: Fn(Captured, Arc<Pulse>) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    fn is_open(&self) -> bool {
        self.peers.has_room()
    }

    fn admit(&mut self, captured: Captured) {
        let from = Some(captured.client.ip());
        if let Some(full) = self.peers.admit(from, |pulse| (self.serve)(captured, pulse)) {
            self.limits.refuse(limit_of(full));
        }
    }

    fn gone(&mut self) -> impl Future<Output = ()> + Send {
        self.peers.gone()
    }

    fn all_gone(&mut self) -> impl Future<Output = ()> + Send {
        self.peers.all_gone()
    }
}

fn limit_of(full: Full) -> Limit {
    match full {
        Full::Source => Limit::HandshakesOfSource,
        Full::All => Limit::HandshakesOfPod,
    }
}

/// Waits as long as an accept that has failed asks for.
async fn pause(error: &io::Error) {
    if is_of_one_connection(error) {
        tracing::debug!(%error, "a connection was gone before it was accepted");
        return;
    }
    metrics::counter!("culvert_accept_errors_total").increment(1);
    if limits::is_for_lack_of_descriptors(error) {
        hit(Limit::OpenFiles);
    } else {
        tracing::warn!(%error, "cannot accept connections; trying again");
    }
    tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
}

/// Errors of `accept(2)` that concern one connection only.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}
