//! A certificate authority that answers as a test says, and remembers what it was asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use culvert_lab::{Lab, wait_for};
use culvert_proto::ca::istio_certificate_service_server::{
    IstioCertificateService, IstioCertificateServiceServer,
};
use culvert_proto::ca::{IstioCertificateRequest, IstioCertificateResponse};
use prost_types::value::Kind;
use rcgen::{CertificateSigningRequestParams, SanType};
use tokio::sync::watch;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::endpoint::{Endpoint, Groups};
use super::pki::{DAY, Issuer, Life};

/// How long the other side may take for anything it is to do by itself.
const DEADLINE: Duration = Duration::from_secs(15);

/// The authority.
pub(crate) struct Authority {
    pub(crate) endpoint: Endpoint,
    /// What it signs with, unless a script says otherwise.
    pub(crate) root: Arc<Issuer>,
    state: Arc<State>,
}

struct State {
    script: Mutex<Script>,
    asked: Mutex<Vec<Asked>>,
    /// Answers wait while this is true.
    held: watch::Sender<bool>,
}

type Script = Box<dyn FnMut(&Asked) -> Answer + Send>;

/// A request.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) at: Instant,
    /// Who a certificate is asked for: as the metadata says, or else the request.
    pub(crate) identity: String,
    pub(crate) message: IstioCertificateRequest,
    pub(crate) headers: MetadataMap,
}

/// What is said to a request.
pub(crate) enum Answer {
    Chain(Vec<String>),
    Refuse(Status),
}

impl Authority {
    /// Signs everything for a day.
    pub(crate) fn start(lab: &Lab, issuer: &Issuer, groups: Groups) -> Self {
        let root = Arc::new(Issuer::root("mesh"));
        let script = signing(Arc::clone(&root), DAY);
        let state =
            State { script: Mutex::new(script), asked: Mutex::default(), held: watch::Sender::new(false) };
        let state = Arc::new(state);
        let routes = Routes::new(IstioCertificateServiceServer::new(Service(Arc::clone(&state))));
        Self { endpoint: Endpoint::start(lab, issuer, groups, routes), root, state }
    }

    /// Answers like this from now on.
    pub(crate) fn answer(&self, script: impl FnMut(&Asked) -> Answer + Send + 'static) {
        *lock(&self.state.script) = Box::new(script);
    }

    /// Signs everything with its root from now on, for so long.
    pub(crate) fn sign_for(&self, length: Duration) {
        *lock(&self.state.script) = signing(Arc::clone(&self.root), length);
    }

    /// Refuses everything from now on.
    pub(crate) fn refuse(&self, status: Status) {
        self.answer(move |_| Answer::Refuse(status.clone()));
    }

    /// Takes requests and answers none of them until [`Self::release`].
    pub(crate) fn hold(&self) {
        self.state.held.send_replace(true);
    }

    /// Answers those who wait, and everybody from now on.
    pub(crate) fn release(&self) {
        self.state.held.send_replace(false);
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        lock(&self.state.asked).clone()
    }

    /// The requests for an identity so far.
    pub(crate) fn asked_for(&self, identity: &str) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.identity == identity).collect()
    }

    /// Waits until an identity has been asked for so many times in all.
    #[track_caller]
    pub(crate) fn wait_for(&self, identity: &str, times: usize) -> Vec<Asked> {
        let what = format!("{identity} is asked for {times} times");
        wait_for(DEADLINE, &what, || Some(self.asked_for(identity)).filter(|all| all.len() >= times)).unwrap()
    }
}

impl Asked {
    /// The answer everybody hopes for: a leaf of this issuer, those above it, and a trust bundle.
    pub(crate) fn signed(&self, issuer: &Issuer, life: Life, between: &[&Issuer], bundle: &str) -> Answer {
        let leaf = issuer.leaf(&self.identity, life, &self.parsed().public_key).pem;
        let between = between.iter().map(|issuer| issuer.pem());
        Answer::Chain([leaf].into_iter().chain(between).chain([bundle.to_owned()]).collect())
    }

    /// The request, its signature checked.
    pub(crate) fn parsed(&self) -> CertificateSigningRequestParams {
        CertificateSigningRequestParams::from_pem(&self.message.csr).unwrap()
    }
}

fn signing(root: Arc<Issuer>, length: Duration) -> Script {
    Box::new(move |asked| asked.signed(&root, Life::of(length), &[], &root.pem()))
}

struct Service(Arc<State>);

#[tonic::async_trait]
impl IstioCertificateService for Service {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let headers = request.metadata().clone();
        let message = request.into_inner();
        let identity = identity(&message);
        let asked = Asked { at: Instant::now(), identity, message, headers };
        lock(&self.0.asked).push(asked.clone());
        // Fails only when the test is over.
        let _ = self.0.held.subscribe().wait_for(|held| !held).await;
        let answer = (lock(&self.0.script))(&asked);
        match answer {
            Answer::Chain(cert_chain) => Ok(Response::new(IstioCertificateResponse { cert_chain })),
            Answer::Refuse(status) => Err(status),
        }
    }
}

fn identity(message: &IstioCertificateRequest) -> String {
    let fields = message.metadata.as_ref().map(|metadata| &metadata.fields);
    if let Some(value) = fields.and_then(|fields| fields.get("ImpersonatedIdentity")) {
        let Some(Kind::StringValue(text)) = &value.kind else { panic!("{value:?}") };
        return text.clone();
    }
    let request = CertificateSigningRequestParams::from_pem(&message.csr).unwrap();
    match &request.params.subject_alt_names[..] {
        [SanType::URI(uri)] => uri.to_string(),
        other => panic!("{other:?}"),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
