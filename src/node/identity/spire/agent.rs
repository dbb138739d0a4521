//! The connection to the agent: HTTP/2 over a Unix socket, in clear, made when needed and made anew when it broke.
//!
//! The kernel tells the agent who is calling; there are no tokens. No PINGs are sent: servers of the kind SPIRE is end connections
//! whose clients send them more often than every few minutes, and a socket of this host does not fall silent unnoticed.

use std::future::Future;
use std::path::Path;

use culvert_process::exit::Chain;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryFutureExt as _, TryStreamExt as _};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Streaming};
use tower::service_fn;

use super::svid::Svid;
use super::{Error, Hint};
use crate::control_plane::{Service, Status};

/// The agent. Cheap to clone.
#[derive(Clone)]
pub(super) struct Agent {
    channel: Channel,
    status: Status,
}

/// What the agent says of a workload, each time all of it.
pub(super) type Said = BoxStream<'static, Result<Vec<Svid>, tonic::Status>>;

impl Agent {
    pub(super) fn new(socket: &Path) -> Self {
        let path = socket.to_owned();
        let connect = service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        // The name is sent as the authority of requests, and means nothing here.
        let channel = Endpoint::from_static("http://localhost").connect_with_connector_lazy(connect);
        let status = Status::new(Service::Agent, &format!("unix://{}", socket.display()));
        Self { channel, status }
    }

    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(super) fn status(&self) -> &Status {
        &self.status
    }

    pub(super) fn address(&self) -> String {
        self.status.address().to_owned()
    }

    /// What a failure is, and what it says of the agent: who refuses answers, too. A status with a source was made on this side.
    pub(super) fn failure(&self, status: &tonic::Status, hint: Hint) -> Error {
        match std::error::Error::source(status) {
            Some(cause) => self.unreachable(Chain(cause).to_string()),
            None => {
                self.status.up();
                let (address, message) = (self.address(), status.message().to_owned());
                Error::Refused { address, code: status.code(), message, hint }
            }
        }
    }

    /// The agent has ended a stream.
    pub(super) fn ended(&self) -> Error {
        self.unreachable("it has ended the stream".to_owned())
    }

    fn unreachable(&self, reason: String) -> Error {
        let error = Error::Unreachable { address: self.address(), reason };
        self.status.down(&error.to_string());
        error
    }
}

/// The messages of a call, from the moment they are asked for on.
pub(super) fn messages<M: Send + 'static>(
    call: impl Future<Output = Result<Response<Streaming<M>>, tonic::Status>> + Send + 'static,
) -> BoxStream<'static, Result<M, tonic::Status>> {
    call.map_ok(|response| response.into_inner()).try_flatten_stream().into_stream().boxed()
}
