//! One connection: HTTP/2, and the calls on it.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service as _;
use tonic::service::Routes;

use crate::callers::Reach;
use crate::metered;

use super::door::{Door, Kind};
use super::visit::{Overstay, Visit};
use super::{STOP_DEADLINE, stopped};

/// Calls at once on one connection.
const CALLS: u32 = 32;
/// The longest headers of a call.
const LONGEST_HEADERS: u32 = 16 * 1024;
/// From the headers of a call to its answer.
const CALL_DEADLINE: Duration = Duration::from_secs(10);
/// How long a connection is used before the client is asked to make a new one.
const AGE: Duration = Duration::from_secs(3600);
/// How often an idle connection is probed, and how long the answer may take.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_DEADLINE: Duration = Duration::from_secs(10);

/// Who answers calls, by how much of the mesh callers may have.
#[derive(Clone)]
pub(super) struct Calls {
    pub(super) everything: Routes,
    pub(super) near: Routes,
}

/// What all connections share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) door: Arc<Door>,
    pub(super) routes: Calls,
    /// Becomes true when calls shall end.
    pub(super) stopping: watch::Receiver<bool>,
}

/// Serves it until the client goes or has to.
pub(super) async fn serve(stream: TlsStream<TcpStream>, visit: Arc<Visit>, shared: Shared) {
    let Shared { door, routes, mut stopping } = shared;
    let service = {
        let visit = Arc::clone(&visit);
        service_fn(move |request| answer(request, Arc::clone(&visit), Arc::clone(&door), routes.clone()))
    };
    let mut connection = pin!(protocol().serve_connection(TokioIo::new(stream), service));
    let mut aged = pin!(sleep(AGE));
    let peer = visit.peer;
    loop {
        tokio::select! {
            served = connection.as_mut() => {
                if let Err(error) = served {
                    tracing::debug!(%peer, %error, "connection closed");
                }
                return;
            }
            why = visit.overstayed() => match why {
                Overstay::Unknown => {
                    metered::limited("introduction");
                    tracing::debug!(%peer, "nobody has said who he is (introduction deadline)");
                    return;
                }
                Overstay::Idle => {
                    metered::limited("idle");
                    break;
                }
            },
            () = &mut aged => {
                // Calls that are under way go on, for as long as they like.
                connection.as_mut().graceful_shutdown();
                aged.set(sleep(AGE));
            }
            () = stopped(&mut stopping) => break,
        }
    }
    connection.as_mut().graceful_shutdown();
    // Who does not answer to that is cut off.
    let _ = timeout(STOP_DEADLINE, connection).await;
}

fn protocol() -> Builder<TokioExecutor> {
    let mut protocol = Builder::new(TokioExecutor::new());
    protocol
        .timer(TokioTimer::new())
        .max_concurrent_streams(CALLS)
        .max_header_list_size(LONGEST_HEADERS)
        // 64 KiB are read ahead of who takes it, and more once it is taken: what strangers say is not.
        .adaptive_window(true)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_DEADLINE);
    protocol
}

/// Answers one call.
async fn answer(
    request: Request<Incoming>,
    visit: Arc<Visit>,
    door: Arc<Door>,
    routes: Calls,
) -> Result<Response<Body>, Infallible> {
    let answered = timeout(CALL_DEADLINE, pass(request, &visit, &door, routes)).await;
    let status = match answered {
        Ok(Ok(response)) => return Ok(response),
        Ok(Err(status)) => status,
        Err(_) => Status::deadline_exceeded("the call took too long (call deadline)"),
    };
    Ok(status.into_http())
}

async fn pass(
    mut request: Request<Incoming>,
    visit: &Arc<Visit>,
    door: &Door,
    Calls { everything, near }: Calls,
) -> Result<Response<Body>, Status> {
    let mut routes = near;
    // What is not known is answered by the routes, and needs nobody's name.
    if let Some(kind) = Kind::of(request.uri().path()) {
        let admitted = door.admit(visit, kind, request.headers()).await?;
        if admitted.known.reach == Reach::Everything {
            routes = everything;
        }
        request.extensions_mut().insert(Arc::new(admitted));
    }
    let Ok(response) = routes.call(request).await;
    Ok(response)
}
