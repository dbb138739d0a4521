//! Judges the other end of a tunnel, inside the TLS handshake.
//!
//! Both ends check the chain, the time, the key usage and revocation ([`Accepted::judge`]), and then the SPIFFE identity:
//! a server wants a client of its own trust domain, a client wants one of the identities it expects. A refusal is a
//! [`Refused`] inside rustls' error, with what was expected and what was seen. Names of hosts and addresses play no
//! part. What a resumed session skips is checked by [`super::proof`].

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use culvert_core::identity::SpiffeId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::revocation::End;
use super::trust::Accepted;
use super::x509;
use crate::crypto;

/// Why a peer with a valid chain is refused.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the peer presented no certificate that can be read")]
    NoCertificate,
    #[error("the peer's certificate names no workload identity")]
    NoIdentity,
    #[error("the peer is {seen}, of another trust domain than `{}`", expected.join("`, `"))]
    TrustDomain { seen: SpiffeId, expected: Vec<String> },
    #[error("the peer is {}, expected {}", list(.seen), list(.expected))]
    Identity { seen: Vec<SpiffeId>, expected: Vec<SpiffeId> },
    #[error("the certificate of one end expired at {at:?}")]
    Expired { at: SystemTime },
    #[error("peer certificate revoked by CRL")]
    Revoked,
}

impl Refused {
    /// What this end refused its peer for, if that is why a handshake failed and it can be told.
    pub(crate) fn of(error: &rustls::Error) -> Option<Self> {
        let rustls::Error::InvalidCertificate(why) = error else { return None };
        if let CertificateError::Other(OtherError(other)) = why {
            return other.downcast_ref::<Self>().cloned();
        }
        (*why == CertificateError::Revoked).then_some(Self::Revoked)
    }
}

impl fmt::Debug for Refused {
    /// As text: rustls shows errors of others by their `Debug` form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The identity of a client: the first SPIFFE id among the names of its certificate. It is the one that policies judge,
/// so it is the one that must be of our trust domain.
pub(super) fn client(accepted: &Accepted, leaf: &CertificateDer<'_>) -> Result<SpiffeId, Refused> {
    let seen = x509::identities(leaf).into_iter().next().ok_or(Refused::NoIdentity)?;
    if accepted.is_ours(&seen) {
        return Ok(seen);
    }
    Err(Refused::TrustDomain { seen, expected: accepted.domains().to_vec() })
}

/// The identity of a server: the first of its names that is `expected`. When nobody is, nobody is accepted.
pub(super) fn server(
    accepted: &Accepted,
    leaf: &CertificateDer<'_>,
    expected: &[SpiffeId],
) -> Result<SpiffeId, Refused> {
    let seen = x509::identities(leaf);
    let wanted = |id: &&SpiffeId| expected.iter().any(|expected| accepted.is_one(id, expected));
    match seen.iter().find(wanted) {
        Some(id) => Ok(id.clone()),
        None => Err(Refused::Identity { seen, expected: expected.to_vec() }),
    }
}

/// A server's judge of clients.
#[derive(Debug)]
pub(super) struct Clients {
    accepted: Arc<Accepted>,
}

/// A client's judge of servers.
#[derive(Debug)]
pub(super) struct Servers {
    accepted: Arc<Accepted>,
    expected: Vec<SpiffeId>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Clients {
    pub(super) fn accepted(accepted: Arc<Accepted>) -> Self {
        Self { accepted }
    }
}

impl Servers {
    /// Accepts the `expected` identities; when there are none, nobody.
    pub(super) fn expected(expected: &[SpiffeId], accepted: Arc<Accepted>) -> Self {
        Self {
            accepted,
            expected: expected.to_vec(),
            algorithms: crypto::provider().signature_verification_algorithms,
        }
    }
}

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.accepted.clients().root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.accepted.judge(End::Client, end_entity, intermediates, now)?;
        client(&self.accepted, end_entity).map_err(refuse)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.accepted.clients().verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.accepted.clients().verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.accepted.clients().supported_verify_schemes()
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
        self.accepted.judge(End::Server, end_entity, intermediates, now)?;
        server(&self.accepted, end_entity, &self.expected).map_err(refuse)?;
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
