//! The root of the mesh: its keys and certificates, and which of them signs. They are kept in a directory.
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
//!
//! `leaves.json` says until when certificates live that each of them has signed ([`leaves`]).

mod certificate;
mod directory;
mod error;
pub(crate) mod leaves;
pub(crate) mod plugged;
pub(crate) mod rotation;
pub(crate) mod texts;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use culvert_core::renewal::Validity;
use culvert_kubernetes::Pace;
use culvert_process::exit::Chain;
use culvert_process::follow::Follower;
use rcgen::{Issuer, KeyPair, PublicKeyData as _};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::sync::watch;

use crate::live::Live;

use directory::Directory;
use leaves::{Fingerprint, Signed};
use texts::{Part, Problem, Read, Texts};

pub(crate) use error::Error;

/// How far certificates are dated back, for clocks that are behind.
pub(crate) const BACKDATE: Duration = Duration::from_secs(120);

/// How long to wait before a directory that cannot be used is read again.
const RETRY: Duration = Duration::from_millis(500);

/// How long to wait at most before something is noted again in a directory that cannot be written to.
const KEEP: Duration = Duration::from_secs(300);

/// The root, ready to sign.
#[derive(Debug)]
pub(crate) struct Root {
    issuer: Issuer<'static, KeyPair>,
    /// What clients trust, as PEM: one certificate or two, that of the issuer first.
    bundle: String,
    validity: Validity,
    stage: Stage,
    /// The certificate that signs.
    signing: CertificateDer<'static>,
    /// What leads from the certificate that signs to what clients trust, when they may not trust it itself.
    between: Vec<Intermediate>,
}

/// What somebody else has made to be the authority of this mesh, or of a part of a larger one, as PEM.
pub(crate) struct Plugged<'a> {
    /// What signs; what follows it leads to a root.
    pub(crate) certificates: &'a str,
    pub(crate) key: &'a str,
    /// What clients trust.
    pub(crate) roots: &'a str,
}

/// A certificate between a leaf and a root: during a rotation that of the new root by the old one, through which those who know the
/// old root alone accept what the new one signs.
#[derive(Debug)]
pub(crate) struct Intermediate {
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
    let path = directory.file(Part::Certificate);
    let (mut follower, _) =
        Follower::open(&path).map_err(|source| Error::Unreadable { path: path.clone(), source })?;
    let (publish, live) = watch::channel(Arc::new(open(&directory, now)?));
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
        match open(directory, SystemTime::now()) {
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

/// Notes in the directory until when certificates live that its roots sign, for as long as it is run; of a root nothing is known of, the
/// longest life there is counts from now on.
pub(crate) async fn keep_leaves(dir: PathBuf, root: Live<Root>, signed: Signed, longest: Duration) {
    let directory = Directory::new(&dir);
    let pace = Pace { first: RETRY, longest: KEEP, ..Pace::default() };
    let keep = |new| std::future::ready(directory.keep_leaves(&new, SystemTime::now() + longest));
    signed.kept(root, pace, keep).await;
}

fn open(directory: &Directory, now: SystemTime) -> Result<Root, Error> {
    Root::of(&directory.load()?, now).map_err(|problem| directory.at(problem))
}

impl Root {
    /// Reads the root that texts make up.
    pub(crate) fn of(texts: &Texts, now: SystemTime) -> Result<Self, Problem> {
        let Read { bundle, signing, key, stage } = texts.read(now)?;
        let cross = (stage == Stage::Active).then(|| texts.read_cross(&key)).transpose()?;
        let validity = signing.validity;
        let issuer = Issuer::from_ca_cert_der(&signing.der, key)?;
        let (signing, between) = (signing.der, cross.into_iter().collect());
        Ok(Self { issuer, bundle, validity, stage, signing, between })
    }

    /// What names it among others.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.issuer.key().subject_public_key_info())
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
    pub(crate) fn between(&self) -> &[Intermediate] {
        &self.between
    }

    /// Tells whether who trusts these certificates alone, given as PEM, trusts what this one signs.
    pub(crate) fn is_trusted_by(&self, roots: &str, now: SystemTime) -> bool {
        let roots: Vec<_> = CertificateDer::pem_slice_iter(roots.as_bytes()).filter_map(Result::ok).collect();
        let shown = self.between.iter().map(|it| &it.der).filter(|der| **der != self.signing);
        let chain: Vec<_> = [&self.signing].into_iter().chain(shown).cloned().collect();
        plugged::leading_to(&chain, &roots, now).is_ok()
    }

    /// Tells whether this one may take the place of another while certificates of both are in use: whoever trusts what clients trusted
    /// so far trusts what it signs, and whoever trusts what clients trust from now on trusts what the other one has signed.
    pub(crate) fn may_follow(&self, other: &Self, now: SystemTime) -> bool {
        self.is_trusted_by(&other.bundle, now) && other.is_trusted_by(&self.bundle, now)
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    pub(crate) fn validity(&self) -> Validity {
        self.validity
    }
}

/// Two that sign as one and the same are one.
impl PartialEq for Root {
    fn eq(&self, other: &Self) -> bool {
        let signs = |root: &Self| root.issuer.key().subject_public_key_info();
        let shown = |root: &Self| root.between.iter().map(|it| it.der.clone()).collect::<Vec<_>>();
        (signs(self), &self.bundle, shown(self)) == (signs(other), &other.bundle, shown(other))
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
