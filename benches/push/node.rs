//! One simulated node: a connection, a stream, and an answer to each response.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use culvert_proto::xds::DeltaDiscoveryRequest;
use prost::Message as _;
use tokio::sync::mpsc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Request, Status};

use super::Error;
use super::glance::{Glance, Glancing};
use super::opening::Opening;

const CALL: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
/// How long a node waits after a connection or a stream that did not come about, as nodes do.
const PAUSE: Duration = Duration::from_millis(500);
/// How often it tries.
const TRIES: usize = 100;

/// What a response is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Address,
    Policy,
}

/// Something a node has heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// A response with this many resources and removals.
    Response { node: usize, kind: Kind, items: usize, at: Instant },
    /// It has to connect again.
    TriedAgain { node: usize },
    /// It has given up.
    Ended(Error),
}

/// One node.
pub(super) struct Node {
    pub(super) number: usize,
    pub(super) endpoint: Endpoint,
    pub(super) opening: Arc<Opening>,
    pub(super) heard: mpsc::UnboundedSender<Heard>,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Address, Self::Policy];

    pub(super) fn url(self) -> &'static str {
        match self {
            Self::Address => culvert_wire::ADDRESS_TYPE,
            Self::Policy => culvert_wire::AUTHORIZATION_TYPE,
        }
    }
}

/// The token of a node.
pub(super) fn token(node: usize) -> String {
    format!("token-{node}")
}

impl Node {
    /// Runs for as long as it is let.
    pub(super) async fn run(self) {
        for tries in 1.. {
            let Err(error) = self.listen().await;
            // Nobody listens any more when all is over.
            let _ = self.heard.send(if tries < TRIES {
                Heard::TriedAgain { node: self.number }
            } else {
                Heard::Ended(error)
            });
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn listen(&self) -> Result<Infallible, Error> {
        let mut client =
            tonic::client::Grpc::new(self.endpoint.connect().await?).max_decoding_message_size(64 << 20);
        let (requests, receiver) = mpsc::channel::<Bytes>(16);
        let mut request = Request::new(ReceiverStream::new(receiver));
        let token = format!("Bearer {}", token(self.number)).parse().expect("a token is ASCII");
        request.metadata_mut().insert("authorization", token);
        client.ready().await?;
        let call = client.streaming(request, PathAndQuery::from_static(CALL), Glancing);
        let say = async {
            for first in self.opening.iter() {
                // Fails when the stream has ended, which the other half says better.
                let _ = requests.send(first.clone()).await;
            }
        };
        let (called, ()) = tokio::join!(call, say);
        let mut responses = called.map_err(ended)?.into_inner();
        loop {
            let seen = responses.message().await.map_err(ended)?;
            let seen = seen.ok_or_else(|| ended(Status::cancelled("the server has ended it")))?;
            let at = Instant::now();
            let _ = requests.send(answer(&seen)).await;
            if let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.url() == seen.type_url) {
                let _ = self.heard.send(Heard::Response { node: self.number, kind, items: seen.items, at });
            }
        }
    }
}

fn answer(seen: &Glance) -> Bytes {
    let answer = DeltaDiscoveryRequest {
        type_url: seen.type_url.clone(),
        response_nonce: seen.nonce.clone(),
        ..DeltaDiscoveryRequest::default()
    };
    answer.encode_to_vec().into()
}

fn ended(status: Status) -> Error {
    Error::Ended(Box::new(status))
}
