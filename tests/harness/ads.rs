//! A control plane the test plays itself, frame by frame: delta ADS over TLS, at the host of the control plane.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use culvert_core::mesh_file;
use culvert_lab::{Lab, Launch};
use culvert_proto::xds::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use culvert_proto::xds::{Any, DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::runtime::Runtime;
use tokio::sync::mpsc as asynchronous;
use tonic::codegen::tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::metadata::MetadataMap;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status, Streaming};

pub(crate) use culvert_wire::{ADDRESS_TYPE, AUTHORIZATION_TYPE};

/// Where it serves, beside the real one.
const PORT: u16 = 15013;
/// How long a program may take to do what it is expected to.
const PATIENCE: Duration = Duration::from_secs(20);

/// A control plane; ends when dropped.
pub(crate) struct Ads {
    streams: Receiver<Stream>,
    address: String,
    root: PathBuf,
    _runtime: Runtime,
}

/// One stream of a client.
pub(crate) struct Stream {
    pub(crate) metadata: MetadataMap,
    requests: Receiver<DeltaDiscoveryRequest>,
    responses: asynchronous::Sender<Result<DeltaDiscoveryResponse, Status>>,
}

struct Handler(Mutex<Sender<Stream>>);

#[tonic::async_trait]
impl AggregatedDiscoveryService for Handler {
    type DeltaAggregatedResourcesStream = ReceiverStream<Result<DeltaDiscoveryResponse, Status>>;

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let (metadata, _, mut incoming) = request.into_parts();
        let (said, requests) = channel();
        let (responses, outgoing) = asynchronous::channel(64);
        tokio::spawn(async move {
            while let Ok(Some(request)) = incoming.message().await {
                if said.send(request).is_err() {
                    return;
                }
            }
        });
        let stream = Stream { metadata, requests, responses };
        let sent = self.0.lock().unwrap().send(stream);
        sent.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

impl Ads {
    /// Serves from now on.
    #[track_caller]
    pub(crate) fn start(lab: &Lab) -> Self {
        let ip = lab.control_address().ip();
        let listener = lab.control_netns().run(|| TcpListener::bind((ip, PORT))).unwrap().unwrap();
        listener.set_nonblocking(true).unwrap();
        let (identity, root_pem) = certificate(&ip.to_string());
        let root = lab.directory().join("ads-root.pem");
        fs::write(&root, root_pem).unwrap();

        let (accepted, streams) = channel();
        let runtime = Runtime::new().unwrap();
        runtime.spawn(async move {
            let incoming = TcpListenerStream::new(tokio::net::TcpListener::from_std(listener).unwrap());
            let service = AggregatedDiscoveryServiceServer::new(Handler(Mutex::new(accepted)));
            let mut server = Server::builder().tls_config(ServerTlsConfig::new().identity(identity)).unwrap();
            server.add_service(service).serve_with_incoming(incoming).await.unwrap();
        });
        Self { streams, address: format!("https://{ip}:{PORT}"), root, _runtime: runtime }
    }

    /// Has a program take its mesh state from here.
    pub(crate) fn used_by(&self, launch: Launch) -> Launch {
        launch.env("XDS_ADDRESS", &self.address).env("XDS_ROOT_CA", self.root.display())
    }

    /// The next stream a program opens.
    #[track_caller]
    pub(crate) fn accept(&self) -> Stream {
        self.streams.recv_timeout(PATIENCE).expect("a stream is opened in time")
    }

    /// How many streams are opened in this time.
    pub(crate) fn count(&self, during: Duration) -> Vec<Stream> {
        let end = std::time::Instant::now() + during;
        let left = || end.saturating_duration_since(std::time::Instant::now());
        std::iter::from_fn(|| self.streams.recv_timeout(left()).ok()).collect()
    }
}

impl Stream {
    /// The next request on the stream.
    #[track_caller]
    pub(crate) fn request(&self) -> DeltaDiscoveryRequest {
        self.requests.recv_timeout(PATIENCE).expect("a request comes in time")
    }

    /// Asserts that nothing is asked for a while.
    #[track_caller]
    pub(crate) fn assert_quiet(&self, during: Duration) {
        let said = self.requests.recv_timeout(during);
        assert!(matches!(said, Err(RecvTimeoutError::Timeout)), "{said:?}");
    }

    /// Sends a response and gives the answer to it.
    #[track_caller]
    pub(crate) fn push(
        &self,
        type_url: &str,
        nonce: &str,
        resources: Vec<Resource>,
        removed: &[&str],
    ) -> DeltaDiscoveryRequest {
        self.send(type_url, nonce, resources, removed);
        let answer = self.request();
        assert_eq!((&*answer.type_url, &*answer.response_nonce), (type_url, nonce), "{answer:?}");
        answer
    }

    /// Sends a response.
    #[track_caller]
    pub(crate) fn send(&self, type_url: &str, nonce: &str, resources: Vec<Resource>, removed: &[&str]) {
        let response = DeltaDiscoveryResponse {
            type_url: type_url.into(),
            nonce: nonce.into(),
            resources,
            removed_resources: removed.iter().map(ToString::to_string).collect(),
            ..DeltaDiscoveryResponse::default()
        };
        self.responses.blocking_send(Ok(response)).expect("the stream is open");
    }

    /// Ends the stream with a status.
    pub(crate) fn abort(self, code: Code, message: &str) {
        // A client that has gone needs no end.
        let _ = self.responses.blocking_send(Err(Status::new(code, message)));
    }
}

/// A server certificate with its key, and the root that vouches for it.
fn certificate(ip: &str) -> (Identity, String) {
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![ip.to_owned()]).unwrap().signed_by(&key, &root).unwrap();
    (Identity::from_pem(leaf.pem(), key.serialize_pem()), root.pem())
}

/// A resource with a payload.
pub(crate) fn resource(type_url: &str, name: &str, version: &str, payload: impl Into<Vec<u8>>) -> Resource {
    Resource {
        name: name.into(),
        version: version.into(),
        resource: Some(Any { type_url: type_url.into(), value: payload.into().into() }),
        ..Resource::default()
    }
}

/// The workloads and services, and the policies, of a mesh as it is written in files.
#[track_caller]
pub(crate) fn resources(mesh: &str) -> (Vec<Resource>, Vec<Resource>) {
    let mesh = mesh_file::parse(mesh).unwrap();
    let workload = |it: &culvert_core::workload::Workload| {
        resource(ADDRESS_TYPE, &it.uid, "1", culvert_wire::encode_workload(it))
    };
    let service = |it: &culvert_core::service::Service| {
        resource(ADDRESS_TYPE, &it.key(), "1", culvert_wire::encode_service(it))
    };
    let policy = |it: &culvert_core::policy::Policy| {
        resource(AUTHORIZATION_TYPE, &it.key, "1", culvert_wire::encode_policy(it))
    };
    let addresses = mesh.workloads.iter().map(workload).chain(mesh.services.iter().map(service)).collect();
    (addresses, mesh.policies.iter().map(policy).collect())
}
