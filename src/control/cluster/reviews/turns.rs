//! Whose turn it is to have a token reviewed.
//!
//! Anybody can make a token that looks like one, thousands a second, and only the API server can tell. So that this costs it little, and
//! nobody else his turn:
//!
//! | token | places | may be nobody's |
//! |---|---|---|
//! | was good before | its own | – |
//! | says it is of a node's proxy that is there | its own | so often for each pod, from each source; and so often from each source |
//! | says it is of another pod that is there, under the account that pod has | its own | the same, counted by itself |
//! | any other | its own | so often from each source |
//!
//! In go a token's claims and the source; out comes a place, or that this source has had its share. Who forges tokens has to know the
//! name of a node proxy's pod, or of ten, and sit behind the same address, to keep that proxy waiting, or all behind that address: names
//! of other pods do not help. Behind one address, a proxy nobody has heard of yet waits until its pod is known, a moment.

use culvert_serving::Source;
use culvert_token::claims::Claims;
use culvert_token::{Account, Stranger};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::budget::{Budgets, Pace};
use crate::cluster::pods::Pods;

/// Reviews at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    pub(crate) of_known: usize,
    pub(crate) of_nodes: usize,
    pub(crate) of_pods: usize,
    pub(crate) of_strangers: usize,
    /// How often tokens of a source may be nobody's, if nothing else speaks for them.
    pub(crate) bad: Pace,
    /// The same of those that say they are of one pod, which is there.
    pub(crate) bad_of_a_pod: Pace,
    /// The same of those that say they are of any pods, which are there; once for proxies of nodes, once for others.
    pub(crate) bad_of_all_pods: Pace,
}

/// Who waits, and who has had his share.
#[derive(Debug)]
pub(super) struct Turns {
    known: Semaphore,
    nodes: Queue,
    pods: Queue,
    strangers: Semaphore,
    bad: Budgets<Option<Source>>,
}

/// Where tokens wait that say they are of pods which are there.
#[derive(Debug)]
struct Queue {
    places: Semaphore,
    bad: Budgets<Option<Source>>,
    bad_of_a_pod: Budgets<Share>,
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
    OfNode(Share),
    OfPod(Share),
    Stranger(Option<Source>),
}

/// What a source has of the reviews of one pod's tokens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Share {
    from: Option<Source>,
    claims: Claims,
}

impl Turn {
    /// The one of a token that is not known, by what it says of itself; pods of trusted accounts are proxies of nodes.
    pub(super) fn of(claims: Claims, from: Option<Source>, pods: &dyn Pods, trusted: &[Account]) -> Self {
        let Claims { account, pod } = &claims;
        if !pods.runs(&account.namespace, pod, &account.name) {
            Self::Stranger(from)
        } else if trusted.contains(account) {
            Self::OfNode(Share { from, claims })
        } else {
            Self::OfPod(Share { from, claims })
        }
    }
}

impl Queue {
    fn new(places: usize, Places { bad_of_a_pod, bad_of_all_pods, .. }: &Places) -> Self {
        Self {
            places: Semaphore::new(places),
            bad: Budgets::new(*bad_of_all_pods),
            bad_of_a_pod: Budgets::new(*bad_of_a_pod),
        }
    }

    fn has(&self, share: &Share) -> bool {
        self.bad.has(&share.from) && self.bad_of_a_pod.has(share)
    }

    fn spend(&self, share: &Share) -> bool {
        if !self.bad_of_a_pod.spend(share) {
            return false;
        }
        let may = self.bad.spend(&share.from);
        if !may {
            self.bad_of_a_pod.give_back(share);
        }
        may
    }

    fn give_back(&self, share: &Share) {
        self.bad.give_back(&share.from);
        self.bad_of_a_pod.give_back(share);
    }
}

impl Turns {
    pub(super) fn new(places: &Places) -> Self {
        Self {
            known: Semaphore::new(places.of_known),
            nodes: Queue::new(places.of_nodes, places),
            pods: Queue::new(places.of_pods, places),
            strangers: Semaphore::new(places.of_strangers),
            bad: Budgets::new(places.bad),
        }
    }

    /// Waits for a place.
    pub(super) async fn place<'a>(&'a self, turn: &'a Turn) -> Result<Place<'a>, Stranger> {
        let (places, has_any) = match turn {
            Turn::Known => (&self.known, true),
            Turn::OfNode(share) => (&self.nodes.places, self.nodes.has(share)),
            Turn::OfPod(share) => (&self.pods.places, self.pods.has(share)),
            Turn::Stranger(from) => (&self.strangers, self.bad.has(from)),
        };
        // Who has had his share does not wait with the others.
        if !has_any {
            return Err(Stranger::TooMany);
        }
        let permit = places.acquire().await.expect("the semaphore is never closed");
        let may = match turn {
            Turn::Known => true,
            Turn::OfNode(share) => self.nodes.spend(share),
            Turn::OfPod(share) => self.pods.spend(share),
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
            Turn::OfNode(share) => self.turns.nodes.give_back(share),
            Turn::OfPod(share) => self.turns.pods.give_back(share),
            Turn::Stranger(from) => self.turns.bad.give_back(from),
        }
    }
}

#[cfg(test)]
mod tests;
