//! The client of the control plane: keeps one delta ADS stream open and feeds the mesh state from it.
//!
//! ```text
//! connect ─▶ open stream ─▶ responses ─▶ decode ─▶ Feed ─▶ ACK or NACK
//!    ▲                                                        │
//!    └────────────── pause (never zero) ◀── stream ended ◀────┘
//! ```
//! What is said on the stream is decided by [`culvert_core::xds::Session`]; this moves its messages and its time. The mesh state
//! stays what it is while there is no stream.

mod decode;
mod message;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use culvert_core::intern::Interner;
use culvert_core::pushback::Pushback;
use culvert_core::xds::{self, Closed, Event, Handled, Kind, Outcome, Session, WaiterId};
use culvert_process::exit::Chain;
use culvert_proto::xds as proto;
use culvert_proto::xds::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use culvert_wire::Received;
use tokio::sync::{mpsc, watch};
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};

use crate::config::XdsConfig;
use crate::control_plane::{self, Link};
use crate::mesh::{Demand, Feed, Heard};

/// The largest response that is accepted, decoded: a whole mesh can come in one.
const LARGEST_RESPONSE: usize = 200 * 1024 * 1024;

/// Resources that are decoded between two handovers; other tasks of the thread run in between.
const PORTION: usize = 256;

/// Requests that may wait for the wire.
const REQUESTS: usize = 64;

/// How long a new stream may take to be answered at all; connecting and the first response have shorter deadlines of their own.
const OPEN_DEADLINE: Duration = Duration::from_secs(70);

/// Keeps the stream.
pub(crate) struct Client {
    link: Arc<Link>,
    node: proto::Node,
    session: Session,
    feed: Feed,
    demands: mpsc::Receiver<Demand>,
    /// Those who wait for an answer.
    waiters: HashMap<WaiterId, Demand>,
    interner: Interner,
    waits_for: watch::Sender<Vec<Kind>>,
}

/// Why a stream ended.
struct Ended {
    how: Closed,
    why: String,
    /// When the server wants us back, if it says.
    pushback: Option<Pushback>,
}

impl Ended {
    fn new(how: Closed, why: String) -> Self {
        Self { how, why, pushback: None }
    }

    fn by(how: Closed, status: &Status) -> Self {
        Self { how, why: explain(status), pushback: control_plane::pushback(status) }
    }
}

/// What can happen with or without a stream.
enum Happened {
    Demand(Demand),
    Deadline,
}

type Responses = Streaming<proto::DeltaDiscoveryResponse>;
type Requests = mpsc::Sender<proto::DeltaDiscoveryRequest>;

impl Client {
    /// Checks the settings. The second value is what is still waited for until the mesh state is complete.
    pub(crate) fn new(
        config: &XdsConfig,
        feed: Feed,
        demands: mpsc::Receiver<Demand>,
    ) -> Result<(Self, watch::Receiver<Vec<Kind>>), control_plane::Invalid> {
        let session = Session::new(config.mode);
        let (waits_for, synced) = watch::channel(session.waits_for());
        let client = Self {
            link: Arc::new(Link::new(&config.server)?),
            node: message::node(&config.node),
            session,
            feed,
            demands,
            waiters: HashMap::new(),
            interner: Interner::default(),
            waits_for,
        };
        Ok((client, synced))
    }

    /// Whether the control plane answers.
    pub(crate) fn status(&self) -> control_plane::Status {
        self.link.status().clone()
    }

    /// Runs for ever.
    pub(crate) async fn run(mut self) {
        loop {
            let Ended { how, why, pushback } = self.stream().await;
            self.link.forget();
            let pause = self.session.closed(Instant::now(), pushback, rand::random());
            let reason = how.reason();
            metrics::counter!("istio_xds_connection_terminations_total", "reason" => reason).increment(1);
            self.link.status().down(&why);
            if matches!(how, Closed::Recycled | Closed::Clean) {
                tracing::info!(why, reason, retry_in = ?pause, "the xDS stream ended");
            } else {
                tracing::warn!(why, reason, retry_in = ?pause, "no xDS stream; the mesh state stays as it is");
            }
            self.pause(pause).await;
        }
    }

