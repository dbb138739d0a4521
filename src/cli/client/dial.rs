//! The way to a node: a connection to its admin port, wherever that is.

use std::io;
use std::time::Duration;

use culvert_sys::netns::Netns;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use super::address::Endpoint;
use super::forward::Forward;
use super::{Address, Error, NodeOptions, pods};

/// Until somebody takes the connection.
const DIAL: Duration = Duration::from_secs(3);

/// What bytes go through.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A known way to a node.
#[derive(Debug)]
pub(super) struct Route {
    name: String,
    end: Endpoint,
    /// Keeps the way through the cluster open.
    _forward: Option<Forward>,
}

impl Route {
    /// Finds the way. Only a pod's takes time.
    pub(super) async fn find(options: &NodeOptions) -> Result<Self, Error> {
        let pod = match (&options.kube_node, &options.node) {
            (Some(node), _) => pods::on_node(&options.cluster, node).await?,
            (None, Address::Pod { name, namespace }) => {
                pods::named(&options.cluster, name, namespace.as_deref()).await?
            }
            (None, Address::Direct(end)) => {
                return Ok(Self { name: end.to_string(), end: end.clone(), _forward: None });
            }
        };
        let forward = Forward::start(&options.cluster, &pod).await?;
        let end = Endpoint::Tcp(format!("127.0.0.1:{}", forward.port()));
        Ok(Self { name: pod.to_string(), end, _forward: Some(forward) })
    }

    /// What people call the node.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Makes a connection.
    pub(super) async fn dial(&self) -> Result<Box<dyn Stream>, Error> {
        let dialled = match &self.end {
            Endpoint::Tcp(authority) => timely(TcpStream::connect(authority.as_str())).await.map(boxed),
            Endpoint::Unix(path) => timely(UnixStream::connect(path)).await.map(boxed),
            Endpoint::Process { pid, port } => return self.inside(*pid, *port).await,
        };
        dialled.map_err(|source| self.no_answer(source))
    }

    /// A socket stays in the namespace it was made in; connecting may then take its time.
    async fn inside(&self, pid: u32, port: u16) -> Result<Box<dyn Stream>, Error> {
        let made = Netns::of_process(pid).and_then(|netns| netns.run(TcpSocket::new_v4));
        let socket = made.flatten().map_err(|source| Error::Namespace { pid, source })?;
        let dialled = timely(socket.connect(([127, 0, 0, 1], port).into())).await;
        dialled.map(boxed).map_err(|source| self.no_answer(source))
    }

    fn no_answer(&self, source: io::Error) -> Error {
        Error::NoAnswer { address: self.name.clone(), source }
    }
}

fn boxed(stream: impl Stream + 'static) -> Box<dyn Stream> {
    Box::new(stream)
}

async fn timely<T>(dial: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("nothing within {} s", DIAL.as_secs()));
    tokio::time::timeout(DIAL, dial).await.unwrap_or_else(|_| Err(late()))
}
