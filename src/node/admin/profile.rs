//! Profiles of the running node: what it spends CPU time with (`cpu`), and who holds its memory (`heap`), as `pprof` reads them.
//!
//! In come requests, out go profiles; nothing is measured while nobody asks. The work is done on a thread of its own, one of a kind at a
//! time. A profile that is being taken ends when its client goes, and is cut short, but told, when the process is to end.

mod cpu;
mod heap;
mod modules;
mod parameters;
mod pprof;

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Extension, Router};
use culvert_process::exit::Chain;
use culvert_serving::Client;
use tokio::sync::{Semaphore, watch};
use tokio::task::{self, JoinError};

/// Serves profiles until the sender of `process` has gone, which ends those that are being taken.
pub(super) fn router(process: watch::Receiver<()>) -> Router {
    let context = Context { process, cpu: Arc::new(Semaphore::new(1)), heap: Arc::new(Semaphore::new(1)) };
    Router::new()
        .route("/debug/pprof/profile", any(cpu_profile))
        .route("/debug/pprof/heap", any(heap_profile))
        .route("/debug/pprof/heap/profiling", any(heap_profiling))
        .with_state(context)
}

#[derive(Debug, Clone)]
struct Context {
    /// Closed when the process is to end.
    process: watch::Receiver<()>,
    /// Who takes a CPU profile.
    cpu: Arc<Semaphore>,
    /// Who takes a heap profile.
    heap: Arc<Semaphore>,
}

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Asked(#[from] parameters::Invalid),
    #[error("another {0} profile is being taken; try again when it is over")]
    Busy(&'static str),
    #[error(
        "heap profiling is not active; start it with /debug/pprof/heap/profiling?activate=true: what is allocated from then on is told"
    )]
    Inactive,
    #[error("cannot take a {what} profile")]
    Failed { what: &'static str, source: io::Error },
    #[error("the {what} profile has come to nothing")]
    Ended { what: &'static str, source: JoinError },
}

const CPU: &str = "CPU";
const HEAP: &str = "heap";

async fn cpu_profile(
    State(mut context): State<Context>,
    Extension(client): Extension<Client>,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let wanted = parameters::cpu(query.as_deref().unwrap_or_default())?;
    let turn = context.cpu.try_acquire_owned().map_err(|_| Error::Busy(CPU))?;
    // Dropped with this future, when the connection is cut.
    let (end, ended) = std::sync::mpsc::channel();
    let mut taking = task::spawn_blocking(move || {
        let taken = cpu::take(wanted, &ended);
        drop(turn);
        taken
    });
    // Nothing is ever sent by the process: the channel closes.
    let cut = tokio::select! {
        taken = &mut taking => Err(taken),
        _ = context.process.changed() => Ok(()),
        () = client.gone() => Ok(()),
    };
    let taken = match cut {
        Err(taken) => taken,
        Ok(()) => {
            // Fails when it is over at this moment, and then it need not be told.
            let _ = end.send(());
            taking.await
        }
    };
    let taken = taken.map_err(|source| Error::Ended { what: CPU, source })?;
    let profile = taken.map_err(|source| Error::Failed { what: CPU, source })?;
    // Without a content type: a body has none by itself.
    Ok(Body::from(profile.unwrap_or_default()).into_response())
}

async fn heap_profile(State(context): State<Context>) -> Result<Response, Error> {
    let turn = context.heap.try_acquire_owned().map_err(|_| Error::Busy(HEAP))?;
    let told = task::spawn_blocking(move || {
        let told = culvert_sys::heap::seen().map(|seen| heap::tell(&seen));
        drop(turn);
        told
    });
    let told = told.await.map_err(|source| Error::Ended { what: HEAP, source })?;
    let profile = told.ok_or(Error::Inactive)?.map_err(|source| Error::Failed { what: HEAP, source })?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], profile).into_response())
}

async fn heap_profiling(RawQuery(query): RawQuery) -> Result<String, Error> {
    match parameters::activation(query.as_deref().unwrap_or_default())? {
        Some(true) => culvert_sys::heap::watch(),
        Some(false) => culvert_sys::heap::forget(),
        None => {}
    }
    Ok(format!("heap profiling active: {}\n", culvert_sys::heap::is_watched()))
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Asked(_) => StatusCode::BAD_REQUEST,
            Self::Busy(_) | Self::Inactive | Self::Failed { .. } | Self::Ended { .. } => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        (status, format!("{}\n", Chain(&self))).into_response()
    }
}