    /// Opens a stream and serves it until it ends.
    async fn stream(&mut self) -> Ended {
        let opening = self.session.opened(Instant::now());
        let (requests, outgoing) = mpsc::channel(opening.len() + REQUESTS);
        for request in &opening {
            // There is room for all of them.
            let _ = requests.try_send(message::request(request, &self.node));
        }
        drop(opening);
        match self.open(outgoing, &requests).await {
            Ok(responses) => self.serve(responses, &requests).await,
            Err(ended) => ended,
        }
    }

    /// Connects and sends the first requests; servers may answer with nothing before the first response.
    async fn open(
        &mut self,
        outgoing: mpsc::Receiver<proto::DeltaDiscoveryRequest>,
        requests: &Requests,
    ) -> Result<Responses, Ended> {
        let opening = tokio::time::timeout(OPEN_DEADLINE, open(Arc::clone(&self.link), outgoing));
        let mut opening = std::pin::pin!(opening);
        loop {
            let happened = tokio::select! {
                opened = &mut opening => return opened.unwrap_or_else(|_| {
                    let why = format!("not open within {OPEN_DEADLINE:?} (open deadline)");
                    Err(Ended::new(Closed::Unreachable, why))
                }),
                happened = self.idle() => happened,
            };
            self.take(happened);
            self.act(requests)?;
        }
    }

    async fn serve(&mut self, mut responses: Responses, requests: &Requests) -> Ended {
        loop {
            tokio::select! {
                response = responses.message() => match response {
                    Ok(Some(response)) => {
                        self.link.status().up();
                        let answer = self.handle(response).await;
                        if requests.try_send(message::request(&answer, &self.node)).is_err() {
                            return unread();
                        }
                    }
                    Ok(None) => return Ended::new(Closed::Clean, "closed by the server".into()),
                    Err(status) => return self.broken(&status),
                },
                happened = self.idle() => self.take(happened),
            }
            if let Err(ended) = self.act(requests) {
                return ended;
            }
        }
    }

    fn broken(&self, status: &Status) -> Ended {
        let how = self.session.classify(status.code().into(), status.message());
        Ended::by(how, status)
    }

    /// Lets a pause pass, while connections go on to ask and to give up.
    async fn pause(&mut self, pause: Duration) {
        let end = tokio::time::Instant::now() + pause;
        while let Ok(happened) = tokio::time::timeout_at(end, self.idle()).await {
            self.take(happened);
            self.answer_waiters();
        }
    }

