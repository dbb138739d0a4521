//! The client against a real gRPC server over TLS.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use culvert_proto::ca::IstioCertificateResponse;
use culvert_proto::ca::istio_certificate_service_server::{
    IstioCertificateService, IstioCertificateServiceServer,
};
use rcgen::{CertificateSigningRequestParams, KeyPair, SanType};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tonic::Status;
use tonic::codegen::tokio_stream::wrappers::TcpListenerStream;
use tonic::metadata::MetadataMap;
use tonic::transport::{Identity, Server, ServerTlsConfig};

use super::*;
use crate::control_plane::status::State;
use crate::control_plane::{Root, Token};
use crate::identity::testing::{Leaf, TestCa, account};

/// What the server does with a request.
#[derive(Clone, Copy)]
enum Mood {
    Issues,
    Denies,
    PushesBack,
    Hangs,
}

struct Service {
    ca: TestCa,
    mood: Mood,
    /// The requests so far.
    seen: Mutex<Vec<(MetadataMap, IstioCertificateRequest)>>,
}

/// Serves a [`Service`] the test looks into.
struct Handler(Arc<Service>);

#[tonic::async_trait]
impl IstioCertificateService for Handler {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<tonic::Response<IstioCertificateResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let csr = CertificateSigningRequestParams::from_pem(&message.csr).unwrap();
        let SanType::URI(name) = &csr.params.subject_alt_names[0] else { panic!("{csr:?}") };
        let leaf = self.0.ca.sign(&Leaf::named(&[name.as_str()]), &csr.public_key);
        self.0.seen.lock().unwrap().push((metadata, message));
        match self.0.mood {
            Mood::Issues => {}
            Mood::Denies => return Err(Status::permission_denied("no workload with this identity")),
            Mood::PushesBack => {
                let mut status = Status::unavailable("later");
                status.metadata_mut().insert(Pushback::HEADER, "7000".parse().unwrap());
                return Err(status);
            }
            Mood::Hangs => std::future::pending().await,
        }
        Ok(tonic::Response::new(IstioCertificateResponse { cert_chain: vec![leaf, self.0.ca.root_pem()] }))
    }
}

/// A running server; stops when dropped.
struct Running {
    service: Arc<Service>,
    address: SocketAddr,
    server: JoinSet<()>,
}

impl Running {
    /// Serves with a certificate for `name`.
    async fn start(name: &'static str, mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut running = Self::idle(listener.local_addr().unwrap(), mood);
        running.serve(listener, name);
        running
    }

    /// Does not serve yet.
    fn idle(address: SocketAddr, mood: Mood) -> Self {
        let service = Arc::new(Service { ca: TestCa::new("root"), mood, seen: Mutex::default() });
        Self { service, address, server: JoinSet::new() }
    }

    fn serve(&mut self, listener: TcpListener, name: &'static str) {
        self.server.spawn(serve(Arc::clone(&self.service), listener, name));
    }

    fn config(&self) -> Config {
        let server = control_plane::Config {
            root: Root::Pem(self.service.ca.root_pem()),
            token: Some(Token::Text("secret\n".into())),
            headers: vec![("X-Zone".into(), "a".into())],
            ..server(&self.address.to_string())
        };
        Config { server, ttl: Duration::from_secs(3600), impersonate: true }
    }

    async fn fetch(&self, config: Config) -> Result<Certificate, Error> {
        Client::new(config).unwrap().issue(&account("web")).await
    }

    fn header(&self, request: usize, name: &str) -> Option<String> {
        let seen = self.service.seen.lock().unwrap();
        seen[request].0.get(name).map(|value| value.to_str().unwrap().to_owned())
    }
}

/// How to reach a server nothing else is said about.
fn server(address: &str) -> control_plane::Config {
    control_plane::Config {
        service: control_plane::Service::Authority,
        address: address.into(),
        root: Root::System,
        token: None,
        cluster_id: "Kubernetes".into(),
        alternative_name: None,
        headers: Vec::new(),
        tls12: false,
        mark: None,
    }
}

impl Config {
    fn with(mut self, change: impl FnOnce(&mut control_plane::Config)) -> Self {
        change(&mut self.server);
        self
    }
}

