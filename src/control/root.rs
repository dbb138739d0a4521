//! The root of the mesh: the keys and certificates in a directory, and which of them signs.
//!
//! Made at the first start; from then on only read, and read again when [`rotation`] has moved it on. Whatever is wrong
//! with what is there is an error: a root that is silently made anew would cut every workload off from every other.
//!
//! `root-cert.pem` decides: it holds what clients trust, the certificate that signs first. Whichever of the two key files
//! belongs to that certificate is the key that signs.
//!
//! ```text
//! stage      root-cert.pem   signs         sent along with leaves
//! steady     old             root-key.pem  –
//! prepared   old, new        root-key.pem  –
//! active     new, old        next-key.pem  cross-cert.pem: the new key, certified by the old root
//! steady     new             next-key.pem, which then takes the place of root-key.pem
//! ```

mod directory;
mod error;
pub(crate) mod rotation;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use culvert_core::renewal::Validity;
use culvert_process::exit::Chain;
use culvert_process::follow::Follower;
use rcgen::{Issuer, KeyPair};
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

use crate::live::Live;

use directory::{Directory, Read};

pub(crate) use error::Error;

/// How far certificates are dated back, for clocks that are behind.
pub(crate) const BACKDATE: Duration = Duration::from_secs(120);

/// How long to wait before a directory that cannot be used is read again.
const RETRY: Duration = Duration::from_millis(500);

/// The root, ready to sign.
#[derive(Debug)]
pub(crate) struct Root {
    issuer: Issuer<'static, KeyPair>,
    /// What clients trust, as PEM: one certificate or two, that of the issuer first.
    bundle: String,
    validity: Validity,
    stage: Stage,
    cross: Option<Cross>,
}

/// The certificate through which those who know the old root alone accept what the new one signs.
#[derive(Debug)]
pub(crate) struct Cross {
    pub(crate) pem: String,
    pub(crate) der: CertificateDer<'static>,
}

/// How far a rotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// There is one root.
    Steady,
    /// A second root is trusted, the first one signs.
    Prepared,
    /// The second root signs, the first one is still trusted.
    Active,
}

/// Reads the root of a directory, or makes one if there is none; the second value follows it for as long as it is run.
pub(crate) fn follow(
    dir: &Path,
    now: SystemTime,
) -> Result<(Live<Root>, impl Future<Output = ()> + Send + use<>), Error> {
    let directory = Directory::new(dir);
    directory.make_if_empty(now)?;
    let (mut follower, _) = Follower::open(&directory.certificate())
        .map_err(|source| Error::Unreadable { path: directory.certificate(), source })?;
    let (publish, live) = watch::channel(Arc::new(Root::open(&directory, now)?));
    let follow = async move {
        loop {
            // What can be read tells nothing that opening it does not.
            let _ = follower.changed().await;
            let root = reopen(&directory).await;
            tracing::info!(stage = %root.stage, "root taken");
            publish.send_replace(Arc::new(root));
        }
    };
    Ok((live, follow))
}

/// Reads the root until that succeeds; says once why it does not. What is there keeps signing meanwhile.
async fn reopen(directory: &Directory) -> Root {
    let mut said = String::new();
    loop {
        match Root::open(directory, SystemTime::now()) {
            Ok(root) => return root,
            Err(error) => {
                let text = Chain(&error).to_string();
                if text != said {
                    tracing::error!(error = text, "root cannot be used, keeping the one before it");
                    said = text;
                }
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

impl Root {
    fn open(directory: &Directory, now: SystemTime) -> Result<Self, Error> {
        let Read { bundle, signing, key, stage } = directory.read(now)?;
        let cross = (stage == Stage::Active).then(|| directory.read_cross(&key)).transpose()?;
        let validity = signing.validity;
        let issuer = Issuer::from_ca_cert_der(&signing.der, key)?;
        Ok(Self { issuer, bundle, validity, stage, cross })
    }

    /// What signs.
    pub(crate) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    /// What clients have to trust, as PEM.
    pub(crate) fn bundle(&self) -> &str {
        &self.bundle
    }

    /// What goes between a leaf and the roots.
    pub(crate) fn cross(&self) -> Option<&Cross> {
        self.cross.as_ref()
    }

    pub(crate) fn validity(&self) -> Validity {
        self.validity
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Steady => "steady",
            Self::Prepared => "prepared",
            Self::Active => "active",
        })
    }
}

#[cfg(test)]
mod tests;
