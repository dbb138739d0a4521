//! What the agent answers over its Unix socket: the CNI plugin's questions, and what has become of each pod.
//!
//! In go requests of root's processes on this host, out come answers made of the cluster's [`View`](crate::cluster::View), the
//! enrolment's [`Board`](crate::board::Board), and namespaces for the enrolment. Whether a pod is enrolled is not decided here.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request as HttpRequest, State as Extract};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use culvert_cni::message::{Answer, HELLO, Refusal, Request, excerpt};
use culvert_serving::root_socket::RootSocket;
use culvert_serving::{Client, Limits, Terms};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::board::Boards;
use crate::cluster::Views;
use crate::handed::Handed;
use crate::namespaces::Host;
use crate::presence::Registry;

pub(crate) use add::Patience;
pub(crate) use culvert_serving::socket_file::Error;
pub(crate) use measured::{DURATION, describe_metrics};

mod add;
mod check;
mod measured;
mod pods;
#[cfg(test)]
pub(crate) mod tests;

/// Where the agent answers, and what it needs to know of the host for that.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    /// Where the agent answers the CNI plugin; the same path inside the agent's container and on the host
    #[arg(long, value_name = "PATH", default_value = "/var/run/culvert/agent.sock")]
    pub(crate) cni_socket: PathBuf,

    /// Where the host's files are mounted, if not at their own place: `/host` for `/host/var/run/netns`
    #[arg(long, value_name = "DIR")]
    pub(crate) host_netns_prefix: Option<PathBuf>,
}

/// Requests that are being answered at once; a node has fewer pods.
const MOST_REQUESTS: usize = 256;

/// Connections at once: room to tell a few more that there are too many.
const MOST_CONNECTIONS: usize = MOST_REQUESTS + 64;

/// A request is the description of one pod.
const MAX_BODY: usize = 64 << 10;

/// How long a request may take to come in after its head.
const BODY: Duration = Duration::from_secs(5);

/// What questions are answered from.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    pub(crate) views: Views,
    /// Asked for pods that are in no view.
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) boards: Boards,
    pub(crate) handed: Handed,
    pub(crate) host: Host,
    /// Where the host's files are seen from here, before the paths runtimes say; empty if at the same place.
    pub(crate) host_prefix: PathBuf,
    pub(crate) patience: Patience,
}

#[derive(Clone)]
struct Context {
    sources: Arc<Sources>,
    seats: Arc<Semaphore>,
}

/// The open socket.
#[derive(Debug)]
pub(crate) struct Socket(RootSocket);

/// Opens the socket, and creates its directory if there is none.
pub(crate) fn bind(path: &Path) -> Result<Socket, Error> {
    RootSocket::bind(path).map(Socket)
}

/// Answers until it is dropped.
pub(crate) async fn serve(socket: Socket, sources: Sources) {
    // Whoever says too much hears that.
    let limits = Limits::Wait { most: MOST_CONNECTIONS };
    let terms = Terms { read_ahead: 2 * MAX_BODY, ..limits.into() };
    culvert_serving::serve(socket.0, router(sources), terms).await;
}

fn router(sources: Sources) -> Router {
    let context = Context { sources: Arc::new(sources), seats: Arc::new(Semaphore::new(MOST_REQUESTS)) };
    Router::new()
        .route("/v1/cni/add", post(add))
        .route("/v1/cni/check", post(check))
        .route("/v1/pods", get(pods))
        .layer(middleware::from_fn_with_state(context.clone(), seated))
        // These take no time, and must not be refused: somebody is there, and what is gone is gone.
        .route("/v1/cni/del", post(del))
        .route(HELLO, get(async || StatusCode::OK))
        .with_state(context)
}

/// Sends away whoever comes when all seats are taken.
async fn seated(Extract(context): Extract<Context>, request: HttpRequest, next: Next) -> Response {
    let Ok(_seat) = context.seats.try_acquire() else {
        let reason =
            format!("the agent answers {MOST_REQUESTS} requests already, which is as many as it can");
        return Failure::Retry(reason).into_response();
    };
    next.run(request).await
}

async fn add(
    Extract(context): Extract<Context>,
    Extension(client): Extension<Client>,
    request: HttpRequest,
) -> Response {
    let added = async {
        let request = body(request).await?;
        tokio::select! {
            added = add::add(&context.sources, &request) => added,
            // What has been begun for it is taken back.
            () = client.gone() => Err(Failure::Retry("the plugin has gone away".to_owned())),
        }
    };
    answer("add", added).await
}

async fn check(Extract(context): Extract<Context>, request: HttpRequest) -> Response {
    answer("check", async { check::check(&context.sources, &body(request).await?).await }).await
}

async fn del(Extract(context): Extract<Context>, request: HttpRequest) -> Response {
    answer("del", async { Ok(check::del(&context.sources, &body(request).await?)) }).await
}

async fn pods(Extract(context): Extract<Context>) -> Response {
    let (view, board) = {
        let sources = &context.sources;
        (sources.views.borrow().clone(), Arc::clone(&sources.boards.borrow()))
    };
    json(StatusCode::OK, &pods::list(view.as_deref(), &board))
}

async fn answer(command: &'static str, work: impl Future<Output = Result<Answer, Failure>>) -> Response {
    let started = Instant::now();
    let result = work.await;
    measured::count(command, &result, started.elapsed());
    match result {
        Ok(answer) => json(StatusCode::OK, &answer),
        Err(failure) => failure.into_response(),
    }
}

async fn body(request: HttpRequest) -> Result<Request, Failure> {
    let bytes = timeout(BODY, axum::body::to_bytes(request.into_body(), MAX_BODY))
        .await
        .map_err(|_| Failure::Invalid(format!("the request has not come in within {BODY:?}")))?
        .map_err(|error| Failure::Invalid(format!("the request cannot be read: {error}")))?;
    let request: Request = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::Invalid(format!("the request makes no sense: {error}")))?;
    match request.flaw() {
        None => Ok(request),
        Some(flaw) => Err(Failure::Invalid(flaw.to_string())),
    }
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let text = serde_json::to_string(body).expect("structs of strings and numbers are JSON");
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// Why a pod may not go on, in words.
#[derive(Debug)]
enum Failure {
    /// Asking again is of no use.
    Invalid(String),
    /// Not yet.
    Retry(String),
    /// Nothing is known of the cluster.
    NotReady(String),
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, reason, ready) = match self {
            Self::Invalid(reason) => (StatusCode::BAD_REQUEST, reason, true),
            Self::Retry(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason, true),
            Self::NotReady(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason, false),
        };
        json(status, &Refusal { reason: excerpt(&reason).into_owned(), ready })
    }
}
