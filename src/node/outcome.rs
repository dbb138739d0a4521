//! What became of a connection: one report for each, in the access log and in the metrics, failures before the first
//! byte included.

mod dry_run;
mod failure;
mod labels;
mod names;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use culvert_core::identity::SpiffeId;
use culvert_core::refusal::Flag;
use culvert_core::service::Service;
use culvert_core::workload::Workload;
use culvert_process::exit::Chain;

use crate::capture;
use crate::stream::Moved;

pub(crate) use dry_run::count_dry_run;
pub(crate) use failure::Failure;
pub(crate) use labels::describe as describe_metrics;

const OPENED: &str = "istio_tcp_connections_opened_total";
const CLOSED: &str = "istio_tcp_connections_closed_total";
const PROBES: &str = "culvert_kubelet_probes_total";

/// Seen from the pod this node serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Outbound,
    Inbound,
}

/// One end of a connection, as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct Party {
    pub(crate) workload: Option<Arc<Workload>>,
    /// Only what was proven by a certificate.
    pub(crate) identity: Option<SpiffeId>,
}

/// The report on one connection. It is given when this is dropped, whatever happens to the task.
#[derive(Debug)]
pub(crate) struct Report {
    direction: Direction,
    started: Instant,
    client: SocketAddr,
    /// The next hop outbound; the address the client dialled inbound.
    pub(crate) destination: SocketAddr,
    pub(crate) from: Party,
    pub(crate) to: Party,
    pub(crate) service: Option<Arc<Service>>,
    /// What the client has asked for by SOCKS.
    pub(crate) asked: Option<Box<str>>,
    /// The authority of the CONNECT.
    pub(crate) authority: Option<String>,
    /// The policy that let it in.
    pub(crate) policy: Option<Arc<str>>,
    /// Whether it was let in as a probe of kubelet's. Those are counted apart: they are nobody's traffic.
    pub(crate) probe: bool,
    moved: Arc<Moved>,
    /// Counts an end in order, once the connection is made: looked up once, because its labels are many.
    closed: Option<metrics::Counter>,
    result: Result<(), Failure>,
}

impl Report {
    /// Begins the report on an accepted connection.
    pub(crate) fn begin(direction: Direction, client: SocketAddr, destination: SocketAddr) -> Box<Self> {
        Box::new(Self {
            direction,
            started: Instant::now(),
            client,
            destination,
            from: Party::default(),
            to: Party::default(),
            service: None,
            asked: None,
            authority: None,
            policy: None,
            probe: false,
            moved: Arc::default(),
            closed: None,
            result: Err(Failure::Drained),
        })
    }

    /// Begins the report on a captured connection.
    pub(crate) fn of(direction: Direction, captured: &capture::Captured) -> Box<Self> {
        Self::begin(direction, captured.client, captured.destination)
    }

    /// Forgets what an attempt that failed was about, and what was said in it to nobody.
    pub(crate) fn begin_attempt(&mut self) {
        (self.authority, self.service, self.moved) = (None, None, Arc::default());
        (self.from.identity, self.to) = (None, Party::default());
    }

    /// What counts the bytes.
    pub(crate) fn moved(&self) -> &Arc<Moved> {
        &self.moved
    }

    /// Says that the connection is made, and that all is known about both ends.
    pub(crate) fn opened(&mut self) {
        if !self.probe {
            self.name_counters();
        }
        tracing::debug!(target: "access", { src.addr = %self.client, dst.addr = %self.destination }, "connection opened");
    }

    /// Says how it ended; without this it was cut off by a drain.
    pub(crate) fn end(mut self: Box<Self>, result: Result<(), Failure>) {
        self.result = result;
    }

    /// What a peer that is not let in says of itself is in the log alone.
    fn labels(&self, flag: Flag) -> Vec<metrics::Label> {
        labels::traffic(self, flag, labels::Hearsay { counts: self.closed.is_some() })
    }

