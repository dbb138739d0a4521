//! Whose turn it is to have a token reviewed.
//!
//! Anybody can make a token that looks like one, thousands a second, and only the API server can tell. So that this costs it little, and
//! nobody else his turn:
//!
//! | token | places | may be nobody's |
//! |---|---|---|
//! | was good before | its own | – |
//! | says it is of a pod that is there, under the account that pod has | its own | so often for each pod, from each source |
//! | any other | its own | so often from each source |
//!
//! In go a token's claims and the source; out comes a place, or that this source has had its share. Who forges tokens has to know the
//! name of a node proxy's pod, and sit behind the same address, to keep that proxy waiting; and behind one address, a proxy nobody has
//! heard of yet waits until its pod is known, a moment.

use culvert_serving::Source;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::budget::{Budgets, Pace};
use crate::callers::Stranger;
use crate::cluster::pods::Pods;

use super::claims::Claims;

/// Reviews at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    pub(crate) of_known: usize,
    pub(crate) of_pods: usize,
    pub(crate) of_strangers: usize,
    /// How often tokens of a source may be nobody's, if nothing else speaks for them.
    pub(crate) bad: Pace,
    /// The same of those that say they are of one pod, which is there.
    pub(crate) bad_of_a_pod: Pace,
}

/// Who waits, and who has had his share.
#[derive(Debug)]
pub(super) struct Turns {
    known: Semaphore,
    pods: Semaphore,
    strangers: Semaphore,
    bad: Budgets<Option<Source>>,
    bad_of_pods: Budgets<(Option<Source>, Claims)>,
}

/// A place, and what is charged for it if the token turns out to be nobody's.
#[derive(Debug)]
pub(super) struct Place<'a> {
    turns: &'a Turns,
    turn: &'a Turn,
    _permit: SemaphorePermit<'a>,
}

/// In which queue a token is, and at whose expense.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Known,
    OfPod(Option<Source>, Claims),
    Stranger(Option<Source>),
}

impl Turn {
    /// The one of a token that is not known, by what it says of itself.
    pub(super) fn of(claims: Claims, from: Option<Source>, pods: &dyn Pods) -> Self {
        let Claims { account, pod } = &claims;
        if pods.runs(&account.namespace, pod, &account.name) {
            Self::OfPod(from, claims)
        } else {
            Self::Stranger(from)
        }
    }
}

impl Turns {
    pub(super) fn new(places: &Places) -> Self {
        Self {
            known: Semaphore::new(places.of_known),
            pods: Semaphore::new(places.of_pods),
            strangers: Semaphore::new(places.of_strangers),
            bad: Budgets::new(places.bad),
            bad_of_pods: Budgets::new(places.bad_of_a_pod),
        }
    }

    /// Waits for a place.
    pub(super) async fn place<'a>(&'a self, turn: &'a Turn) -> Result<Place<'a>, Stranger> {
        let (places, has_any) = match turn {
            Turn::Known => (&self.known, true),
            Turn::OfPod(from, claims) => (&self.pods, self.bad_of_pods.has(&(*from, claims.clone()))),
            Turn::Stranger(from) => (&self.strangers, self.bad.has(from)),
        };
        // Who has had his share does not wait with the others.
        if !has_any {
            return Err(Stranger::TooMany);
        }
        let permit = places.acquire().await.expect("the semaphore is never closed");
        let may = match turn {
            Turn::Known => true,
            Turn::OfPod(from, claims) => self.bad_of_pods.spend(&(*from, claims.clone())),
            Turn::Stranger(from) => self.bad.spend(from),
        };
        if may { Ok(Place { turns: self, turn, _permit: permit }) } else { Err(Stranger::TooMany) }
    }
}

impl Place<'_> {
    /// The token was somebody's, or nobody knows: it costs its source nothing. Who does not wait for the answer pays.
    pub(super) fn free_of_charge(self) {
        match self.turn {
            Turn::Known => {}
            Turn::OfPod(from, claims) => self.turns.bad_of_pods.give_back(&(*from, claims.clone())),
            Turn::Stranger(from) => self.turns.bad.give_back(from),
        }
    }
}
