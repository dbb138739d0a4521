//! `/v1/`: what this node knows of itself, its pods and their connections, as JSON in the shapes of `culvert-api`.
//!
//! In goes a request; out comes one object, a page of a list, or a problem that says what to do about it. Whatever is read is
//! copied first, and made into JSON when no lock is held; that is done on threads of its own, few at a time, so that
//! whoever asks much waits for himself. Deliberately absent: secrets (no keys, tokens or headers are in the shapes), judgement, and
//! anything that changes something.

mod connections;
mod cursor;
mod ejected;
mod identities;
mod limits;
mod mesh;
mod moment;
mod node;
mod page;
mod pods;
mod problem;
mod query;
mod sockets;
mod traffic;
mod tunnels;
mod why;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State as Extract};
use axum::http::{HeaderName, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get};
use serde::Serialize;
use tokio::sync::Semaphore;

use problem::Refusal;
use query::Query;

/// Answers that are made at a time.
const BUILDERS: usize = 2;

/// Connections that are explained at a time: whoever had not answered is knocked at, and waited for.
const EXPLAINERS: usize = 4;

/// What answers are made of. Cheap to clone.
#[derive(Clone)]
pub(super) struct Sources {
    shown: Arc<super::Sources>,
    /// When this process began to record what happens.
    began: (Instant, SystemTime),
    builders: Arc<Semaphore>,
    explainers: Arc<Semaphore>,
}

impl Sources {
    pub(super) fn new(shown: &super::Sources) -> Self {
        Self {
            shown: Arc::new(shown.clone()),
            began: (Instant::now(), SystemTime::now()),
            builders: Arc::new(Semaphore::new(BUILDERS)),
            explainers: Arc::new(Semaphore::new(EXPLAINERS)),
        }
    }
}

/// What makes an answer.
type Build = fn(&Sources, &Query) -> Result<Vec<u8>, Refusal>;

/// Everything below `/v1`.
pub(super) fn router(sources: Sources) -> Router {
    Router::new()
        .route("/v1/openapi.json", get(openapi))
        .route("/v1/node", endpoint(&[], node::node))
        .route("/v1/pods", endpoint(&["limit", "after"], pods::list))
        .route("/v1/identities", endpoint(&["limit", "after"], identities::list))
        .route("/v1/connections", endpoint(connections::LIVE, connections::live))
        .route("/v1/connections/{id}", of_connection(|it| &it.builders, connections::one))
        .route("/v1/connections/{id}/why", of_connection(|it| &it.explainers, why::did))
        .route("/v1/refusals", endpoint(connections::ENDED, connections::refusals))
        .route("/v1/recent", endpoint(connections::ENDED, connections::recent))
        .route("/v1/traffic", endpoint(&["limit", "after"], traffic::list))
        .route("/v1/tunnels", endpoint(tunnels::TAKES, tunnels::list))
        .route("/v1/workloads", endpoint(mesh::TAKES, mesh::workloads))
        .route("/v1/services", endpoint(mesh::TAKES, mesh::services))
        .route("/v1/policies", endpoint(mesh::TAKES, mesh::policies))
        .route("/v1/ejected", endpoint(&["limit", "after"], ejected::list))
        .route("/v1/limits", endpoint(&["limit", "after"], limits::list))
        .route("/v1/why", endpoint(&["source", "destination"], why::would))
        .method_not_allowed_fallback(wrong_method)
        .route("/v1", any(unknown))
        .route("/v1/", any(unknown))
        .route("/v1/{*rest}", any(unknown))
        .with_state(sources)
}

/// Answers GET and HEAD, if the parameters are among those taken.
fn endpoint(takes: &'static [&'static str], build: Build) -> MethodRouter<Sources> {
    get(move |Extract(sources): Extract<Sources>, uri: Uri| async move {
        let query = Query::read(&uri, takes)?;
        let turns = Arc::clone(&sources.builders);
        answer(sources, turns, move |sources| build(sources, &query)).await
    })
}

/// Answers GET and HEAD about one connection.
fn of_connection(
    turns: fn(&Sources) -> &Arc<Semaphore>,
    build: fn(&Sources, &str) -> Result<Vec<u8>, Refusal>,
) -> MethodRouter<Sources> {
    type Id = Result<Path<String>, PathRejection>;
    get(move |Extract(sources): Extract<Sources>, path: Id, uri: Uri| async move {
        Query::read(&uri, &[])?;
        let Path(id) = path.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
        let turns = Arc::clone(turns(&sources));
        answer(sources, turns, move |sources| build(sources, &id)).await
    })
}

/// Makes an answer where it holds nobody up, in its turn.
async fn answer(
    sources: Sources,
    turns: Arc<Semaphore>,
    build: impl FnOnce(&Sources) -> Result<Vec<u8>, Refusal> + Send + 'static,
) -> Result<Response, Refusal> {
    // Nobody closes them.
    let turn = turns.acquire_owned().await;
    let built = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        build(&sources)
    });
    let body = built.await.map_err(|_| Refusal::internal())??;
    Ok((HEADERS, body).into_response())
}

/// What is true now need not be in a moment.
const HEADERS: [(HeaderName, &str); 2] =
    [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];

async fn openapi(uri: Uri) -> Result<impl IntoResponse, Refusal> {
    Query::read(&uri, &[])?;
    Ok((HEADERS, culvert_api::OPENAPI))
}

async fn unknown(uri: Uri) -> Refusal {
    Refusal::unknown_path(uri.path())
}

async fn wrong_method() -> Refusal {
    Refusal::wrong_method()
}

/// Writes JSON, with a line break for people who ask by hand.
fn json(value: &impl Serialize) -> Vec<u8> {
    let mut json = serde_json::to_vec(value).expect("the keys of all shapes are text");
    json.push(b'\n');
    json
}

#[cfg(test)]
mod tests;