    fn name_counters(&mut self) {
        let labels = labels::traffic(self, Flag::None, labels::Hearsay { counts: true });
        metrics::counter!(OPENED, labels.clone()).increment(1);
        // The counters' names take the server's point of view, on both reporters.
        self.moved.forth.belong_to(metrics::counter!("istio_tcp_received_bytes_total", labels.clone()));
        self.moved.back.belong_to(metrics::counter!("istio_tcp_sent_bytes_total", labels.clone()));
        self.closed = Some(metrics::counter!(CLOSED, labels));
    }

    fn count(&mut self) {
        if self.probe {
            let result = self.result.as_ref().err().map_or("ok", Failure::reason);
            metrics::counter!(PROBES, vec![metrics::Label::new("result", result)]).increment(1);
            return;
        }
        self.moved.forth.tell();
        self.moved.back.tell();
        if self.closed.is_none() {
            // Refused before any byte: it still was a connection, and closed must not outnumber opened.
            metrics::counter!(OPENED, self.labels(Flag::None)).increment(1);
        }
        let flag = self.result.as_ref().err().map_or(Flag::None, Failure::flag);
        match &self.closed {
            Some(closed) if flag == Flag::None => closed.increment(1),
            _ => metrics::counter!(CLOSED, self.labels(flag)).increment(1),
        }
        if flag != Flag::None {
            metrics::counter!("istio_tcp_connections_failed_total", self.labels(flag)).increment(1);
        }
        if let Err(failure) = &self.result {
            let by = metrics::Label::new("reason", failure.reason());
            metrics::counter!("culvert_connections_ended_early_total", vec![by]).increment(1);
        }
    }

    fn log(&self) {
        let (forth, back) = (self.moved.forth.bytes(), self.moved.back.bytes());
        let (sent, received) = match self.direction {
            Direction::Outbound => (forth, back),
            Direction::Inbound => (back, forth),
        };
        macro_rules! line {
            ($level:ident, $($error:tt)*) => {
                tracing::$level!(target: "access", {
                    src.addr = %self.client,
                    src.workload = self.from.name(),
                    src.namespace = self.from.namespace(),
                    src.identity = self.from.identity.as_ref().map(quoted),
                    dst.addr = %self.destination,
                    dst.hbone_addr = self.authority.as_deref().map(tracing::field::display),
                    dst.service = self.service.as_ref().map(|service| service.hostname.as_ref()),
                    dst.workload = self.to.name(),
                    dst.namespace = self.to.namespace(),
                    dst.identity = self.to.identity.as_ref().map(quoted),
                    direction = self.direction.as_str(),
                    socks = self.asked.as_deref(),
                    bytes_sent = sent,
                    bytes_recv = received,
                    duration = format!("{}ms", self.started.elapsed().as_millis()),
                    policy = self.policy.as_deref(),
                    probe = self.probe.then_some(true),
                    $($error)*
                }, "connection complete")
            };
        }
        // Kubelet asks each pod every few seconds, and reports what it finds itself.
        match &self.result {
            Ok(()) if self.probe => line!(debug,),
            Err(failure) if self.probe => {
                line!(info, reason = failure.reason(), error = Chain(failure).to_string());
            }
            Ok(()) => line!(info,),
            Err(failure) => line!(error, reason = failure.reason(), error = Chain(failure).to_string()),
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.count();
        self.log();
    }
}

impl Party {
    fn name(&self) -> Option<&str> {
        let workload = self.workload.as_ref()?;
        // What only a peer has told of has no name of its own, but that of what owns it.
        Some(Some(workload.name()).filter(|name| !name.is_empty()).unwrap_or(&workload.workload_name))
    }

    fn namespace(&self) -> Option<&str> {
        self.workload.as_ref().map(|workload| workload.namespace.as_ref())
    }
}

impl Direction {
    fn as_str(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
        }
    }
}

fn quoted(value: &impl fmt::Display) -> tracing::field::DebugValue<String> {
    tracing::field::debug(value.to_string())
}
