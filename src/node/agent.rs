//! The connection to the node agent (ZDS): learns which pods to serve, and gets their network namespaces.
//!
//! The node says hello and then answers each request with exactly one ack, in order. A request that makes no sense
//! is refused in its ack and nothing else happens: packets have borders, so the next one is whole again.

mod request;

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::time::Duration;

use culvert_process::exit::Chain;
use culvert_sys::seqpacket::{Channel, Packet};
use culvert_zds::PACKET_LIMIT;

use self::request::Request;
use crate::drain::Guard;
use crate::mesh::Mesh;
use crate::pods::Pods;
use crate::state::State;

/// The start-up task that ends with the first complete snapshot.
pub(crate) const TASK: &str = "workload proxy manager";

const CONNECTED: &str = "culvert_agent_connected";

/// How long a packet may take to be sent.
const SEND_DEADLINE: Duration = Duration::from_secs(5);

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Serves the agent's pods until a drain begins; reconnects with growing, jittered pauses. Pods run on meanwhile.
pub(crate) async fn follow(path: &Path, pods: &mut Pods, mesh: Mesh, state: &State, guard: &Guard) {
    let mut pause = FIRST_PAUSE;
    state.agent_is(path, false);
    loop {
        let mut session =
            Session { pods: &mut *pods, mesh: mesh.clone(), state, snapshot: Some(HashSet::new()) };
        let ended = tokio::select! {
            biased;
            () = guard.draining() => return,
            ended = session.run(path) => ended,
        };
        state.agent_is(path, false);
        metrics::gauge!(CONNECTED).set(0.0);
        // A session that got as far as a snapshot was a good one: start over with short pauses.
        if session.snapshot.is_none() {
            pause = FIRST_PAUSE;
        }
        let wait = pause.mul_f64(rand::random_range(0.8..1.2));
        tracing::warn!(path = %path.display(), error = %Chain(&ended), retry = ?wait, "no connection to the node agent");
        tokio::select! {
            () = guard.draining() => return,
            () = idle(pods, wait) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Waits, trying failed pods again meanwhile.
async fn idle(pods: &mut Pods, wait: Duration) {
    let end = tokio::time::Instant::now() + wait;
    while tokio::time::timeout_at(end, pods.retry()).await.is_ok() {}
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    #[error("cannot send")]
    Send(#[source] io::Error),
    #[error("cannot receive")]
    Receive(#[source] io::Error),
    #[error("the agent closed the connection")]
    Closed,
}

/// One connection to the agent.
struct Session<'n> {
    pods: &'n mut Pods,
    mesh: Mesh,
    state: &'n State,
    /// The pods named so far; `None` once the snapshot is complete.
    snapshot: Option<HashSet<String>>,
}

impl Session<'_> {
    async fn run(&mut self, path: &Path) -> Ended {
        match self.exchange(path).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn exchange(&mut self, path: &Path) -> Result<std::convert::Infallible, Ended> {
        let channel = Channel::connect(path).map_err(Ended::Connect)?;
        send(&channel, &culvert_zds::hello()).await?;
        metrics::gauge!(CONNECTED).set(1.0);
        tracing::info!(path = %path.display(), "connected to the node agent");
        self.state.agent_is(path, true);
        loop {
            let packet = tokio::select! {
                packet = channel.receive(PACKET_LIMIT) => packet.map_err(Ended::Receive)?.ok_or(Ended::Closed)?,
                () = self.pods.retry() => continue,
                () = self.mesh.local_changed() => {
                    self.pods.sync_identities();
                    continue;
                }
            };
            let done = self.handle(packet);
            self.pods.sync_identities();
            send(&channel, &culvert_zds::answer(done)).await?;
        }
    }

    /// Does what a packet asks for; an error is the text of the ack.
    fn handle(&mut self, packet: Packet) -> Result<(), String> {
        let request = Request::read(packet);
        let request = request.map_err(|error| {
            tracing::warn!(error = %Chain(&error), "a request of the node agent is refused");
            format!("failure to read message : {}", Chain(&error))
        })?;
        let misplaced = |what: &str| Err(format!("failure to process message : {what} after the snapshot"));
        match (request, &mut self.snapshot) {
            (Request::Add { uid, offered }, snapshot) => {
                if let Some(named) = snapshot {
                    named.insert(uid.clone());
                }
                let added = self.pods.add(&uid, offered);
                added.map_err(|error| format!("failure to start proxy : {}", Chain(&error)))?;
            }
            (Request::Delete { uid }, Some(named)) => drop(named.remove(&uid)),
            (Request::Delete { uid }, None) => self.pods.remove(&uid),
            (Request::Keep { uid }, Some(named)) => {
                if !self.pods.knows(&uid) {
                    tracing::warn!(
                        uid,
                        "the agent wants a pod kept that is not served, and gives no namespace for it"
                    );
                }
                named.insert(uid);
            }
            (Request::SnapshotSent, Some(named)) => {
                self.pods.retain(named);
                tracing::info!(pods = named.len(), "snapshot of the node agent complete");
                self.snapshot = None;
                self.state.done(TASK);
            }
            (Request::Keep { .. }, None) => return misplaced("KeepWorkload"),
            (Request::SnapshotSent, None) => return misplaced("SnapshotSent"),
        }
        Ok(())
    }
}

async fn send(channel: &Channel, bytes: &[u8]) -> Result<(), Ended> {
    let sent = tokio::time::timeout(SEND_DEADLINE, channel.send(bytes, None)).await;
    sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(Ended::Send)
}

#[cfg(test)]
mod tests;
