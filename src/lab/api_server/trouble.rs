//! The calls with which a test makes trouble, and looks at what clients do about it.

use serde_json::json;

use super::ApiServer;
use super::faults::{AnotherUid, StreamingLists, TooOld, Trouble};
use super::refusal::Refusal;
use super::state::Request;
use super::watches::Act;
use crate::Error;
use crate::error::Doing as _;

/// Requests and who may make them.
impl ApiServer {
    /// Answers some requests otherwise than properly.
    pub fn trouble(&self, trouble: Trouble) {
        self.shared.lock().faults.add(trouble);
    }

    /// Ends all that [`ApiServer::trouble`] has begun; answers that are late or never come stay so.
    pub fn end_troubles(&self) {
        self.shared.lock().faults.clear();
    }

    /// Refuses requests with 403: `("list", "pods")`, `("patch", "pods/status")`. Open watches go on, as they do in a
    /// real cluster.
    pub fn deny(&self, verb: &str, resource: &str) {
        self.shared.lock().faults.deny(verb, resource);
    }

    /// Takes a [`ApiServer::deny`] back.
    pub fn allow(&self, verb: &str, resource: &str) {
        self.shared.lock().faults.allow(verb, resource);
    }

    /// Refuses requests without this bearer token with 401. It is in a [`ApiServer::kubeconfig`] that is made later.
    pub fn require_token(&self, token: &str) {
        self.shared.lock().faults.token = Some(token.to_owned());
    }

    /// The requests so far, oldest first; of the last ten thousand.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().log.all()
    }

    /// Those with this verb on this resource.
    #[must_use]
    pub fn requests_of(&self, verb: &str, resource: &str) -> Vec<Request> {
        let of = |request: &Request| request.verb == verb && request.resource == resource;
        self.requests().into_iter().filter(of).collect()
    }

    /// Begins the log of requests anew.
    pub fn forget_requests(&self) {
        self.shared.lock().log.clear();
    }
}

/// The network.
impl ApiServer {
    /// Closes the port and all connections; callers are refused until [`ApiServer::accept_connections`].
    pub fn refuse_connections(&self) {
        self.running.refuse();
    }

    /// Opens the port again.
    ///
    /// # Errors
    /// When somebody has taken it meanwhile.
    pub fn accept_connections(&self) -> Result<(), Error> {
        self.running.admit().doing(|| format!("listen again at {}", self.address()))
    }

    /// Closes all connections, those of stalled watches and of requests that are not being answered included.
    pub fn cut_connections(&self) {
        self.running.cut();
    }
}

/// What is remembered.
impl ApiServer {
    /// Forgets the history: watches from older revisions, and further pages of older lists, are too old (410).
    pub fn compact(&self) {
        self.shared.change(|state| state.store.compact());
    }

    /// Refuses the `continue` tokens given so far (410).
    pub fn expire_continue_tokens(&self) {
        self.shared.lock().faults.epoch += 1;
    }

    /// How watches that are too old are told so.
    pub fn say_too_old(&self, how: TooOld) {
        self.shared.lock().faults.too_old = how;
    }

    /// How patches that were meant for an object with another UID are told so.
    pub fn say_another_uid(&self, how: AnotherUid) {
        self.shared.lock().faults.another_uid = how;
    }

    /// What becomes of watches with `sendInitialEvents=true`.
    pub fn streaming_lists(&self, how: StreamingLists) {
        self.shared.lock().faults.streaming_lists = how;
    }
}

/// The open watches.
impl ApiServer {
    /// How many there are. One whose client has gone counts until the server sees that.
    #[must_use]
    pub fn open_watches(&self) -> usize {
        self.shared.lock().watches.count(None)
    }

    /// How many there are of a resource.
    #[must_use]
    pub fn open_watches_of(&self, resource: &str) -> usize {
        self.shared.lock().watches.count(Some(resource))
    }

    /// Ends them properly, as at their timeout.
    pub fn end_watches(&self) {
        self.order(&Act::End);
    }

    /// Breaks them off: their connections close without the end of the body.
    pub fn break_watches(&self) {
        self.order(&Act::Break(""));
    }

    /// Breaks them off in the middle of an event.
    pub fn break_watches_mid_line(&self) {
        self.order(&Act::Break(r#"{"object":{"apiVersion":"v1","kind":"Po"#));
    }

    /// Sends an ERROR event, after which they go on: it is for the client to end them.
    pub fn send_error(&self, code: u16) {
        self.order(&Act::Error(Refusal::of_code(code).status()));
    }

    /// Sends a line that is not JSON.
    pub fn send_garbage(&self) {
        self.order(&Act::Line("<html>Bad Gateway</html>".to_owned()));
    }

    /// Sends an event of a type nobody knows.
    pub fn send_unknown_event(&self) {
        self.order(&Act::Line(json!({"type": "SURPRISE", "object": {"kind": "Surprise"}}).to_string()));
    }

    /// Sends a bookmark to those that take them; otherwise they come every minute.
    pub fn send_bookmarks(&self) {
        self.order(&Act::Bookmark);
    }

    /// Sends no bookmarks, or does again; those at the end of the initial events included.
    pub fn drop_bookmarks(&self, drop: bool) {
        self.shared.lock().faults.no_bookmarks = drop;
    }

    /// Lets the open watches send nothing and never end, as when the path to the client has died. New ones work.
    pub fn stall_watches(&self) {
        self.shared.change(|state| state.watches.stall(true));
    }

    /// Lets stalled watches go on where they were.
    pub fn resume_watches(&self) {
        self.shared.change(|state| state.watches.stall(false));
    }

    fn order(&self, act: &Act) {
        self.shared.change(|state| state.watches.order(state.store.revision(), act));
    }
}
