//! This server's own certificate, issued by its own root and renewed before it lapses, and when the root changes.
//!
//! In go the names the server is reached by; out come TLS configurations, the newest one for each new connection. One that was issued
//! while the clock was wrong is replaced when the clock is put right: nobody else believes in it then.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use culvert_core::renewal::{self, Validity};
use culvert_process::exit::Chain;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::authority::{self, Authority};
use crate::live::Live;
use crate::root::Root;

/// Names every server has.
const OWN_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// How often the wall clock is looked at: it is put right, or a machine has slept, without any timer noticing.
const LOOK: Duration = Duration::from_secs(5);

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
    names: Vec<String>,
) -> Result<(Tls, impl Future<Output = ()> + Send), Error> {
    keep_by(SystemTime::now, authority, names)
}

/// The same, by any clock.
fn keep_by(
    clock: impl Fn() -> SystemTime + Send + Sync + 'static,
    authority: Arc<Authority>,
    mut names: Vec<String>,
) -> Result<(Tls, impl Future<Output = ()> + Send), Error> {
    names.extend(OWN_NAMES.map(str::to_owned));
    names.sort();
    names.dedup();
    // Before the first certificate: a root that changes in between is seen.
    let mut root = authority.root();
    root.mark_unchanged();
    let (first, mut use_of_it) = issue(&authority, &names, clock())?;
    let (publish, tls) = watch::channel(first);
    let renew = async move {
        let mut failures = 0;
        loop {
            use_of_it.ends(&clock, &mut root).await;
            match issue(&authority, &names, clock()) {
                Ok((config, next)) => {
                    failures = 0;
                    use_of_it = next;
                    publish.send_replace(config);
                }
                Err(error) => {
                    failures += 1;
                    let pause = renewal::after_failure(failures, None, None, entropy());
                    use_of_it = Use { pause, validity: None };
                    tracing::error!(error = %Chain(&error), retry_in = ?pause, "server certificate not renewed");
                }
            }
        }
    };
    Ok((tls, renew))
}

/// How long a certificate is used.
#[derive(Debug)]
struct Use {
    pause: Duration,
    /// When it is valid; none if it was not even when it was issued.
    validity: Option<Validity>,
}

impl Use {
    /// Waits for the pause to end by either clock, for another root, or for the certificate to be invalid by a clock that was put right.
    async fn ends(&self, clock: &(impl Fn() -> SystemTime + Sync), root: &mut Live<Root>) {
        let (end, due) = (Instant::now() + self.pause, clock() + self.pause);
        let is_of_use = || self.validity.is_none_or(|validity| validity.contains(clock()));
        while Instant::now() < end && clock() < due && is_of_use() {
            // A root that can change no more leaves the pause to wait for.
            if timeout_at(end.min(Instant::now() + LOOK), changed(root)).await.is_ok() {
                return;
            }
        }
    }
}

/// Waits for another root. Cancel safe.
async fn changed(root: &mut Live<Root>) {
    if root.changed().await.is_err() {
        std::future::pending().await
    }
}

/// A configuration, and how long to use it.
fn issue(
    authority: &Authority,
    names: &[String],
    now: SystemTime,
) -> Result<(Arc<ServerConfig>, Use), Error> {
    let (leaf, key) = authority.sign_server(names, now)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(leaf.chain_der(), key.into())?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    let pause = renewal::after_success(leaf.validity, now, entropy());
    tracing::info!(serial = leaf.serial, not_after = leaf.not_after, ?names, "server certificate issued");
    let validity = Some(leaf.validity).filter(|validity| validity.contains(now));
    Ok((Arc::new(config), Use { pause, validity }))
}

/// Jitter need not be random: when the system has no random numbers, there is none.
fn entropy() -> u64 {
    let mut bytes = [0; 8];
    match ::aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn a_certificate_issued_by_a_wrong_clock_is_replaced_when_the_clock_is_right() {
        let dir = std::env::temp_dir().join(format!("culvert-control-clock-{}", std::process::id()));
        let now = SystemTime::now();
        let (root, _) = crate::root::follow(&dir, now).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        for wrong in [now + HOUR * 30, now - HOUR * 24 * 9] {
            let clock = Arc::new(Mutex::new(wrong));
            let read = Arc::clone(&clock);
            let authority = Arc::new(Authority::new(root.clone()));
            let (mut tls, renew) = keep_by(move || *read.lock().unwrap(), authority, Vec::new()).unwrap();
            let renewing = tokio::spawn(renew);
            let none = tokio::time::timeout(HOUR / 2, tls.changed()).await;
            assert!(none.is_err(), "nothing has changed, {wrong:?}");
            *clock.lock().unwrap() = now;
            tokio::time::timeout(LOOK * 2, tls.changed()).await.expect("it is replaced").unwrap();
            let none = tokio::time::timeout(HOUR / 2, tls.changed()).await;
            assert!(none.is_err(), "once is enough, {wrong:?}");
            renewing.abort();
        }
    }
}
