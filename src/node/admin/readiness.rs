//! Whether this node is ready, for kubelet and for people.

use axum::Router;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::routing::get;

use super::dump::rfc3339;
use crate::control_plane::status::State as Reachable;
use crate::state::State;

pub(super) fn router(state: State) -> Router {
    Router::new().route("/healthz/ready", get(ready)).with_state(state)
}

async fn ready(Extract(state): Extract<State>) -> (StatusCode, String) {
    let pending = state.pending();
    if pending.is_empty() {
        return (StatusCode::OK, "ready\n".into());
    }
    let mut text = format!("not ready, pending: {}\n", pending.join(", "));
    for status in state.control_planes() {
        let view = status.view();
        if let Reachable::Down(why) = view.state {
            let (service, address, since) = (status.key(), status.address(), rfc3339(view.since));
            text += &format!("{service} at {address} does not answer since {}: {why}\n", since);
        }
    }
    (StatusCode::INTERNAL_SERVER_ERROR, text)
}
