//! Asks the control plane for a certificate as a node does: over its own network, with a token, for somebody's identity.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use culvert_proto::ca::IstioCertificateRequest;
use culvert_proto::ca::istio_certificate_service_client::IstioCertificateServiceClient;
use culvert_sys::netns::Netns;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use rcgen::{CertificateParams, KeyPair};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use super::talk::SOON;

/// Who asks, and whom.
pub(crate) struct Question<'q> {
    pub(crate) netns: &'q Netns,
    pub(crate) control: SocketAddr,
    /// What the control plane must be signed by, as PEM.
    pub(crate) roots: &'q str,
    pub(crate) token: &'q str,
    pub(crate) identity: &'q str,
}

impl Question<'_> {
    /// The chain that was signed, leaf first and roots last, or why there is none.
    #[track_caller]
    pub(crate) fn ask(&self) -> Result<Vec<String>, Status> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // Everything runs on this thread, so that its sockets are made where it is.
        self.netns.run(|| runtime.block_on(self.request())).unwrap()
    }

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
