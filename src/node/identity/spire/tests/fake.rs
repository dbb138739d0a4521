//! An agent that knows what a test registers, and behaves as it is told.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use culvert_core::identity::SpiffeId;
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
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use rcgen::KeyPair;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::net::UnixListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tonic::codegen::tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::identity::testing::{Leaf, TestCa};

/// An entry and its SVID.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) selectors: Vec<String>,
    pub(super) id: String,
    /// DER, leaf first.
    pub(super) chain: Vec<Vec<u8>>,
    pub(super) key: Vec<u8>,
}

/// What the agent does with who asks.
#[derive(Clone)]
pub(super) enum Manner {
    Serve,
    /// Says nothing, not even that it was asked.
    Silent,
    Refuse(Status),
}

/// All that it would say.
#[derive(Clone)]
struct World {
    entries: Vec<Entry>,
    bundles: BTreeMap<String, Vec<u8>>,
    manner: Manner,
}

struct Shared {
    ca: TestCa,
    world: watch::Sender<World>,
    asked: Mutex<Vec<Vec<String>>>,
    was_asked: watch::Sender<()>,
    listening: watch::Sender<usize>,
}

pub(super) struct Fake {
    shared: Arc<Shared>,
    directory: PathBuf,
    /// Apart from the test's, so that all of it can be killed.
    server: Option<Runtime>,
}

/// A subscription of somebody.
struct Listening(Arc<Shared>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.listening.send_modify(|count| *count -= 1);
    }
}

impl Fake {
    /// It is trusted, and knows nobody.
    pub(super) fn start() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("culvert-spire-{}-{number}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let ca = TestCa::new("SPIRE");
        let bundles = BTreeMap::from([("spiffe://cluster.local".to_owned(), ca.der().to_vec())]);
        let world = World { entries: Vec::new(), bundles, manner: Manner::Serve };
        let shared = Shared {
            ca,
            world: watch::Sender::new(world),
            asked: Mutex::default(),
            was_asked: watch::Sender::new(()),
            listening: watch::Sender::new(0),
        };
        let mut fake = Self { shared: Arc::new(shared), directory, server: None };
        fake.serve();
        fake
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.directory.join("agent.sock")
    }

    pub(super) fn serve(&mut self) {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (socket, shared) = (self.socket(), Arc::clone(&self.shared));
        let _inside = runtime.enter();
        let listener = UnixListener::bind(socket).unwrap();
        let router = Server::builder()
            .add_service(DelegatedIdentityServer::new(Service(Arc::clone(&shared))))
            .add_service(SpiffeWorkloadApiServer::new(Service(shared)));
        runtime.spawn(router.serve_with_incoming(UnixListenerStream::new(listener)));
        self.server = Some(runtime);
    }

    /// As a program that is killed.
    pub(super) fn stop(&mut self) {
        if let Some(runtime) = self.server.take() {
            runtime.shutdown_background();
            std::fs::remove_file(self.socket()).unwrap();
        }
    }

    pub(super) fn root(&self) -> Vec<u8> {
        self.shared.ca.der().to_vec()
    }

    pub(super) fn ca(&self) -> &TestCa {
        &self.shared.ca
    }

    /// Makes an entry with a good SVID.
    pub(super) fn register(&self, selectors: &[&str], id: &SpiffeId) {
        let entry = self.entry(selectors, &id.to_string(), &Leaf::named(&[&id.to_string()]));
        self.enter(entry);
    }

    /// An entry whose SVID says this.
    pub(super) fn entry(&self, selectors: &[&str], id: &str, leaf: &Leaf) -> Entry {
        let key = KeyPair::generate().unwrap();
        let chain = vec![der(&self.shared.ca.sign(leaf, &key))];
        let selectors = selectors.iter().map(|text| (*text).to_owned()).collect();
        Entry { selectors, id: id.to_owned(), chain, key: key.serialize_der() }
    }

    pub(super) fn enter(&self, entry: Entry) {
        self.change(|world| world.entries.push(entry));
    }

    /// All SVIDs are made anew.
    pub(super) fn rotate(&self) {
        let anew = |entry: &Entry| {
            let selectors: Vec<_> = entry.selectors.iter().map(String::as_str).collect();
            self.entry(&selectors, &entry.id, &Leaf::named(&[&entry.id]))
        };
        let entries = self.shared.world.borrow().entries.iter().map(anew).collect();
        self.change(|world| world.entries = entries);
    }

    pub(super) fn trust(&self, roots: &[&[u8]]) {
        self.trust_of("spiffe://cluster.local", roots);
    }

    pub(super) fn trust_of(&self, domain: &str, roots: &[&[u8]]) {
        self.change(|world| drop(world.bundles.insert(domain.to_owned(), roots.concat())));
    }

    pub(super) fn forget_bundles(&self) {
        self.change(|world| world.bundles.clear());
    }

    pub(super) fn behave(&self, manner: Manner) {
        self.change(|world| world.manner = manner);
    }

    fn change(&self, change: impl FnOnce(&mut World)) {
        self.shared.world.send_modify(change);
    }

