//! A node's admin port that says what a test tells it, on the loopback address and on a Unix socket.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

use crate::client::NodeOptions;

pub(crate) mod sayings;

/// A server that ends with the value.
pub(crate) struct FakeNode {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where it listens as well.
    pub(crate) socket: PathBuf,
    app: Router,
    asked: Arc<Mutex<Vec<String>>>,
    _servers: JoinSet<()>,
}

/// What is answered to path and parameters: status and body.
pub(crate) type Answers = fn(&str) -> (u16, String);

#[derive(Clone)]
struct Shared {
    answers: Answers,
    asked: Arc<Mutex<Vec<String>>>,
}

impl FakeNode {
    /// Starts one with what it says.
    pub(crate) async fn start(answers: Answers) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let app = Router::new().fallback(answer).with_state(Shared { answers, asked: Arc::clone(&asked) });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let socket =
            std::env::temp_dir().join(format!("culvert-fake-{}-{}.sock", std::process::id(), address.port()));
        let unix = UnixListener::bind(&socket).unwrap();
        let mut servers = JoinSet::new();
        let (here, there) = (app.clone(), app.clone());
        servers.spawn(async move { axum::serve(listener, here).await.unwrap() });
        servers.spawn(async move { axum::serve(unix, there).await.unwrap() });
        Self { address, socket, app, asked, _servers: servers }
    }

    /// How people name it.
    pub(crate) fn options(&self) -> NodeOptions {
        options(&self.address.to_string())
    }

    /// What it answers, to be served again.
    pub(crate) fn app(&self) -> Router {
        self.app.clone()
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// The options of a command line that names this node.
pub(crate) fn options(node: &str) -> NodeOptions {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        node: NodeOptions,
    }
    <Line as clap::Parser>::parse_from(["culvert", "--node", node]).node
}

/// The same with a kubectl.
pub(crate) fn through_kubectl(kubectl: &Path, node: &str) -> NodeOptions {
    let mut options = options("127.0.0.1:1");
    options.kube_node = Some(node.to_owned());
    options.cluster.kubectl = kubectl.to_owned();
    options
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let target = request.uri().to_string();
    shared.asked.lock().unwrap().push(target.clone());
    // A node listens to no names but its own host's.
    if request.headers().get("host").is_none_or(|host| host != "localhost") {
        return Response::builder().status(403).body(Body::from("not your host")).unwrap();
    }
    let (status, body) = (shared.answers)(&target);
    Response::builder().status(status).body(Body::from(body)).unwrap()
}
