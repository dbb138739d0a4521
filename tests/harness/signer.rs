//! Asks the control plane for a certificate as a node does: over its own network, with a token, for somebody's identity.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;

use culvert_proto::ca::IstioCertificateRequest;
use culvert_proto::ca::istio_certificate_service_client::IstioCertificateServiceClient;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use rcgen::{CertificateParams, KeyPair};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use super::one_node::OneNode;
use super::standalone::{NodeProgram, ROOT};
use super::talk::SOON;

/// Asks a control plane as the program of a node does, with its token. Gives the chain that was signed, leaf first and roots last, or
/// why there is none.
#[track_caller]
pub(crate) fn ask(node: &OneNode, control: SocketAddr, identity: &str) -> Result<Vec<String>, Status> {
    let roots = node.kubernetes.api.object("configmaps", ROOT, "istio-ca-root-cert").unwrap();
    let question = Question {
        control,
        roots: roots["data"]["root-cert.pem"].as_str().unwrap(),
        token: &fs::read_to_string(NodeProgram::of(node).token()).unwrap(),
        identity,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Everything runs on this thread, so that its sockets are made where it is.
    node.node.netns().run(|| runtime.block_on(question.request())).unwrap()
}

/// The stable name of the reason of a refusal.
#[track_caller]
pub(crate) fn reason(status: &Status) -> &str {
    let reason = status.metadata().get("culvert-reason").unwrap_or_else(|| panic!("{status:?}"));
    reason.to_str().unwrap()
}

/// Who asks, and whom.
struct Question<'q> {
    control: SocketAddr,
    /// What the control plane must be signed by, as PEM.
    roots: &'q str,
    token: &'q str,
    identity: &'q str,
}

impl Question<'_> {
    async fn request(&self) -> Result<Vec<String>, Status> {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(self.roots));
        let endpoint = Endpoint::from_shared(format!("https://{}", self.control)).unwrap();
        let endpoint = endpoint.connect_timeout(SOON).timeout(SOON).tls_config(tls).unwrap();
        let channel = endpoint.connect().await.map_err(|error| Status::unavailable(format!("{error:?}")))?;
        let identity = Value { kind: Some(Kind::StringValue(self.identity.to_owned())) };
        let metadata = Struct { fields: BTreeMap::from([("ImpersonatedIdentity".to_owned(), identity)]) };
        let csr = CertificateParams::default().serialize_request(&KeyPair::generate().unwrap()).unwrap();
        let mut request = Request::new(IstioCertificateRequest {
            csr: csr.pem().unwrap(),
            validity_duration: 600,
            metadata: Some(metadata),
        });
        let bearer = format!("Bearer {}", self.token).parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
        let answer = IstioCertificateServiceClient::new(channel).create_certificate(request).await?;
        Ok(answer.into_inner().cert_chain)
    }
}
