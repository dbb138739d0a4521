//! `POST /logging`: the log filter is shown and changed while the node runs.
//!
//! `level` and `reset` of the query go in; the filter in force comes out, or what is wrong with the level. Nothing is written
//! down: after a restart `RUST_LOG` counts again.

use std::fmt;

use axum::Router;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use culvert_process::log::{Filter, Invalid};

const HELP: &str = "\
usage: POST /logging                                       show the log filter
       POST /logging?level=LEVEL                           change the level of all targets without one of their own
       POST /logging?level=TARGET:LEVEL[,TARGET:LEVEL...]  change the level of targets (TARGET=LEVEL is the same)
       POST /logging?reset[&level=...]                     go back to the filter of the start first

LEVEL is one of off, error, warn, info, debug, trace.
TARGET is what is in the third column of a log line, or a part of it from the left: access, dns, node::flow.
";

/// The handler's route.
pub(super) fn router(filter: Filter) -> Router {
    Router::new().route("/logging", any(move |method, query| async move { logging(&filter, &method, query) }))
}

type Asked = Result<Query<Vec<(String, String)>>, QueryRejection>;

fn logging(filter: &Filter, method: &Method, query: Asked) -> Response {
    if method != Method::POST {
        return (StatusCode::METHOD_NOT_ALLOWED, [("allow", "POST")], HELP).into_response();
    }
    let Query(asked) = match query {
        Ok(asked) => asked,
        Err(rejection) => return refused(&rejection),
    };
    let said = |name: &str| asked.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let level = said("level").unwrap_or_default();
    match change(filter, said("reset").is_some(), level) {
        Ok(()) => format!("current log level is {}\n", filter.current()).into_response(),
        Err(invalid) => refused(&invalid),
    }
}

fn change(filter: &Filter, reset: bool, level: &str) -> Result<(), Invalid> {
    let result = match (reset, level.is_empty()) {
        (true, _) => filter.reset_and_append(level),
        (false, false) => filter.append(level),
        (false, true) => return Ok(()),
    };
    if result.is_ok() {
        tracing::info!(filter = filter.current(), "log filter changed");
    }
    result
}

fn refused(why: &impl fmt::Display) -> Response {
    (StatusCode::BAD_REQUEST, format!("{why}\n{HELP}")).into_response()
}

#[cfg(test)]
mod tests;
