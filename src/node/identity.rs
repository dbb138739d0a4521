//! Certificates of the workloads on this node: fetched, kept, renewed and dropped, one per identity.
//!
//! In goes an identity; out comes a [`Certificate`] that is valid at this moment, with the TLS configurations of both
//! ends of a tunnel, or the reason why there is none. An [`issuer`] makes them: [`ca`] speaks to a certificate authority, [`spire`] to the agent of SPIRE. [`renewer`] is the
//! life of one identity, [`queue`] says whose turn it is; [`trust`] is what is accepted of peers, [`verify`] judges them in
//! the handshake, [`proof`] after it and for as long as the tunnel lives, [`revocation`] by the lists of `CRL_PATH`.
//! Nothing here decides which identities a node needs: callers ask ([`Identities::certificate`],
//! [`Identities::prefetch`]) and say what may go ([`Identities::retain`]).

pub(crate) mod ca;
mod certificate;
pub(crate) mod issuer;
mod proof;
mod queue;
mod renewer;
mod request;
mod response;
pub(crate) mod revocation;
mod sessions;
pub(crate) mod spire;
#[cfg(test)]
pub(crate) mod testing;
mod trust;
mod verify;
mod x509;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use culvert_core::identity::SpiffeId;
use culvert_process::exit::Chain;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

pub(crate) use certificate::Certificate;
pub(crate) use proof::Proof;
pub(crate) use trust::Trust;
pub(crate) use verify::Refused;
pub(crate) use x509::X509;

use issuer::Issuer;
use queue::Priority;
use renewer::{Renewer, Source, State, Trouble};

/// The certificates of this node. Cheap to clone; the last clone dropped ends all renewals.
#[derive(Clone)]
pub(crate) struct Identities(Arc<Inner>);

struct Inner {
    source: Arc<Source>,
    entries: Mutex<HashMap<SpiffeId, Entry>>,
}

/// One identity that is kept.
struct Entry {
    state: watch::Receiver<State>,
    /// Tells the renewer that a connection waits.
    demand: Arc<Notify>,
    trouble: Trouble,
    /// Runs the renewer; aborts it when the entry goes.
    _renewal: JoinSet<()>,
}

/// Why there is no certificate. Clone: everybody who waited for it gets the same answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Error {
    #[error("the certificate could not be fetched")]
    Fetch(#[from] issuer::Error),
    #[error("no certificate came within {:?} (certificate deadline)", issuer::DEADLINE)]
    TimedOut,
    #[error("the identity is no longer needed on this node")]
    Forgotten,
}

/// What the admin port shows of one identity.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) identity: SpiffeId,
    /// `Initializing`, `Available`, or `Unavailable: <why>`.
    pub(crate) state: String,
    pub(crate) phase: Phase,
    /// Why there is none, or why the one there is was not renewed.
    pub(crate) error: Option<String>,
    /// The leaf, then the intermediates. Empty unless available.
    pub(crate) chain: Vec<X509>,
    /// The trust anchors that came with the leaf. Empty unless available.
    pub(crate) roots: Vec<X509>,
}

/// Whether an identity has a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It was asked for.
    Initializing,
    Available,
    Unavailable,
}

/// How many identities there are, by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    pub(crate) initializing: usize,
    pub(crate) available: usize,
    pub(crate) unavailable: usize,
    /// When the first of the certificates that are held runs out.
    pub(crate) first_expiry: Option<SystemTime>,
}

impl Identities {
    /// Starts with no identity. Must be used within a tokio runtime.
    pub(crate) fn new(issuer: impl Issuer, trust: Trust) -> Self {
        Self::with_clock(issuer, trust, SystemTime::now)
    }

    fn with_clock(
        issuer: impl Issuer,
        trust: Trust,
        clock: impl Fn() -> SystemTime + Send + Sync + 'static,
    ) -> Self {
        let source = Arc::new(Source::new(Arc::new(issuer), trust, Box::new(clock)));
        Self(Arc::new(Inner { source, entries: Mutex::default() }))
    }

