//! One stream: waits for requests, for changes, and for the client to take responses.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use culvert_discovery::{Error, Refused, Session};
use culvert_proto::xds::DeltaDiscoveryRequest;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tonic::{Code, Status, Streaming};

use crate::callers::{self, Caller, Callers, Known};
use crate::published::Published;
use crate::refused;
use crate::server::{Admitted, stopped};
use crate::token::Token;

use super::{Sent, node};

/// From the opening of a stream to its first request.
const FIRST_REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// How long a client may take no response.
const READ_DEADLINE: Duration = Duration::from_secs(60);
/// How long the last word may take to be taken.
const END_DEADLINE: Duration = Duration::from_secs(2);
/// Changes that follow each other this fast are one, for [`LONGEST_SETTLING`] at most.
const SETTLING: Duration = Duration::from_millis(10);
const LONGEST_SETTLING: Duration = Duration::from_millis(100);
/// A client with much to claim does so in several requests: it is not answered between them.
const CLAIMING: Duration = Duration::from_millis(200);
/// How long it may go on claiming.
const LONGEST_CLAIMING: Duration = Duration::from_secs(10);

/// A stream of an authenticated client.
pub(super) struct Stream {
    pub(super) peer: String,
    pub(super) token: Token,
    pub(super) known: Known,
    pub(super) callers: Arc<dyn Callers>,
    pub(super) published: Arc<Published>,
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) requests: Streaming<DeltaDiscoveryRequest>,
    pub(super) responses: mpsc::Sender<Sent>,
    /// It holds the caller's place.
    pub(super) _admitted: Arc<Admitted>,
}

/// Why a stream ends.
enum End {
    /// The client did it.
    Client(&'static str),
    /// The client is told this.
    Told(Status),
}

impl Stream {
    /// Serves the client until one of the two has had enough.
    pub(super) async fn run(mut self) {
        let mut report = Report::new(&self.peer, &self.known.caller);
        let end = match timeout(FIRST_REQUEST_DEADLINE, self.requests.message()).await {
            Ok(Ok(Some(first))) => self.serve(first, &mut report).await,
            Ok(Ok(None)) => End::Client("the client asked for nothing"),
            Ok(Err(_)) => End::Client("the client broke off"),
            Err(_) => End::Told(Status::deadline_exceeded("no request (first request deadline)")),
        };
        match end {
            End::Client(reason) => reason.clone_into(&mut report.reason),
            End::Told(status) => {
                status.message().clone_into(&mut report.reason);
                // A client that does not take it sees the stream end all the same.
                let _ = timeout(END_DEADLINE, self.responses.send(Err(status))).await;
            }
        }
    }

    async fn serve(&mut self, first: DeltaDiscoveryRequest, report: &mut Report) -> End {
        report.client = node::shown(first.node.as_ref());
        let node = match node::name(&self.known, first.node.as_ref()) {
            Ok(node) => node,
            Err(said) => {
                let (caller, said) = (&self.known.caller, node::clipped(&said));
                let text =
                    format!("this token is for {caller}, and the client says that it is on node {said:?}");
                return End::Told(Status::permission_denied(text));
            }
        };
        report.start();
        let session = Session::new(&self.published.read(), &node, &self.known.reach);
        match self.exchange(session, first, report).await {
            Ok(reason) => End::Client(reason),
            Err(status) => End::Told(status),
        }
    }

    /// Exchanges requests and responses. Whatever is waited for loses nothing when something else comes first.
    async fn exchange(
        &mut self,
        mut session: Session,
        first: DeltaDiscoveryRequest,
        report: &mut Report,
    ) -> Result<&'static str, Status> {
        let (callers, token, known) = (Arc::clone(&self.callers), self.token.clone(), self.known.clone());
        let mut lost = pin!(callers.lost(&token, &known));
        let mut newest = self.published.newest();
        let mut pace = Pace::default();
        self.take(&mut session, &first, &mut pace, report)?;
        // It may name all there is, and the stream goes on for long.
        drop(first);
        loop {
            let ready = pace.is_ready(&session);
            tokio::select! {
                // Requests before responses, so that what was subscribed to together is told in its order.
                biased;
                () = stopped(&mut self.stopping) => {
                    return Err(Status::unavailable("the control plane stops; connect again"));
                }
                stranger = &mut lost => {
                    tracing::info!(client = report.client, reason = stranger.code(), error = %stranger, "caller is not known any more");
                    return Err(callers::status(stranger));
                }
                request = self.requests.message() => match request {
                    Ok(Some(request)) => self.take(&mut session, &request, &mut pace, report)?,
                    Ok(None) => return Ok("the client is done"),
                    Err(_) => return Ok("the client broke off"),
                },
                () = pace.wait() => pace.next()?,
                permit = self.responses.reserve(), if ready => {
                    let Ok(permit) = permit else { return Ok("the client is gone") };
                    if let Some(response) = session.respond(&self.published.read()) {
                        report.responses += 1;
                        permit.send(Ok(response));
                    }
                    pace.blocked = None;
                }
                () = news(&mut newest, session.generation()) => session.follow(&self.published.read()),
            }
        }
    }

