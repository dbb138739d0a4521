//! The page at `/` of the admin port: files that are part of the program, and headers that keep a browser from doing anything but
//! showing them.
//!
//! What is on the page is asked by the page itself, of `/v1/`. Nothing here knows the node.

use axum::Router;
use axum::extract::Path;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Scripts, styles and data of this origin alone, and none in the page itself: names of workloads come from others.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// What the page is made of: under which name it is asked for, of which type it is, and what is in it.
type File = (&'static str, &'static str, &'static str);

macro_rules! files {
    ($($name:literal is $kind:ident),* $(,)?) => {
        [$(($name, $kind, include_str!(concat!("page/", $name)))),*]
    };
}

const INDEX: &str = include_str!("page/index.html");
const FILES: [File; 23] = files![
    "api.js" is SCRIPT,
    "connections.js" is SCRIPT,
    "details.js" is SCRIPT,
    "dom.js" is SCRIPT,
    "flows.js" is SCRIPT,
    "health.js" is SCRIPT,
    "identities.js" is SCRIPT,
    "layout.js" is SCRIPT,
    "look.css" is STYLE,
    "main.js" is SCRIPT,
    "map.js" is SCRIPT,
    "parts.css" is STYLE,
    "parts.js" is SCRIPT,
    "place.js" is SCRIPT,
    "pods.js" is SCRIPT,
    "policies.js" is SCRIPT,
    "refusals.js" is SCRIPT,
    "table.js" is SCRIPT,
    "theme.js" is SCRIPT,
    "tunnels.js" is SCRIPT,
    "units.js" is SCRIPT,
    "verdict.js" is SCRIPT,
    "why.js" is SCRIPT,
];

/// Serves the page and its files. Nothing else is under `/page/`.
pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/", get(index)).route("/page/{file}", get(file))
}

async fn index() -> Response {
    guarded("text/html; charset=utf-8", INDEX)
}

async fn file(Path(wanted): Path<String>) -> Response {
    let known = FILES.iter().find(|(name, ..)| *name == wanted);
    known.map_or_else(|| StatusCode::NOT_FOUND.into_response(), |(_, kind, text)| guarded(kind, text))
}

/// A file and all a browser shall heed about it.
fn guarded(kind: &'static str, text: &'static str) -> Response {
    let headers: [(HeaderName, &str); 5] = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        // Another version of the program may answer next.
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, text).into_response()
}

#[cfg(test)]
mod tests;
