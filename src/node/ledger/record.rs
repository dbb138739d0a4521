//! What is known of one connection.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use culvert_core::identity::SpiffeId;
use culvert_core::service::Service;
use culvert_core::workload::Workload;
use tokio::net::TcpStream;

use crate::outcome::Failure;
use crate::stream::{Ends, Moved};
use crate::telemetry::Telemetry;
use crate::tunnel::Agreement;

/// Names a connection, on this node and in the trace it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id(u64);

/// A text that names no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a connection is named by 16 hexadecimal digits, as `id` in the access log and in /v1/connections")]
pub(crate) struct NotAnId;

/// Seen from the pod this node serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Direction {
    Outbound,
    Inbound,
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Where it may go is being found out.
    Deciding,
    /// Somebody is being dialled, or asked for a stream.
    Connecting,
    /// Bytes can move.
    Open,
    Ended,
}

/// One end of a connection, as far as it is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Party {
    pub(crate) workload: Option<Arc<Workload>>,
    /// Only what was proven by a certificate.
    pub(crate) identity: Option<SpiffeId>,
}

/// What is known of one connection, while it lives and after it.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) id: Id,
    pub(crate) direction: Direction,
    pub(crate) client: SocketAddr,
    /// Whom the client dialled.
    pub(crate) dialled: SocketAddr,
    pub(crate) began: Instant,
    facts: Mutex<Facts>,
}

/// What becomes known as a connection goes on.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) stage: Stage,
    /// Since when it is there.
    pub(crate) since: Instant,
    /// The next hop outbound; the address the client dialled inbound.
    pub(crate) destination: SocketAddr,
    /// Inbound, the application's own address, once the connection may go there.
    pub(crate) delivered: Option<SocketAddr>,
    pub(crate) from: Party,
    pub(crate) to: Party,
    pub(crate) service: Option<Arc<Service>>,
    /// What the client has asked for by SOCKS.
    pub(crate) asked: Option<Box<str>>,
    /// The authority of the CONNECT.
    pub(crate) authority: Option<Arc<str>>,
    /// Whether it goes through the gateway of another network, in a tunnel inside a tunnel.
    pub(crate) nested: bool,
    /// Whether the tunnel ends at a waypoint: what is behind it is that one's business.
    pub(crate) waypoint: bool,
    /// The policy that let it in.
    pub(crate) policy: Option<Arc<str>>,
    /// Whether it was let in as a probe of kubelet's. Those are counted apart: they are nobody's traffic.
    pub(crate) probe: bool,
    /// What both ends log.
    pub(crate) trace: Trace,
    /// The tunnel it is on.
    pub(crate) tunnel: Option<OnTunnel>,
    /// The socket this node goes on with, if it is not a tunnel's: its own address, and whom it has dialled. Inbound that is the pod's
    /// application.
    pub(crate) onward: Option<Box<Onward>>,
    /// Endpoints that could not be reached.
    pub(crate) tried: Vec<Tried>,
    pub(crate) moved: Arc<Moved>,
    /// How it ended.
    pub(crate) ended: Option<Arc<Ended>>,
}

/// The addresses of a socket this node has dialled with: its own, and the other's.
pub(crate) type Onward = [SocketAddr; 2];

/// The socket this node goes on with, which has dialled `to`.
pub(crate) fn onward(socket: &TcpStream, to: SocketAddr) -> Option<Box<Onward>> {
    let own = socket.local_addr().ok()?;
    Some(Box::new([own, to].map(culvert_sys::tcp::canonical)))
}

/// The tunnel a connection is or was on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OnTunnel {
    /// By which its pod's book has it, while it is up.
    pub(crate) id: u64,
    /// What its ends have agreed on; kept here because tunnels end before anybody asks.
    pub(crate) tls: Agreement,
}

