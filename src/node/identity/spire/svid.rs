//! What SPIRE says of one identity: certificate, key and sometimes the trust bundle, judged before it is used.
//!
//! Keys are handed to AWS-LC the moment they come in, and their encoded form is wiped, those of SVIDs nobody asked for included. Out
//! of reach are the buffers of the gRPC library a message came through: they are freed or used again, and not wiped.

use std::sync::Arc;
use std::time::SystemTime;

use culvert_core::identity::SpiffeId;
use culvert_proto::spire::delegated::X509svidWithKey;
use culvert_proto::spire::workload;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::SigningKey;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::identity::certificate::{Certificate, Versions};
use crate::identity::response::{self, Asked};
use crate::identity::x509::{self, X509};

/// The certificates of a trust domain's authorities.
pub(super) type Bundle = Arc<[X509]>;

/// What came.
pub(super) struct Svid {
    /// Whom it is said to be for.
    pub(super) id: String,
    /// The leaf, then the intermediates; `None` when they cannot be read.
    chain: Option<Vec<X509>>,
    key: Result<Arc<dyn SigningKey>, rustls::Error>,
    /// `None` where it comes by another way.
    pub(super) bundle: Option<Bundle>,
}

/// What is wrong with it.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Error {
    #[error("its certificates cannot be read")]
    NotCertificates,
    #[error("its key cannot be used")]
    Key(#[source] rustls::Error),
    #[error("its certificate has the names {seen:?}, and must have {asked} alone")]
    Names { asked: SpiffeId, seen: Vec<String> },
    #[error(transparent)]
    Answer(#[from] response::Error),
}

impl Svid {
    pub(super) fn of_workload(said: workload::X509svid) -> Self {
        let bundle = x509::series(&said.bundle).unwrap_or_default();
        let (chain, key) = (x509::series(&said.x509_svid), key(said.x509_svid_key));
        Self { id: said.spiffe_id, chain, key, bundle: Some(bundle.into()) }
    }

    pub(super) fn of_delegate(said: X509svidWithKey) -> Self {
        let key = key(said.x509_svid_key);
        let svid = said.x509_svid.unwrap_or_default();
        let id = svid.id.unwrap_or_default();
        let id = format!("spiffe://{}/{}", id.trust_domain, id.path.trim_start_matches('/'));
        Self { id, chain: x509::series(&svid.cert_chain.concat()), key, bundle: None }
    }

    /// The leaf, if it can be read.
    pub(super) fn leaf(&self) -> Option<&X509> {
        self.chain.as_ref()?.first()
    }

    /// Judges it as the answer to whom it was asked for.
    pub(super) fn certificate(
        &self,
        id: &SpiffeId,
        bundle: &Bundle,
        versions: Versions,
    ) -> Result<Certificate, Error> {
        let now = SystemTime::now();
        let chain = self.chain.clone().ok_or(Error::NotCertificates)?;
        let seen = self.leaf().map(|leaf| x509::uris(&leaf.der)).unwrap_or_default();
        if seen != [id.to_string()] {
            return Err(Error::Names { asked: id.clone(), seen });
        }
        let key = self.key.as_ref().map_err(|error| Error::Key(error.clone()))?;
        let public = key.public_key();
        let asked = Asked { id, public_key: public.as_ref().map_or(&[], |key| key.as_ref()) };
        let issued = response::judge(chain, bundle.to_vec(), &asked, now)?.verified(now)?;
        Ok(Certificate::new(issued, Arc::clone(key), versions))
    }
}

/// Takes a key over. Its encoded form is wiped here, whatever it was.
fn key(der: Vec<u8>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
    let der = Zeroizing::new(der);
    any_supported_type(&PrivateKeyDer::from(PrivatePkcs8KeyDer::from(der.as_slice())))
}
