use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use culvert_process::exit::Chain;
use culvert_proto::otlp::trace::trace_service_server::{TraceService, TraceServiceServer};
use culvert_proto::otlp::trace::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message as _;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use super::super::signal::Traces;
use super::super::testing::{Collector, config};
use super::*;
use crate::crypto;

fn request() -> ExportTraceServiceRequest {
    Traces::request(Vec::new(), &culvert_proto::otlp::common::Resource::default())
}

fn partly() -> ExportTraceServiceResponse {
    let partial_success = Some(ExportTracePartialSuccess { rejected_spans: 3, error_message: "no".into() });
    ExportTraceServiceResponse { partial_success }
}

async fn send(config: &Config) -> Result<ExportTraceServiceResponse, Error> {
    Client::new(config).unwrap().send::<Traces>(&request()).await
}

#[tokio::test]
async fn answers_by_http_are_told_apart_and_the_connection_is_kept() {
    let partly = partly();
    let body = partly.encode_to_vec();
    let answers: [(u16, &[u8]); 6] =
        [(200, &[]), (200, &body), (429, b"later"), (503, &[]), (400, &[]), (200, &[0xff])];
    let (collector, config) = Collector::start(&answers).await;
    let (mut client, request) = (Client::new(&config).unwrap(), request());
    let mut send = async || client.send::<Traces>(&request).await;
    assert_eq!(send().await.unwrap(), ExportTraceServiceResponse::default());
    assert_eq!(send().await.unwrap(), partly);
    let busy = send().await.unwrap_err();
    assert!(busy.may_pass() && busy.after() == Some(Duration::from_secs(7)), "{busy}");
    let down = send().await.unwrap_err();
    assert!(down.may_pass() && down.after().is_none(), "{down}");
    let refused = send().await.unwrap_err();
    assert!(!refused.may_pass() && refused.to_string().contains("400"), "{refused}");
    assert!(matches!(send().await, Err(Error::Nonsense)));
    assert_eq!(collector.connections.load(Ordering::Relaxed), 1);
    let asked = collector.asked.lock().unwrap();
    assert_eq!(asked.len(), answers.len());
    assert_eq!(
        (&asked[0]["api-key"], &asked[0]["content-type"]),
        (&"secret".parse().unwrap(), &"application/x-protobuf".parse().unwrap())
    );
}

#[tokio::test]
async fn a_collector_that_is_not_there_or_silent_may_be_later() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let ways = [Protocol::Http, Protocol::Grpc].map(|protocol| config(protocol, "http", address, "/"));
    for config in ways.clone() {
        let error = send(&Config { timeout: Duration::from_millis(100), ..config }).await.unwrap_err();
        assert!(matches!(error, Error::TimedOut(_)) && error.may_pass(), "{error}");
    }
    drop(silent);
    for config in ways {
        let error = send(&config).await.unwrap_err();
        assert!(error.may_pass() && !matches!(error, Error::TimedOut(_)), "{error}");
    }
}

/// Answers by gRPC what a header asks for.
struct Asked;

#[tonic::async_trait]
impl TraceService for Asked {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        match request.metadata().get("api-key").and_then(|key| key.to_str().ok()) {
            Some("secret") => Ok(Response::new(partly())),
            Some("busy") => Err(Status::unavailable("busy")),
            _ => Err(Status::unauthenticated("who are you?")),
        }
    }
}

/// A file for the roots of collectors, gone with this.
struct Root(PathBuf);

impl Drop for Root {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Starts a collector that speaks gRPC, with TLS if it has a root.
async fn grpc(tls: Option<ServerTlsConfig>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tls.into_iter().fold(Server::builder(), |server, tls| server.tls_config(tls).unwrap());
    let accept =
        |listener: TcpListener| async move { Some((listener.accept().await.map(|it| it.0), listener)) };
    let incoming = futures::stream::unfold(listener, accept);
    let service = TraceServiceServer::new(Asked);
    tokio::spawn(async move { server.clone().add_service(service).serve_with_incoming(incoming).await });
    address
}

#[tokio::test]
async fn answers_by_grpc_are_told_apart() {
    let config = config(Protocol::Grpc, "http", grpc(None).await, "/");
    assert_eq!(send(&config).await.unwrap(), partly());
    let with = |key| Config { headers: vec![("api-key".parse().unwrap(), key)], ..config.clone() };
    let busy = send(&with("busy".parse().unwrap())).await.unwrap_err();
    assert!(busy.may_pass() && busy.to_string().contains("busy"), "{busy}");
    let refused = send(&with("wrong".parse().unwrap())).await.unwrap_err();
    assert!(!refused.may_pass() && refused.to_string().contains("who are you?"), "{refused}");
}

/// Starts a collector that answers one request by HTTP over TLS.
async fn https(certificate: &str, key: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::clone(crypto::provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()));
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
            let _ = tls.read(&mut [0; 4096]).await.unwrap();
            tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn over_tls_only_the_collector_that_is_meant_is_told() {
    crypto::choose(crypto::Policy::default());
    let key = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (key.cert.pem(), key.signing_key.serialize_pem());
    let file = Root(std::env::temp_dir().join(format!("culvert-otlp-root-{}", std::process::id())));
    let at_http = https(&certificate, &key).await;
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(&certificate, key));
    let at_grpc = grpc(Some(tls)).await;
    for (protocol, address) in [(Protocol::Grpc, at_grpc), (Protocol::Http, at_http)] {
        let config = config(protocol, "https", address, "/");
        let config = Config { roots: Some(file.0.clone()), ..config };
        std::fs::write(&file.0, &certificate).unwrap();
        send(&config).await.unwrap_or_else(|error| panic!("{protocol:?} {}", Chain(&error)));
        let strange = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(&file.0, strange.cert.pem()).unwrap();
        let words = Chain(&send(&config).await.unwrap_err()).to_string();
        assert!(words.contains("certificate"), "{protocol:?} {words}");
        std::fs::write(&file.0, "no certificate").unwrap();
        let error = Client::new(&config).err().unwrap();
        assert!(error.to_string().contains("OTEL_EXPORTER_OTLP_CERTIFICATE"), "{error}");
    }
}
