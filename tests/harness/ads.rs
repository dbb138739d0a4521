//! A discovery server that a test plays frame by frame: it accepts a stream, reads requests, and sends what it likes.

use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use culvert_lab::Lab;
use culvert_proto::xds::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use culvert_proto::xds::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tonic::codegen::BoxStream;
use tonic::codegen::tokio_stream::StreamExt as _;
use tonic::codegen::tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use super::endpoint::{Endpoint, Groups};
use super::pki::Issuer;

pub(crate) mod resources;

use resources::Told;

/// How long the other side may take for anything it is to do by itself.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) const ADDRESS: &str = culvert_wire::ADDRESS_TYPE;
pub(crate) const AUTHORIZATION: &str = culvert_wire::AUTHORIZATION_TYPE;

/// The server.
pub(crate) struct Ads {
    pub(crate) endpoint: Endpoint,
    streams: Mutex<Receiver<Stream>>,
    refusal: Arc<Mutex<Option<Status>>>,
}

/// A stream somebody has opened. Dropping it ends it in order.
pub(crate) struct Stream {
    headers: MetadataMap,
    requests: Receiver<DeltaDiscoveryRequest>,
    responses: UnboundedSender<Sent>,
    /// Requests that came while the answer to a response was waited for.
    early: VecDeque<DeltaDiscoveryRequest>,
    sent: u32,
}

type Sent = Result<DeltaDiscoveryResponse, Status>;

impl Ads {
    pub(crate) fn start(lab: &Lab, issuer: &Issuer, groups: Groups) -> Self {
        let (sender, streams) = mpsc::channel();
        let refusal = Arc::new(Mutex::default());
        let service = Service { streams: sender, refusal: Arc::clone(&refusal) };
        let routes = Routes::new(AggregatedDiscoveryServiceServer::new(service));
        let endpoint = Endpoint::start(lab, issuer, groups, routes);
        Self { endpoint, streams: Mutex::new(streams), refusal }
    }

    /// The next stream that is opened, or was.
    #[track_caller]
    pub(crate) fn accept(&self) -> Stream {
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.recv_timeout(DEADLINE).expect("nobody opens a stream")
    }

    /// Every stream that is opened in this time.
    pub(crate) fn accept_for(&self, time: Duration) -> Vec<Stream> {
        let end = Instant::now() + time;
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let next = || streams.recv_timeout(end.saturating_duration_since(Instant::now())).ok();
        std::iter::from_fn(next).collect()
    }

    /// Streams are refused with this status from now on, or no longer.
    pub(crate) fn refuse(&self, status: Option<Status>) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    /// Accepts the next stream and tells it everything.
    #[track_caller]
    pub(crate) fn sync(&self, told: &Told) -> Stream {
        let mut stream = self.accept();
        stream.opening();
        stream.tell(ADDRESS, told.addresses.clone());
        stream.tell(AUTHORIZATION, told.policies.clone());
        stream
    }
}

impl Stream {
    /// A header the stream was opened with.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The next request.
    #[track_caller]
    pub(crate) fn request(&mut self) -> DeltaDiscoveryRequest {
        self.early.pop_front().unwrap_or_else(|| self.receive())
    }

    /// The first requests: for addresses, then for policies.
    #[track_caller]
    pub(crate) fn opening(&mut self) -> [DeltaDiscoveryRequest; 2] {
        let opening = [self.request(), self.request()];
        assert_eq!(opening.each_ref().map(|request| request.type_url.as_str()), [ADDRESS, AUTHORIZATION]);
        opening
    }

    /// Sends a response and gives the answer to it.
    #[track_caller]
    pub(crate) fn push(
        &mut self,
        type_url: &str,
        resources: Vec<Resource>,
        removed: &[&str],
    ) -> DeltaDiscoveryRequest {
        let nonce = self.send(type_url, resources, removed);
        loop {
            let request = self.receive();
            if request.response_nonce == nonce {
                assert_eq!(request.type_url, type_url);
                assert_eq!(request.node, None, "only the first request of a type says who asks");
                return request;
            }
            self.early.push_back(request);
        }
    }

    /// Sends a response; gives its nonce.
    pub(crate) fn send(&mut self, type_url: &str, resources: Vec<Resource>, removed: &[&str]) -> String {
        self.sent += 1;
        let nonce = format!("nonce-{}", self.sent);
        let response = DeltaDiscoveryResponse {
            resources,
            type_url: type_url.to_owned(),
            nonce: nonce.clone(),
            removed_resources: removed.iter().map(ToString::to_string).collect(),
            ..DeltaDiscoveryResponse::default()
        };
        // A stream that the other side has left takes nothing.
        let _ = self.responses.send(Ok(response));
        nonce
    }

    /// Sends resources, which must be accepted.
    #[track_caller]
    pub(crate) fn tell(&mut self, type_url: &str, resources: Vec<Resource>) {
        let answer = self.push(type_url, resources, &[]);
        assert_eq!(answer.error_detail, None);
    }

    /// Takes resources away.
    #[track_caller]
    pub(crate) fn remove(&mut self, type_url: &str, names: &[&str]) {
        let answer = self.push(type_url, Vec::new(), names);
        assert_eq!(answer.error_detail, None);
    }

    /// Asserts that nothing is asked for a while.
    #[track_caller]
    pub(crate) fn assert_quiet(&mut self) {
        const WHILE: Duration = Duration::from_millis(300);
        let said = self.early.pop_front().ok_or(()).or_else(|()| self.requests.recv_timeout(WHILE));
        assert_eq!(said, Err(RecvTimeoutError::Timeout));
    }

    /// Ends the stream with a status.
    pub(crate) fn fail(self, status: Status) {
        let _ = self.responses.send(Err(status));
    }

    #[track_caller]
    fn receive(&self) -> DeltaDiscoveryRequest {
        match self.requests.recv_timeout(DEADLINE) {
            Ok(request) => request,
            Err(RecvTimeoutError::Timeout) => panic!("no request within {DEADLINE:?}"),
            Err(RecvTimeoutError::Disconnected) => panic!("the other side has ended the stream"),
        }
    }
}

struct Service {
    streams: Sender<Stream>,
    refusal: Arc<Mutex<Option<Status>>>,
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type DeltaAggregatedResourcesStream = BoxStream<DeltaDiscoveryResponse>;

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<BoxStream<DeltaDiscoveryResponse>>, Status> {
        if let Some(status) = self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Err(status);
        }
        let headers = request.metadata().clone();
        let (sender, requests) = mpsc::channel();
        tokio::spawn(read(request.into_inner(), sender));
        let (responses, mut sent) = unbounded_channel();
        let stream = Stream { headers, requests, responses, early: VecDeque::new(), sent: 0 };
        // Fails only when the test is over.
        let _ = self.streams.send(stream);
        // Like servers that send no headers before they have something to say.
        let first = sent.recv().await;
        Ok(Response::new(stream_of(first, sent)?))
    }
}

fn stream_of(
    first: Option<Sent>,
    rest: UnboundedReceiver<Sent>,
) -> Result<BoxStream<DeltaDiscoveryResponse>, Status> {
    let first = first.transpose()?.map(Ok);
    let first = tonic::codegen::tokio_stream::iter(first);
    Ok(Box::pin(first.chain(UnboundedReceiverStream::new(rest))))
}

async fn read(mut incoming: Streaming<DeltaDiscoveryRequest>, requests: Sender<DeltaDiscoveryRequest>) {
    while let Ok(Some(request)) = incoming.message().await {
        if requests.send(request).is_err() {
            return;
        }
    }
}