    /// Gives a valid certificate, and waits for one up to [`issuer::DEADLINE`].
    ///
    /// The first request for an identity starts to fetch it; from then on it is renewed until [`Self::retain`] drops it.
    /// A request while the authority fails makes it try again, at most once a second.
    pub(crate) async fn certificate(&self, id: &SpiffeId) -> Result<Arc<Certificate>, Error> {
        let (mut state, demand) = self.entry(id, Priority::RealTime);
        if let Some(certificate) = self.usable(&state.borrow_and_update()) {
            return Ok(certificate);
        }
        demand.notify_one();
        let decided = async {
            loop {
                state.changed().await.map_err(|_| Error::Forgotten)?;
                match &*state.borrow_and_update() {
                    State::Initializing => {}
                    State::Available(certificate) => return Ok(Arc::clone(certificate)),
                    State::Unavailable(error) => return Err(error.clone().into()),
                }
            }
        };
        tokio::time::timeout(issuer::DEADLINE, decided).await.unwrap_or(Err(Error::TimedOut))
    }

    /// Starts to fetch the certificate of an identity, unless it is already kept.
    pub(crate) fn prefetch(&self, id: &SpiffeId) {
        self.entry(id, Priority::Warmup);
    }

    /// Renews every certificate within a few seconds, because something about them may have changed: the roots. Those
    /// that are there are used meanwhile.
    pub(crate) fn renew_all(&self) {
        self.0.source.renew_all();
    }

    /// Forgets every identity that is not `wanted`; whoever waits for one of them is told.
    pub(crate) fn retain(&self, wanted: &HashSet<SpiffeId>) {
        self.entries().retain(|id, _| wanted.contains(id));
    }

    /// Lists what is kept, by identity.
    pub(crate) fn list(&self) -> Vec<Listed> {
        let mut listed: Vec<_> = self.entries().iter().map(|(id, entry)| self.describe(id, entry)).collect();
        listed.sort_by(|one, other| one.identity.cmp(&other.identity));
        listed
    }

    /// What is kept of an identity; if it is new, `priority` says how much its first certificate matters.
    /// Counts what is kept.
    pub(crate) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for entry in self.entries().values() {
            let state = entry.state.borrow();
            match (&*state, self.usable(&state)) {
                (State::Initializing, _) => tally.initializing += 1,
                (_, Some(held)) => {
                    tally.available += 1;
                    let expiry = held.validity().not_after;
                    tally.first_expiry = Some(tally.first_expiry.map_or(expiry, |first| first.min(expiry)));
                }
                (State::Available(_) | State::Unavailable(_), None) => tally.unavailable += 1,
            }
        }
        tally
    }

    fn entry(&self, id: &SpiffeId, priority: Priority) -> (watch::Receiver<State>, Arc<Notify>) {
        let mut entries = self.entries();
        let entry = entries.entry(id.clone()).or_insert_with(|| self.start(id.clone(), priority));
        (entry.state.clone(), Arc::clone(&entry.demand))
    }

    fn start(&self, id: SpiffeId, priority: Priority) -> Entry {
        let demand = Arc::new(Notify::new());
        let (publish, state) = watch::channel(State::Initializing);
        let trouble = Trouble::default();
        let source = Arc::clone(&self.0.source);
        let renewer =
            Renewer { id, source, publish, demand: Arc::clone(&demand), trouble: Arc::clone(&trouble) };
        let mut renewal = JoinSet::new();
        renewal.spawn(renewer.run(priority));
        Entry { state, demand, trouble, _renewal: renewal }
    }

    /// The certificate of a state, if it is valid at this moment.
    fn usable(&self, state: &State) -> Option<Arc<Certificate>> {
        let State::Available(certificate) = state else { return None };
        certificate.validity().contains(self.0.source.now()).then(|| Arc::clone(certificate))
    }

    fn describe(&self, id: &SpiffeId, entry: &Entry) -> Listed {
        let state = entry.state.borrow();
        let expired = || "the certificate has expired".to_owned();
        let (phase, why, held) = match &*state {
            State::Initializing => (Phase::Initializing, None, None),
            State::Unavailable(error) => (Phase::Unavailable, Some(Chain(error).to_string()), None),
            State::Available(_) => match self.usable(&state) {
                Some(held) => (Phase::Available, None, Some(held)),
                None => (Phase::Unavailable, Some(expired()), None),
            },
        };
        let text = match (phase, &why) {
            (Phase::Initializing, _) => "Initializing".to_owned(),
            (Phase::Available, _) => "Available".to_owned(),
            (Phase::Unavailable, why) => format!("Unavailable: {}", why.as_deref().unwrap_or_default()),
        };
        let trouble = entry.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (chain, roots) =
            held.map(|held| (held.chain().to_vec(), held.roots().to_vec())).unwrap_or_default();
        Listed { identity: id.clone(), state: text, phase, error: trouble.or(why), chain, roots }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<SpiffeId, Entry>> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
