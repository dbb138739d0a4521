//! SPIRE's agent, played by the tests: it knows the entries a test registers, makes SVIDs for them, and tells those who listen when
//! anything changes. It serves both APIs on one Unix socket, goes away and comes back, and remembers by what it was asked.
//!
//! It is no oracle: it does what SPIRE's published interface says, and nothing here was compared with a running SPIRE.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use culvert_lab::{Lab, Launch};
use culvert_proto::spire::delegated::delegated_identity_server::{
    DelegatedIdentity, DelegatedIdentityServer,
};
use culvert_proto::spire::delegated::{
    SubscribeToX509BundlesRequest, SubscribeToX509BundlesResponse, SubscribeToX509sviDsRequest,
    SubscribeToX509sviDsResponse, X509svidWithKey,
};
use culvert_proto::spire::types;
use culvert_proto::spire::workload::spiffe_workload_api_server::{
    SpiffeWorkloadApi, SpiffeWorkloadApiServer,
};
use culvert_proto::spire::workload::{X509svid, X509svidRequest, X509svidResponse};
use rcgen::KeyPair;
use tokio::net::UnixListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tonic::codegen::tokio_stream::Stream;
use tonic::codegen::tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::pki::{DAY, Issuer, Life};

/// The agent.
pub(crate) struct Spire {
    socket: PathBuf,
    told: Arc<Told>,
    running: Mutex<Option<Runtime>>,
}

struct Told {
    world: watch::Sender<World>,
    asked: Mutex<Vec<BTreeSet<String>>>,
}

/// All that it would say.
#[derive(Clone, Default)]
struct World {
    entries: Vec<Entry>,
    /// DER, one after the other.
    bundle: Vec<u8>,
    /// Why nobody is told anything.
    refusal: Option<Status>,
}

#[derive(Clone)]
struct Entry {
    selectors: BTreeSet<String>,
    svid: Svid,
}

/// A certificate with its key.
#[derive(Clone)]
pub(crate) struct Svid {
    pub(crate) identity: String,
    /// DER.
    pub(crate) leaf: Vec<u8>,
    pub(crate) serial: u64,
    key: Vec<u8>,
}

impl Svid {
    /// Of this issuer, for so long; `named` is who is in the certificate.
    pub(crate) fn of(issuer: &Issuer, identity: &str, named: &str, length: Duration) -> Self {
        let key = KeyPair::generate().unwrap();
        let leaf = issuer.leaf(named, Life::of(length), &key);
        let (identity, serial) = (identity.to_owned(), leaf.serial);
        Self { identity, leaf: leaf.der.to_vec(), serial, key: key.serialize_der() }
    }

    /// A good one.
    pub(crate) fn good(issuer: &Issuer, identity: &str) -> Self {
        Self::of(issuer, identity, identity, DAY)
    }
}

/// By which SPIRE knows the pods of a service account in the namespace of the lab.
pub(crate) fn account(name: &str) -> [String; 2] {
    ["k8s:ns:default".to_owned(), format!("k8s:sa:{name}")]
}

impl Spire {
    /// Starts with a trust bundle of this issuer, and no entries.
    pub(crate) fn start(lab: &Lab, root: &Issuer) -> Self {
        let told = Told { world: watch::Sender::new(World::default()), asked: Mutex::default() };
        let spire = Self {
            socket: lab.directory().join("spire.sock"),
            told: Arc::new(told),
            running: Mutex::default(),
        };
        spire.trust(&[root]);
        spire.resume();
        spire
    }

    /// Has a node be a delegate of this agent.
    pub(crate) fn delegating(&self, launch: Launch) -> Launch {
        let launch = launch.env("CULVERT_ISSUER", "spire-delegated");
        launch.env("SPIRE_ADMIN_ENDPOINT_SOCKET", self.url())
    }

    /// Has a dedicated proxy ask who it is.
    pub(crate) fn telling(&self, launch: Launch) -> Launch {
        launch.env("CULVERT_ISSUER", "spire-workload").env("SPIFFE_ENDPOINT_SOCKET", self.url())
    }

    /// As SPIFFE writes it.
    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Whoever is all of this is entitled to this from now on, in place of what these selectors gave before.
    pub(crate) fn register(&self, selectors: &[String], svid: Svid) {
        let selectors: BTreeSet<_> = selectors.iter().cloned().collect();
        self.change(|world| {
            world.entries.retain(|entry| entry.selectors != selectors);
            world.entries.push(Entry { selectors, svid });
        });
    }

    /// The roots from now on.
    pub(crate) fn trust(&self, roots: &[&Issuer]) {
        self.change(|world| world.bundle = roots.iter().flat_map(|root| root.der().to_vec()).collect());
    }

    /// Refuses everybody from now on, or nobody.
    pub(crate) fn refuse(&self, refusal: Option<Status>) {
        self.change(|world| world.refusal = refusal);
    }

    /// By what it was asked for workloads so far.
    pub(crate) fn asked(&self) -> Vec<BTreeSet<String>> {
        lock(&self.told.asked).clone()
    }