async fn serve(service: Arc<Service>, listener: TcpListener, name: &str) -> () {
    let key = KeyPair::generate().unwrap();
    let mut leaf = Leaf::named(&[]);
    leaf.names = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().subject_alt_names;
    let identity = Identity::from_pem(service.ca.sign(&leaf, &key), key.serialize_pem());
    Server::builder()
        .tls_config(ServerTlsConfig::new().identity(identity))
        .unwrap()
        .add_service(IstioCertificateServiceServer::new(Handler(service)))
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_node_names_the_identity_it_wants() {
    let server = Running::start("127.0.0.1", Mood::Issues).await;
    let certificate = server.fetch(server.config()).await.unwrap();
    assert_eq!(certificate.id(), &account("web"));
    assert_eq!(server.header(0, "authorization").unwrap(), "Bearer secret");
    assert_eq!(server.header(0, "clusterid").unwrap(), "Kubernetes");
    assert_eq!(server.header(0, "x-zone").unwrap(), "a");
    let seen = server.service.seen.lock().unwrap();
    let message = &seen[0].1;
    assert_eq!(message.validity_duration, 3600);
    assert_eq!(message.metadata, Some(impersonation(&account("web"))));
}

#[tokio::test]
async fn a_proxy_of_one_workload_names_nothing_and_needs_no_token() {
    let server = Running::start("127.0.0.1", Mood::Issues).await;
    server.fetch(Config { impersonate: false, ..server.config() }.with(|it| it.token = None)).await.unwrap();
    assert_eq!(server.service.seen.lock().unwrap()[0].1.metadata, None);
    assert_eq!(server.header(0, "authorization"), None);
    assert_eq!(server.header(0, "clusterid"), None);
}

#[tokio::test]
async fn an_authority_says_when_it_wants_to_be_asked_again() {
    let server = Running::start("127.0.0.1", Mood::PushesBack).await;
    let error = server.fetch(server.config()).await.unwrap_err();
    assert_eq!(error.pushback(), Some(Pushback::After(Duration::from_secs(7))));
}

#[tokio::test]
async fn a_refusal_is_told_with_its_reason_and_is_an_answer() {
    let server = Running::start("127.0.0.1", Mood::Denies).await;
    let client = Client::new(server.config()).unwrap();
    assert_eq!(client.status().view().state, State::Unused);
    let error = client.issue(&account("web")).await.unwrap_err();
    let Error::Refused { code: Code::PermissionDenied, message, .. } = &error else { panic!("{error}") };
    assert_eq!(message, "no workload with this identity");
    assert_eq!(client.status().view().state, State::Up);
}

#[tokio::test]
async fn a_server_with_another_name_or_root_is_not_asked() {
    let server = Running::start("authority.example", Mood::Issues).await;
    let error = server.fetch(server.config()).await.unwrap_err();
    assert!(
        matches!(&error, Error::Unreachable { reason, .. } if reason.contains("not valid for name")),
        "{error}"
    );

    let named = server.config().with(|it| it.alternative_name = Some("authority.example".into()));
    server.fetch(named.clone()).await.unwrap();

    let stranger = named.with(|it| it.root = Root::Pem(TestCa::new("other").root_pem()));
    let error = server.fetch(stranger).await.unwrap_err();
    assert!(
        matches!(&error, Error::Unreachable { reason, .. } if reason.contains("UnknownIssuer")),
        "{error}"
    );
    assert_eq!(server.service.seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_rotated_token_and_a_rotated_root_count_at_once() {
    let server = Running::start("127.0.0.1", Mood::Issues).await;
    let file = |name: &str| std::env::temp_dir().join(format!("culvert-ca-{name}-{}", std::process::id()));
    let (root, token) = (file("root"), file("token"));
    std::fs::write(&root, TestCa::new("other").root_pem()).unwrap();
    std::fs::write(&token, "one").unwrap();
    let config = server.config().with(|it| {
        it.root = Root::File(root.clone());
        it.token = Some(Token::File(token.clone()));
    });
    let client = Client::new(config).unwrap();
    client.issue(&account("web")).await.unwrap_err();

    std::fs::write(&root, server.service.ca.root_pem()).unwrap();
    client.issue(&account("web")).await.unwrap();
    std::fs::write(&token, " two\n").unwrap();
    client.issue(&account("web")).await.unwrap();
    assert_eq!(server.header(0, "authorization").unwrap(), "Bearer one");
    assert_eq!(server.header(1, "authorization").unwrap(), "Bearer two");

    // A root file that is broken for a moment does no harm while the connection lives.
    std::fs::write(&root, "half a fi").unwrap();
    client.issue(&account("web")).await.unwrap();
    std::fs::remove_file(&root).unwrap();
    client.issue(&account("web")).await.unwrap();

    let refused = |error| {
        let Error::Transport { source, .. } = error else { panic!("{error}") };
        source
    };
    for wrong in ["\n", "two\nlines", "blå"] {
        std::fs::write(&token, wrong).unwrap();
        let malformed = refused(client.issue(&account("web")).await.unwrap_err());
        assert!(matches!(malformed, control_plane::Error::TokenMalformed { .. }), "{wrong}");
        assert!(malformed.to_string().contains(&token.display().to_string()), "{malformed}");
    }
    std::fs::remove_file(&token).unwrap();
    let error = client.issue(&account("web")).await.unwrap_err();
    assert!(matches!(refused(error), control_plane::Error::TokenUnreadable { .. }));
}

#[tokio::test]
async fn an_authority_that_is_down_is_named_and_found_when_it_comes() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut server = Running::idle(socket.local_addr().unwrap(), Mood::Issues);
    let client = Client::new(server.config()).unwrap();
    let error = client.issue(&account("web")).await.unwrap_err().to_string();
    assert!(error.contains(&server.address.to_string()) && error.contains("refused"), "{error}");
    assert!(matches!(client.status().view().state, State::Down(why) if why == error));

    server.serve(socket.listen(16).unwrap(), "127.0.0.1");
    client.issue(&account("web")).await.unwrap();
    assert_eq!(client.status().view().state, State::Up);
}

#[tokio::test]
async fn an_authority_that_does_not_answer_costs_the_deadline() {
    let server = Running::start("127.0.0.1", Mood::Hangs).await;
    let client = Client::new(server.config()).unwrap();
    let id = account("web");
    let mut issuing = client.issue(&id);
    let asked = async {
        while server.service.seen.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        result = &mut issuing => panic!("{:?}", result.err()),
        () = asked => {}
    }
    // From here on nothing but the deadline can end the wait.
    tokio::time::pause();
    let error = issuing.await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    assert!(matches!(client.status().view().state, State::Down(why) if why.contains("deadline")));
}

#[tokio::test]
async fn a_root_file_that_comes_late_is_named_and_found() {
    let server = Running::start("127.0.0.1", Mood::Issues).await;
    let path = std::env::temp_dir().join(format!("culvert-ca-late-{}", std::process::id()));
    let client = Client::new(server.config().with(|it| it.root = Root::File(path.clone()))).unwrap();
    let why = || match client.status().view().state {
        State::Down(why) => why,
        state @ (State::Unused | State::Up) => panic!("{state:?}"),
    };
    client.issue(&account("web")).await.unwrap_err();
    assert!(why().contains(&path.display().to_string()) && why().contains("No such file"), "{}", why());
    std::fs::write(&path, "no certificate").unwrap();
    client.issue(&account("web")).await.unwrap_err();
    assert!(why().contains("no usable root certificate"), "{}", why());
    std::fs::write(&path, server.service.ca.root_pem()).unwrap();
    client.issue(&account("web")).await.unwrap();
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let config = |address: &str| Config { server: server(address), ttl: Duration::ZERO, impersonate: true };
    for address in ["", "http://host:15012", "host name:1", "https://", "host:port"] {
        assert!(matches!(Client::new(config(address)), Err(Invalid::Address { .. })), "{address}");
    }
    for address in ["istiod.istio-system.svc:15012", "https://host", "[::1]:15012", "10.0.0.1:15012"] {
        assert!(Client::new(config(address)).is_ok(), "{address}");
    }
    let header = config("host:1").with(|it| it.headers = vec![("bad name".into(), "".into())]);
    assert!(matches!(Client::new(header), Err(Invalid::Header { .. })));
    let name = config("host:1").with(|it| it.alternative_name = Some("not a name".into()));
    assert!(matches!(Client::new(name), Err(Invalid::AlternativeName { .. })));
}

#[test]
fn a_token_is_not_shown() {
    assert!(!format!("{:?}", Token::Text("secret".into())).contains("secret"));
}