    /// Waits for what can happen at any time. Cancel safe.
    async fn idle(&mut self) -> Happened {
        let deadline = self.session.deadline();
        let due = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(demand) = self.demands.recv() => Happened::Demand(demand),
            () = due => Happened::Deadline,
        }
    }

    fn take(&mut self, happened: Happened) {
        match happened {
            Happened::Deadline => self.session.handle_deadline(Instant::now()),
            Happened::Demand(demand) => match self.session.demand(&demand.name, Instant::now()) {
                xds::Demand::Known | xds::Demand::Unknown => demand.settle(Ok(Heard::Before)),
                xds::Demand::Pending(waiter) => drop(self.waiters.insert(waiter, demand)),
                xds::Demand::Overloaded => demand.settle(Err("too many names are being asked for")),
            },
        }
    }

    /// Does what the session wants done.
    fn act(&mut self, requests: &Requests) -> Result<(), Ended> {
        while let Some(event) = self.session.poll() {
            match event {
                Event::Answer(waiter, outcome) => self.answer(waiter, outcome),
                Event::Send(request) => {
                    requests.try_send(message::request(&request, &self.node)).map_err(|_| unread())?;
                }
                Event::Silent => {
                    let deadline = xds::FIRST_RESPONSE_DEADLINE;
                    let why = format!("no response within {deadline:?} (first response deadline)");
                    return Err(Ended::new(Closed::Unreachable, why));
                }
            }
        }
        Ok(())
    }

    /// Without a stream there is nothing to send: only answers come up.
    fn answer_waiters(&mut self) {
        while let Some(event) = self.session.poll() {
            if let Event::Answer(waiter, outcome) = event {
                self.answer(waiter, outcome);
            }
        }
    }

    fn answer(&mut self, waiter: WaiterId, outcome: Outcome) {
        let Some(demand) = self.waiters.remove(&waiter) else { return };
        demand.settle(match outcome {
            Outcome::Found | Outcome::Unknown => Ok(Heard::Now),
            Outcome::TimedOut => Err("no answer came in time (demand deadline, 5s)"),
        });
    }

    /// Applies a response, and gives the answer to it once readers see what was applied.
    async fn handle(&mut self, response: proto::DeltaDiscoveryResponse) -> xds::Request {
        let proto::DeltaDiscoveryResponse { resources, type_url, nonce, removed_resources, .. } = response;
        count(&type_url, &resources);
        let Some(kind) = Kind::of(&type_url) else {
            tracing::error!(type_url, "the control plane sent what was not subscribed to");
            return self.session.unknown_type(&type_url, &nonce);
        };
        let (taken, removed) = (resources.len(), removed_resources.len());
        let handled = self.apply(kind, resources, removed_resources).await;
        self.feed.publish().await;
        self.link.status().version(&response.system_version_info);
        self.link.status().updated();
        tracing::debug!(
            kind = kind.url(),
            taken,
            removed,
            rejected = handled.rejected.len(),
            "xDS response applied"
        );
        let answer = self.session.handled(kind, &nonce, handled, Instant::now());
        self.waits_for.send_if_modified(|before| {
            let waits_for = self.session.waits_for();
            let news = *before != waits_for;
            *before = waits_for;
            news
        });
        answer
    }

    async fn apply(&mut self, kind: Kind, resources: Vec<proto::Resource>, removed: Vec<String>) -> Handled {
        let removed = culvert_wire::removed(removed, &resources);
        let mut handled = Handled { removed, ..Handled::default() };
        let mut changes = Vec::new();
        for resource in resources {
            let Received { change, verdict } = decode::resource(kind, &resource, &mut self.interner);
            match verdict {
                Ok(accepted) => handled.accepted.extend(accepted),
                Err(rejected) => handled.rejected.push(rejected),
            }
            changes.extend(change);
            if changes.len() >= PORTION {
                self.feed.apply(std::mem::take(&mut changes)).await;
            }
        }
        changes.extend(handled.removed.iter().cloned().map(|name| culvert_wire::removal(kind, name)));
        self.feed.apply(changes).await;
        handled
    }
}

async fn open(
    link: Arc<Link>,
    outgoing: mpsc::Receiver<proto::DeltaDiscoveryRequest>,
) -> Result<Responses, Ended> {
    let local = |error: control_plane::Error| Ended::new(Closed::Local, Chain(&error).to_string());
    let metadata = link.metadata().await.map_err(local)?;
    let channel = link.channel().await.map_err(local)?;
    let mut request = Request::new(ReceiverStream::new(outgoing));
    *request.metadata_mut() = metadata;
    let mut client =
        AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(LARGEST_RESPONSE);
    let opened = client.delta_aggregated_resources(request).await;
    let responses = opened.map_err(|status| Ended::by(Closed::Unreachable, &status))?;
    tracing::info!(address = link.address(), "xDS stream open");
    Ok(responses.into_inner())
}

fn unread() -> Ended {
    Ended::new(Closed::Failed, "the server does not read our requests".into())
}

/// A status made on this side says little by itself; its cause does.
fn explain(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(cause) => Chain(cause).to_string(),
        None => format!("{:?}: {}", status.code(), status.message()),
    }
}

fn count(type_url: &str, resources: &[proto::Resource]) {
    let payloads = resources.iter().filter_map(|resource| resource.resource.as_ref());
    let bytes: usize = payloads.map(|payload| payload.value.len()).sum();
    // Labels are not to be chosen by the peer.
    let url = Kind::of(type_url).map_or("other", Kind::url);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    metrics::gauge!("culvert_xds_last_update_timestamp_seconds").set(now.as_secs_f64());
    metrics::counter!("istio_xds_message_total", "url" => url).increment(1);
    metrics::counter!("istio_xds_message_bytes_total", "url" => url).increment(bytes as u64);
}
