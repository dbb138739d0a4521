//! A Kubernetes API server for tests: real HTTP, real list and watch, and trouble on command.
//!
//! In go objects and faults, by calls from any thread; out come answers over HTTP that a client cannot tell from those of
//! a cluster, and what clients have asked for and changed. It keeps objects and knows nothing of what they mean: nobody
//! schedules pods here, no controller fills EndpointSlices, nothing is validated. There is no TLS.
//!
//! ```text
//!  client ── HTTP ──▶ serve ─▶ routes ─▶ call ─┬▶ list ─────┐
//!                     port     log,      verb, ├▶ watch ────┼─▶ store: objects, history
//!                              trouble   path  ├▶ writes ───┤      ▲
//!                                              └▶ tokens ───┘      │
//!  test ───── calls: objects (be the cluster), trouble (break it) ─┘
//! ```
//!
//! ```
//! use culvert_lab::api_server::{ApiServer, Trouble, namespace, pod};
//! use serde_json::json;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = ApiServer::start()?;
//! cluster.create(namespace("shop").label("istio.io/dataplane-mode", "ambient"))?;
//! cluster.create(pod("shop", "web").node("n1").ip([10, 0, 0, 1]))?;
//! cluster.patch("pods", "shop", "web", json!({"metadata": {"labels": {"app": "web"}}}))?;
//! cluster.trouble(Trouble::status(503).on("list", "pods").times(2));
//! // ... a client at `cluster.url()`, or with `cluster.kubeconfig()` ...
//! cluster.compact();
//! cluster.break_watches();
//! # Ok(())
//! # }
//! ```

mod builders;
mod call;
mod discovery;
mod faults;
mod kinds;
mod list;
mod objects;
mod patch;
mod refusal;
mod routes;
mod selector;
mod serve;
mod shape;
mod state;
mod store;
mod tokens;
mod trouble;
mod watch;
mod watches;
mod writes;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use culvert_sys::netns::Netns;

use crate::Error;
use crate::directory;
use crate::error::Doing as _;
use serve::Running;
use state::Shared;

pub use builders::{Object, definition, namespace, pod};
pub use faults::{AnotherUid, StreamingLists, TooOld, Trouble};
pub use refusal::Refusal;
pub use state::Request;
pub use tokens::Token;

/// An API server, on a thread of its own until it is dropped.
#[derive(Debug)]
pub struct ApiServer {
    shared: Arc<Shared>,
    running: Running,
}

impl ApiServer {
    /// Starts one at a free port of this machine's loopback address.
    ///
    /// # Errors
    /// When the process is out of ports, descriptors or threads.
    pub fn start() -> Result<Self, Error> {
        Self::start_at(None, (Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Starts one inside a network namespace, at an address that namespace has; port 0 is any free one.
    ///
    /// # Errors
    /// When the namespace cannot be entered or the address is not its own.
    pub fn start_in(netns: &Netns, address: impl Into<SocketAddr>) -> Result<Self, Error> {
        let address = address.into();
        let netns = netns.try_clone().doing(|| format!("keep the namespace {}", netns.id()))?;
        Self::start_at(Some(netns), address)
    }

    fn start_at(netns: Option<Netns>, address: SocketAddr) -> Result<Self, Error> {
        let shared = Shared::new();
        let router = routes::router(Arc::clone(&shared));
        let running = Running::start(netns, address, router);
        let running = running.doing(|| format!("start an API server at {address}"))?;
        Ok(Self { shared, running })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.running.address()
    }

    /// The same, for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// A kubeconfig that leads to it, with the token it requires.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        let token = self.shared.lock().faults.token.clone();
        let user = token.map_or_else(|| "{}".to_owned(), |token| format!("{{token: {token:?}}}"));
        format!(
            "apiVersion: v1\n\
             kind: Config\n\
             current-context: lab\n\
             contexts: [{{name: lab, context: {{cluster: lab, user: lab}}}}]\n\
             clusters: [{{name: lab, cluster: {{server: \"{}\"}}}}]\n\
             users: [{{name: lab, user: {user}}}]\n",
            self.url()
        )
    }

    /// Writes the [kubeconfig](Self::kubeconfig) to a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_kubeconfig(&self, path: &Path) -> Result<(), Error> {
        directory::replace(path, &self.kubeconfig()).map(|_| ())
    }
}
