//! This server's own certificate, issued by its own root and renewed before it lapses, and when the root changes.
//!
//! In go the names the server is reached by; out come TLS configurations, the newest one for each new connection.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use culvert_core::renewal;
use culvert_process::exit::Chain;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::sync::watch;

use crate::authority::{self, Authority};
use crate::live::Live;
use crate::root::Root;

/// Names every server has.
const OWN_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The newest configuration.
pub(crate) type Tls = watch::Receiver<Arc<ServerConfig>>;

/// Why the server has no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("this server's own certificate cannot be issued")]
    Sign(#[from] authority::Error),
    #[error("this server's own certificate cannot be used")]
    Tls(#[from] rustls::Error),
}

/// Issues a certificate for these names; the second value renews it for as long as it is run.
pub(crate) fn keep(
    authority: Arc<Authority>,
    mut names: Vec<String>,
) -> Result<(Tls, impl Future<Output = ()> + Send), Error> {
    names.extend(OWN_NAMES.map(str::to_owned));
    names.sort();
    names.dedup();
    // Before the first certificate: a root that changes in between is seen.
    let mut root = authority.root();
    root.mark_unchanged();
    let (first, mut pause) = issue(&authority, &names)?;
    let (publish, tls) = watch::channel(first);
    let renew = async move {
        let mut failures = 0;
        loop {
            // A root that can change no more leaves the pause to wait for.
            let _ = tokio::time::timeout(pause, changed(&mut root)).await;
            match issue(&authority, &names) {
                Ok((config, next)) => {
                    failures = 0;
                    pause = next;
                    publish.send_replace(config);
                }
                Err(error) => {
                    failures += 1;
                    pause = renewal::after_failure(failures, None, None, entropy());
                    tracing::error!(error = %Chain(&error), retry_in = ?pause, "server certificate not renewed");
                }
            }
        }
    };
    Ok((tls, renew))
}

/// Waits for another root. Cancel safe.
async fn changed(root: &mut Live<Root>) {
    if root.changed().await.is_err() {
        std::future::pending().await
    }
}

/// A configuration, and how long to use it.
fn issue(authority: &Authority, names: &[String]) -> Result<(Arc<ServerConfig>, Duration), Error> {
    let now = SystemTime::now();
    let (leaf, key) = authority.sign_server(names, now)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(leaf.chain_der(), key.into())?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    let pause = renewal::after_success(leaf.validity, now, entropy());
    tracing::info!(serial = leaf.serial, not_after = leaf.not_after, ?names, "server certificate issued");
    Ok((Arc::new(config), pause))
}

/// Jitter need not be random: when the system has no random numbers, there is none.
fn entropy() -> u64 {
    let mut bytes = [0; 8];
    match ::aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => 0,
    }
}
