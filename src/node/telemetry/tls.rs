//! Whom a collector's certificate must chain to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::crypto;

/// Roots that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the roots of OTEL_EXPORTER_OTLP_CERTIFICATE cannot be read from {}", path.display())]
    Unreadable { path: PathBuf, source: rustls_pki_types::pem::Error },
    #[error(
        "there is no certificate in {origin}; set OTEL_EXPORTER_OTLP_CERTIFICATE to the roots of the collector"
    )]
    NoRoot { origin: String },
    #[error("TLS towards the collector cannot be set up")]
    Tls(#[source] rustls::Error),
    #[error("TLS towards the collector cannot be set up")]
    Channel(#[source] tonic::transport::Error),
    #[error("the host of OTEL_EXPORTER_OTLP_ENDPOINT is no name a certificate could have")]
    Name(#[source] rustls_pki_types::InvalidDnsNameError),
    #[error("the roots for the collector cannot be used")]
    Verifier(#[source] rustls::client::VerifierBuilderError),
}

/// The roots of a file, or the system's.
pub(super) fn roots(file: Option<&Path>) -> Result<Arc<RootCertStore>, Error> {
    let (certificates, origin) = match file {
        None => (rustls_native_certs::load_native_certs().certs, "the system's trust store".to_owned()),
        Some(path) => {
            let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
            let certificates: Result<Vec<_>, _> =
                CertificateDer::pem_file_iter(path).map_err(unreadable)?.collect();
            (certificates.map_err(unreadable)?, path.display().to_string())
        }
    };
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(certificates);
    if store.is_empty() { Err(Error::NoRoot { origin }) } else { Ok(Arc::new(store)) }
}

/// What judges a certificate by these roots.
pub(super) fn verifier(roots: Arc<RootCertStore>) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    let provider = Arc::clone(crypto::provider());
    Ok(WebPkiServerVerifier::builder_with_provider(roots, provider).build().map_err(Error::Verifier)?)
}

/// How TLS is spoken for HTTP/1.1.
pub(super) fn client(roots: Arc<RootCertStore>) -> Result<Arc<ClientConfig>, Error> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(crypto::provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(Error::Tls)?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