    /// Goes away, as a program that is killed.
    pub(crate) fn stop(&self) {
        if let Some(runtime) = lock(&self.running).take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
            fs::remove_file(&self.socket).unwrap();
        }
    }

    /// Comes back.
    pub(crate) fn resume(&self) {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let inside = runtime.enter();
        let incoming = UnixListenerStream::new(UnixListener::bind(&self.socket).unwrap());
        let service = || Service(Arc::clone(&self.told));
        let server = Server::builder()
            .add_service(DelegatedIdentityServer::new(service()))
            .add_service(SpiffeWorkloadApiServer::new(service()));
        runtime.spawn(server.serve_with_incoming(incoming));
        drop(inside);
        *lock(&self.running) = Some(runtime);
    }

    fn change(&self, change: impl FnOnce(&mut World)) {
        self.told.world.send_modify(change);
    }
}

impl Drop for Spire {
    fn drop(&mut self) {
        if let Some(runtime) = lock(&self.running).take() {
            runtime.shutdown_background();
        }
    }
}

struct Service(Arc<Told>);

type Saying<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

impl Service {
    /// Says what a view of the world is, and says it again whenever that has changed.
    fn tell<M: Clone + PartialEq + Send + Sync + 'static>(
        &self,
        view: impl Fn(&World) -> M + Send + 'static,
    ) -> Response<Saying<M>> {
        let mut world = self.0.world.subscribe();
        let (say, said) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut last = None;
            loop {
                let now = world.borrow_and_update().clone();
                if let Some(refusal) = now.refusal {
                    let _ = say.send(Err(refusal)).await;
                    return;
                }
                let next = view(&now);
                if last.as_ref() != Some(&next) {
                    last = Some(next.clone());
                    if say.send(Ok(next)).await.is_err() {
                        return;
                    }
                }
                tokio::select! {
                    changed = world.changed() => if changed.is_err() { return },
                    () = say.closed() => return,
                }
            }
        });
        Response::new(Box::pin(ReceiverStream::new(said)))
    }
}

#[tonic::async_trait]
impl DelegatedIdentity for Service {
    type SubscribeToX509SVIDsStream = Saying<SubscribeToX509sviDsResponse>;
    type SubscribeToX509BundlesStream = Saying<SubscribeToX509BundlesResponse>;

    async fn subscribe_to_x509svi_ds(
        &self,
        request: Request<SubscribeToX509sviDsRequest>,
    ) -> Result<Response<Self::SubscribeToX509SVIDsStream>, Status> {
        let selectors = request.into_inner().selectors.into_iter();
        let asked: BTreeSet<_> = selectors.map(|it| format!("{}:{}", it.r#type, it.value)).collect();
        lock(&self.0.asked).push(asked.clone());
        Ok(self.tell(move |world| {
            let entitled = world.entries.iter().filter(|entry| entry.selectors.is_subset(&asked));
            let x509_svids = entitled.map(|entry| with_key(&entry.svid)).collect();
            SubscribeToX509sviDsResponse { x509_svids, federates_with: Vec::new() }
        }))
    }

    async fn subscribe_to_x509_bundles(
        &self,
        _: Request<SubscribeToX509BundlesRequest>,
    ) -> Result<Response<Self::SubscribeToX509BundlesStream>, Status> {
        Ok(self.tell(|world| {
            let bundle = ("spiffe://cluster.local".to_owned(), world.bundle.clone());
            SubscribeToX509BundlesResponse { ca_certificates: BTreeMap::from([bundle]) }
        }))
    }
}

#[tonic::async_trait]
impl SpiffeWorkloadApi for Service {
    type FetchX509SVIDStream = Saying<X509svidResponse>;

    async fn fetch_x509svid(
        &self,
        request: Request<X509svidRequest>,
    ) -> Result<Response<Self::FetchX509SVIDStream>, Status> {
        if request.metadata().get("workload.spiffe.io").is_none_or(|value| value != "true") {
            return Err(Status::invalid_argument("security header missing from request"));
        }
        lock(&self.0.asked).push(BTreeSet::new());
        Ok(self.tell(|world| {
            let svid = |entry: &Entry| X509svid {
                spiffe_id: entry.svid.identity.clone(),
                x509_svid: entry.svid.leaf.clone(),
                x509_svid_key: entry.svid.key.clone(),
                bundle: world.bundle.clone(),
                hint: String::new(),
            };
            X509svidResponse { svids: world.entries.iter().map(svid).collect(), ..Default::default() }
        }))
    }
}

fn with_key(svid: &Svid) -> X509svidWithKey {
    let (domain, path) = svid.identity.trim_start_matches("spiffe://").split_once('/').unwrap();
    let id = types::Spiffeid { trust_domain: domain.to_owned(), path: format!("/{path}") };
    let certificate =
        types::X509svid { cert_chain: vec![svid.leaf.clone()], id: Some(id), ..Default::default() };
    X509svidWithKey { x509_svid: Some(certificate), x509_svid_key: svid.key.clone() }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