    fn take(
        &self,
        session: &mut Session,
        request: &DeltaDiscoveryRequest,
        pace: &mut Pace,
        report: &mut Report,
    ) -> Result<(), Status> {
        if !request.initial_resource_versions.is_empty() {
            pace.claims();
        }
        let refused = session.take(&self.published.read(), request).map_err(status)?;
        if let Some(Refused { kind, nonce, reason }) = refused {
            report.refused += 1;
            let (client, caller, reason) = (&report.client, &self.known.caller, node::clipped(&reason));
            tracing::warn!(client, %caller, kind, nonce, reason, "client refused a response");
        }
        Ok(())
    }
}

/// How a client is told that its stream has to end.
fn status(error: Error) -> Status {
    let text = error.to_string();
    match error {
        Error::LongName => Status::invalid_argument(text),
        Error::Unknown => Status::resource_exhausted(text),
        Error::Names { .. } => refused::status(Code::ResourceExhausted, "too-many-names", text),
        Error::Everything => refused::status(Code::PermissionDenied, "wildcard-not-allowed", text),
    }
}

/// When to send.
#[derive(Default)]
struct Pace {
    /// Until when more claims may come.
    claiming: Option<Instant>,
    /// Until when claims are waited for, whatever comes.
    claimed: Option<Instant>,
    /// Until when the client may go on to take nothing.
    blocked: Option<Instant>,
}

impl Pace {
    /// The client says what it has, and may go on to do so.
    fn claims(&mut self) {
        let now = Instant::now();
        let last = *self.claimed.get_or_insert(now + LONGEST_CLAIMING);
        self.claiming = Some(last.min(now + CLAIMING));
    }

    /// Tells whether a response can be made, and starts to wait for the client to take it.
    fn is_ready(&mut self, session: &Session) -> bool {
        let ready = self.claiming.is_none() && session.is_pending();
        if ready {
            self.blocked.get_or_insert_with(|| Instant::now() + READ_DEADLINE);
        }
        ready
    }

    async fn wait(&self) {
        match self.claiming.or(self.blocked) {
            Some(instant) => sleep_until(instant).await,
            None => std::future::pending().await,
        }
    }

    /// What was waited for has come.
    fn next(&mut self) -> Result<(), Status> {
        match self.claiming.take() {
            Some(_) => Ok(()),
            None => Err(Status::deadline_exceeded("the client takes no responses (read deadline)")),
        }
    }
}

/// Waits for a newer generation, and until changes stop to come one after the other. Cancel safe.
async fn news(newest: &mut watch::Receiver<u64>, have: u64) {
    if newest.wait_for(|newest| *newest > have).await.is_err() {
        // Nothing new will ever come.
        return std::future::pending().await;
    }
    let latest = Instant::now() + LONGEST_SETTLING;
    while let Ok(Ok(())) = timeout_at(latest.min(Instant::now() + SETTLING), newest.changed()).await {}
}

/// What is logged of a stream: a line at its start, and one at its end, whichever way it ends.
struct Report {
    client: String,
    peer: String,
    caller: String,
    reason: String,
    responses: u64,
    refused: u64,
}

impl Report {
    fn new(peer: &str, caller: &Caller) -> Self {
        Self {
            client: "-".to_owned(),
            peer: peer.to_owned(),
            caller: caller.to_string(),
            reason: "the connection is gone".to_owned(),
            responses: 0,
            refused: 0,
        }
    }

    fn start(&self) {
        let Self { client, peer, caller, .. } = self;
        tracing::info!(client, peer, caller, "discovery stream started");
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let Self { client, peer, caller, reason, responses, refused } = self;
        tracing::info!(client, peer, caller, reason, responses, refused, "discovery stream ended");
    }
}

/// The responses of a stream; dropped, it takes the stream with it.
pub(crate) struct Responses {
    receiver: mpsc::Receiver<Sent>,
    _task: JoinSet<()>,
}

impl Responses {
    pub(super) fn new(receiver: mpsc::Receiver<Sent>, task: JoinSet<()>) -> Self {
        Self { receiver, _task: task }
    }
}

impl tonic::codegen::tokio_stream::Stream for Responses {
    type Item = Sent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Sent>> {
        self.receiver.poll_recv(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_for_too_much_is_told_in_words_and_in_codes() {
        for (error, code, reason) in [
            (Error::LongName, Code::InvalidArgument, None),
            (Error::Unknown, Code::ResourceExhausted, None),
            (Error::Names { most: 1000 }, Code::ResourceExhausted, Some("too-many-names")),
            (Error::Everything, Code::PermissionDenied, Some("wildcard-not-allowed")),
        ] {
            let status = status(error);
            let said = status.metadata().get("culvert-reason").and_then(|it| it.to_str().ok());
            assert_eq!((status.code(), said, status.message()), (code, reason, &*error.to_string()));
        }
    }
}