    /// By what it was asked for workloads so far.
    pub(super) fn asked(&self) -> Vec<Vec<String>> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Resolves once it is asked for a workload.
    pub(super) fn was_asked(&self) -> impl Future<Output = ()> + use<> {
        let mut asked = self.shared.was_asked.subscribe();
        async move { asked.changed().await.unwrap() }
    }

    pub(super) fn listening(&self) -> usize {
        *self.shared.listening.borrow()
    }

    pub(super) async fn nobody_listens(&self) {
        self.shared.listening.subscribe().wait_for(|count| *count == 0).await.unwrap();
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

pub(super) fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

struct Service(Arc<Shared>);

type Told<M> = Result<Response<BoxStream<'static, Result<M, Status>>>, Status>;

impl Service {
    /// What a view of the world is, each time it has changed. Refusing ends it.
    async fn tell<M: Clone + PartialEq + Send + Sync + 'static>(
        &self,
        guard: Option<Listening>,
        view: impl Fn(&World) -> M + Send + Sync + 'static,
    ) -> Told<M> {
        let mut world = self.0.world.subscribe();
        let begun = world.wait_for(|world| !matches!(world.manner, Manner::Silent)).await.unwrap().clone();
        if let Manner::Refuse(status) = begun.manner {
            return Err(status);
        }
        world.mark_changed();
        let said =
            stream::unfold((world, None, view, guard), |(mut world, mut last, view, guard)| async move {
                loop {
                    world.changed().await.ok()?;
                    let now = world.borrow_and_update().clone();
                    if let Manner::Refuse(status) = now.manner {
                        return Some((Err(status), (world, last, view, guard)));
                    }
                    let said = view(&now);
                    if last.as_ref() != Some(&said) {
                        last = Some(said.clone());
                        return Some((Ok(said), (world, last, view, guard)));
                    }
                }
            });
        Ok(Response::new(said.boxed()))
    }

    fn listen(&self, asked: Vec<String>) -> Listening {
        self.0.asked.lock().unwrap().push(asked);
        self.0.was_asked.send_replace(());
        self.0.listening.send_modify(|count| *count += 1);
        Listening(Arc::clone(&self.0))
    }
}

fn delegated(entry: &Entry) -> X509svidWithKey {
    let (domain, path) = entry.id.trim_start_matches("spiffe://").split_once('/').unwrap();
    let id = types::Spiffeid { trust_domain: domain.to_owned(), path: format!("/{path}") };
    let svid = types::X509svid { cert_chain: entry.chain.clone(), id: Some(id), ..Default::default() };
    X509svidWithKey { x509_svid: Some(svid), x509_svid_key: entry.key.clone() }
}

#[tonic::async_trait]
impl DelegatedIdentity for Service {
    type SubscribeToX509SVIDsStream = BoxStream<'static, Result<SubscribeToX509sviDsResponse, Status>>;
    type SubscribeToX509BundlesStream = BoxStream<'static, Result<SubscribeToX509BundlesResponse, Status>>;

    async fn subscribe_to_x509svi_ds(
        &self,
        request: Request<SubscribeToX509sviDsRequest>,
    ) -> Told<SubscribeToX509sviDsResponse> {
        let selectors = request.into_inner().selectors.into_iter();
        let asked: Vec<_> = selectors.map(|it| format!("{}:{}", it.r#type, it.value)).collect();
        let guard = self.listen(asked.clone());
        let view = move |world: &World| {
            let entitled = |entry: &&Entry| entry.selectors.iter().all(|one| asked.contains(one));
            let x509_svids = world.entries.iter().filter(entitled).map(delegated).collect();
            SubscribeToX509sviDsResponse { x509_svids, federates_with: Vec::new() }
        };
        self.tell(Some(guard), view).await
    }

    async fn subscribe_to_x509_bundles(
        &self,
        _: Request<SubscribeToX509BundlesRequest>,
    ) -> Told<SubscribeToX509BundlesResponse> {
        let view = |world: &World| SubscribeToX509BundlesResponse { ca_certificates: world.bundles.clone() };
        self.tell(None, view).await
    }
}

#[tonic::async_trait]
impl SpiffeWorkloadApi for Service {
    type FetchX509SVIDStream = BoxStream<'static, Result<X509svidResponse, Status>>;

    async fn fetch_x509svid(&self, request: Request<X509svidRequest>) -> Told<X509svidResponse> {
        if request.metadata().get("workload.spiffe.io").is_none_or(|value| value != "true") {
            return Err(Status::invalid_argument("security header missing from request"));
        }
        let guard = self.listen(Vec::new());
        let svid = |world: &World, entry: &Entry| X509svid {
            spiffe_id: entry.id.clone(),
            x509_svid: entry.chain.concat(),
            x509_svid_key: entry.key.clone(),
            bundle: world.bundles.get("spiffe://cluster.local").cloned().unwrap_or_default(),
            hint: String::new(),
        };
        let view = move |world: &World| X509svidResponse {
            svids: world.entries.iter().map(|entry| svid(world, entry)).collect(),
            ..Default::default()
        };
        self.tell(Some(guard), view).await
    }
}