/// The trace a connection belongs to (W3C trace context).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) id: u128,
    /// The hop before this one, if there was one.
    pub(crate) parent: Option<NonZeroU64>,
    /// Whether its spans are kept.
    pub(crate) sampled: bool,
}

/// An endpoint that could not be reached, so that another one was tried.
#[derive(Debug, Clone)]
pub(crate) struct Tried {
    /// When that was known.
    pub(crate) at: Instant,
    pub(crate) address: SocketAddr,
    pub(crate) reason: &'static str,
    pub(crate) error: Box<str>,
}

/// How a connection ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) at: Instant,
    /// Whether bytes could move before.
    pub(crate) was_open: bool,
    pub(crate) result: Result<(), Failure>,
}

impl Id {
    /// A new one.
    pub(crate) fn new() -> Self {
        Self(rand::random_range(1..=u64::MAX))
    }

    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Id {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = digits.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        number.filter(|number| *number != 0).map(Self).ok_or(NotAnId)
    }
}

impl fmt::Display for OnTunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.id)
    }
}

impl Direction {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
        }
    }
}

impl Party {
    /// The name of the pod. What only a peer has told of has no name of its own, but that of what owns it.
    pub(crate) fn name(&self) -> Option<&str> {
        let workload = self.workload.as_ref()?;
        Some(Some(workload.name()).filter(|name| !name.is_empty()).unwrap_or(&workload.workload_name))
    }

    pub(crate) fn namespace(&self) -> Option<&str> {
        self.workload.as_ref().map(|workload| workload.namespace.as_ref())
    }
}

impl Record {
    /// A new one, which begins a trace of its own.
    pub(super) fn new(
        direction: Direction,
        [client, dialled]: [SocketAddr; 2],
        telemetry: &Telemetry,
    ) -> Self {
        let began = Instant::now();
        let facts = Facts {
            stage: Stage::Deciding,
            since: began,
            destination: dialled,
            delivered: None,
            from: Party::default(),
            to: Party::default(),
            service: None,
            asked: None,
            authority: None,
            nested: false,
            waypoint: false,
            policy: None,
            probe: false,
            trace: telemetry.begin(),
            tunnel: None,
            onward: None,
            tried: Vec::new(),
            moved: Arc::default(),
            ended: None,
        };
        Self { id: Id::new(), direction, client, dialled, began, facts: Mutex::new(facts) }
    }

    /// What is known now. Never held for longer than it takes to look.
    pub(crate) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts {
    /// Says how far it has come.
    pub(crate) fn enter(&mut self, stage: Stage) {
        (self.stage, self.since) = (stage, Instant::now());
    }

    /// Forgets what an attempt that failed was about, and what was said in it to nobody.
    pub(crate) fn begin_attempt(&mut self) {
        (self.authority, self.service, self.moved) = (None, None, Arc::default());
        (self.from.identity, self.to, self.nested) = (None, Party::default(), false);
        (self.tunnel, self.onward, self.waypoint) = (None, None, false);
        self.enter(Stage::Connecting);
    }

    /// Why it did not end well, if so.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        self.ended.as_ref()?.result.as_ref().err()
    }

    /// How it ended, and in what state the network was then; nothing while it lives.
    pub(crate) fn ends(&self) -> Ends {
        let Some(ended) = &self.ended else { return Ends::default() };
        let ends = self.moved.ends();
        let closer = ended.result.as_ref().err().and_then(Failure::closed_by);
        Ends { closed_by: closer.or(ends.closed_by), ..ends }
    }

    /// Whether the other end is asked by CONNECT.
    pub(crate) fn is_tunnelled(&self) -> bool {
        self.authority.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        for number in [1, 0xabc, u64::MAX] {
            assert_eq!(Id(number).to_string().parse(), Ok(Id(number)));
        }
        for text in ["", "1", "0000000000000000", "00000000000000001", "000000000000000g", "+000000000000001"]
        {
            assert_eq!(text.parse::<Id>(), Err(NotAnId), "{text}");
        }
    }
}
