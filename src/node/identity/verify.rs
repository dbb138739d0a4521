//! Judges the other end of a tunnel, inside the TLS handshake.
//!
//! Both ends check the chain to the roots that came with their own certificate, the time and the key usage, and then
//! the SPIFFE identity: a server wants a client of its own trust domain, a client wants one of the identities it
//! expects. A refusal is a [`Refused`] inside rustls' error, with what was expected and what was seen. Names of hosts
//! and addresses play no part. Revocation is not checked.

use std::fmt;
use std::sync::Arc;

use culvert_core::identity::SpiffeId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::x509;
use crate::crypto;

/// Why a peer with a valid chain is refused.
#[derive(thiserror::Error)]
pub(super) enum Refused {
    #[error("the peer's certificate names no workload identity")]
    NoIdentity,
    #[error("the peer is {seen}, of another trust domain than `{expected}`")]
    TrustDomain { seen: SpiffeId, expected: String },
    #[error("the peer is {}, expected {}", list(.seen), list(.expected))]
    Identity { seen: Vec<SpiffeId>, expected: Vec<SpiffeId> },
}

impl fmt::Debug for Refused {
    /// As text: rustls shows errors of others by their `Debug` form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The identity of a verified peer: the first SPIFFE id among the names of its certificate.
pub(crate) fn peer_identity(chain: &[CertificateDer<'_>]) -> Option<SpiffeId> {
    x509::identities(chain.first()?).into_iter().next()
}

/// A server's judge of clients.
#[derive(Debug)]
pub(super) struct Clients {
    chain: Arc<dyn ClientCertVerifier>,
    trust_domain: String,
}

/// A client's judge of servers.
#[derive(Debug)]
pub(super) struct Servers {
    roots: Arc<RootCertStore>,
    expected: Vec<SpiffeId>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Clients {
    pub(super) fn of_trust_domain(id: &SpiffeId, roots: Arc<RootCertStore>) -> Result<Self, rustls::Error> {
        let chain = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(crypto::provider()))
            // The client has one certificate; hints would only make the handshake longer.
            .clear_root_hint_subjects()
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(Self { chain, trust_domain: id.trust_domain().to_owned() })
    }
}

impl Servers {
    /// Accepts the `expected` identities; when there are none, nobody.
    pub(super) fn expected(expected: &[SpiffeId], roots: Arc<RootCertStore>) -> Self {
        Self {
            roots,
            expected: expected.to_vec(),
            algorithms: crypto::provider().signature_verification_algorithms,
        }
    }
}

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        // The first identity is the one policies judge, so it is the one that must be of our trust domain.
        let seen =
            x509::identities(end_entity).into_iter().next().ok_or_else(|| refuse(Refused::NoIdentity))?;
        if seen.trust_domain() != self.trust_domain {
            return Err(refuse(Refused::TrustDomain { seen, expected: self.trust_domain.clone() }));
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let leaf = ParsedCertificate::try_from(end_entity)?;
        // Signatures, validity of every certificate, and the server-auth usage of the leaf.
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            &leaf,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        let seen = x509::identities(end_entity);
        if !seen.iter().any(|id| self.expected.contains(id)) {
            return Err(refuse(Refused::Identity { seen, expected: self.expected.clone() }));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn refuse(refused: Refused) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(refused))).into()
}

fn list(ids: &[SpiffeId]) -> String {
    match ids {
        [] => "nobody".to_owned(),
        [one] => one.to_string(),
        many => format!("one of {}", many.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests;
