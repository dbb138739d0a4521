//! What a program says of itself to those who look after it: whether it lives (`/healthz`), and whether it is ready (`/readyz`).
//! Whether its tasks go on is [`crate::liveness`].
//!
//! In goes what is still missing; out come answers. Nothing can be changed here.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use serde::Serialize;

use crate::Limits;

/// Scrapers and probes at once. Anybody can connect, so nobody can keep a place by doing nothing.
pub const LIMITS: Limits = Limits::Replace { most: 64, per_source: 8 };

/// Something a program needs before it is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lack {
    /// What, in one word for programs.
    pub what: &'static str,
    /// Why it is not there, and where to look.
    pub why: String,
}

/// What being ready depends on.
pub trait Progress: Clone + Send + Sync + 'static {
    /// What is missing; nothing when the program is ready.
    fn missing(&self) -> Vec<Lack>;

    /// How long nothing was heard of the cluster. An old view is no reason not to be ready: what was built on it stays.
    fn age(&self) -> Option<Duration>;
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Readiness {
    ready: bool,
    missing: Vec<Lack>,
    cluster_age_seconds: Option<u64>,
}

/// The paths `/healthz` and `/readyz`.
pub fn router<P: Progress>(progress: P) -> Router {
    // Whoever reads `ok` has been served: the program turns.
    Router::new()
        .route("/readyz", get(ready::<P>))
        .with_state(progress)
        .route("/healthz", get(async || "ok\n"))
}

async fn ready<P: Progress>(State(progress): State<P>) -> impl IntoResponse {
    let missing = progress.missing();
    let status = if missing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let age = progress.age().map(|age| age.as_secs());
    let said = Readiness { ready: missing.is_empty(), missing, cluster_age_seconds: age };
    let body = serde_json::to_string(&said).expect("the keys are text");
    (status, [(header::CONTENT_TYPE, "application/json")], body + "\n")
}
