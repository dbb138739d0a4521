//! What a handshake has proven of the peer, and for how long it holds.
//!
//! In goes the chain the peer presented, in this handshake or in the one that is resumed; out comes a [`Proof`]: who the
//! peer is, until when its certificate and ours are valid, and word when its certificate is revoked. A resumed session
//! skips the verification of a full handshake, so time, revocation and identity are looked at here in every case; roots
//! are not, because a session is never resumed across a change of roots.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use culvert_core::identity::SpiffeId;
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::watch;

use super::certificate::Certificate;
use super::revocation::{End, Lists, Presented};
use super::verify::{self, Refused};
use super::x509::X509;

/// How often the wall clock is looked at: the monotonic clock does not count the time a machine sleeps.
const LOOK: Duration = Duration::from_secs(30);

/// A peer that has proven who it is.
#[derive(Debug)]
pub(crate) struct Proof {
    id: SpiffeId,
    until: SystemTime,
    /// None where nothing is ever revoked.
    kept: Option<Kept>,
}

/// What the peer was accepted by, for judging it again.
#[derive(Debug)]
struct Kept {
    end: End,
    leaf: CertificateDer<'static>,
    rest: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
    at: UnixTime,
    lists: watch::Receiver<Arc<Lists>>,
}

impl Certificate {
    /// Judges the client of an accepted connection.
    pub(crate) fn client(&self, chain: Option<&[CertificateDer<'static>]>) -> Result<Proof, Refused> {
        self.prove(End::Client, chain, |leaf| verify::client(&self.accepted(), leaf))
    }

    /// Judges the server of a connection we made.
    pub(crate) fn server(
        &self,
        chain: Option<&[CertificateDer<'static>]>,
        expected: &[SpiffeId],
    ) -> Result<Proof, Refused> {
        self.prove(End::Server, chain, |leaf| verify::server(&self.accepted(), leaf, expected))
    }

    fn prove(
        &self,
        end: End,
        chain: Option<&[CertificateDer<'static>]>,
        identity: impl Fn(&CertificateDer<'_>) -> Result<SpiffeId, Refused>,
    ) -> Result<Proof, Refused> {
        let (leaf, rest) = chain.and_then(<[_]>::split_first).ok_or(Refused::NoCertificate)?;
        let id = identity(leaf)?;
        let now = SystemTime::now();
        let read = X509::read(leaf.clone()).ok_or(Refused::NoCertificate)?;
        let until = read.validity.not_after.min(self.validity().not_after);
        if now > until {
            return Err(Refused::Expired { at: until });
        }
        let lists = self.trust().lists();
        let followed = lists.has_changed().is_ok();
        let kept = followed.then(|| Kept {
            end,
            leaf: leaf.clone(),
            rest: rest.to_vec(),
            roots: Arc::clone(self.accepted().roots()),
            at: UnixTime::now(),
            lists,
        });
        if kept.as_ref().is_some_and(Kept::is_revoked) {
            return Err(Refused::Revoked);
        }
        Ok(Proof { id, until, kept })
    }
}

impl Proof {
    /// The first SPIFFE identity of the peer's certificate that was looked for.
    pub(crate) fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// Whether the peer's certificate or our own has run out.
    pub(crate) fn is_expired(&self) -> bool {
        SystemTime::now() > self.until
    }

    /// Resolves when the peer's certificate or our own has run out. Cancel safe.
    pub(crate) async fn expired(&self) {
        while let Ok(left) = self.until.duration_since(SystemTime::now()) {
            // A moment longer: the last moment is still valid.
            tokio::time::sleep(left.min(LOOK) + Duration::from_millis(1)).await;
        }
    }

    /// Resolves when the peer's certificate is revoked. A list that came between the handshake and the first call
    /// counts, too. Cancel safe.
    pub(crate) async fn revoked(&self) {
        let Some(kept) = &self.kept else { return std::future::pending().await };
        let mut lists = kept.lists.clone();
        loop {
            lists.mark_unchanged();
            if kept.is_revoked() {
                return;
            }
            if lists.changed().await.is_err() {
                // Whoever reads the lists is gone; no more will come.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Kept {
    /// Judges the chain by the lists of this moment, at the time it was presented.
    fn is_revoked(&self) -> bool {
        let Self { end, leaf, rest, roots, at, lists } = self;
        let lists = Arc::clone(&lists.borrow());
        let revoked = lists.revoke(Presented { end: *end, leaf, rest, roots, at: *at });
        if revoked {
            end.count_revoked();
        }
        revoked
    }
}

#[cfg(test)]
mod tests;
