//! One pod of Kubernetes in a survey: what speaks for which namespace, and what follows.
//!
//! Gathers the clues for [`choose`], which decides. Costs a few system calls for a pod whose witness is still there.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use culvert_sys::netns::Netns;
use culvert_sys::process::Processes;

use super::Missing;
use super::addresses::footing;
use super::choice::{Choice, Clues, Footing, Search, choose};
use super::scan::{Findings, Sought, Witness};

/// Where a pod was found the last time, and by which process.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) netns: Arc<Netns>,
    pub(super) witness: Option<Witness>,
}

/// What survives of a prospect.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) found: Result<Arc<Netns>, Missing>,
    pub(super) witness: Option<Witness>,
}

/// A pod that is looked for.
#[derive(Debug)]
pub(super) struct Prospect<'a> {
    uid: &'a str,
    addresses: &'a [IpAddr],
    /// What the enrolment holds.
    held: Option<Arc<Netns>>,
    handed: Option<Arc<Netns>>,
    current: Option<Arc<Netns>>,
    found: Option<Arc<Netns>>,
    /// A process in `current`, or in what was found.
    witness: Option<Witness>,
    clues: Clues,
    /// Why something could not be looked at.
    trouble: Option<Arc<io::Error>>,
}

/// What is known of a pod before it is looked for.
#[derive(Debug, Default)]
pub(super) struct Known<'k> {
    pub(super) handed: Option<Arc<Netns>>,
    pub(super) held: Option<&'k Arc<Netns>>,
    pub(super) seen: Option<&'k Seen>,
}

impl<'a> Prospect<'a> {
    /// Looks at what is known already.
    pub(super) fn look(
        (uid, addresses): (&'a str, &'a [IpAddr]),
        known: Known<'_>,
        processes: Option<&Processes>,
    ) -> Self {
        let vouched = |seen: &&Seen| {
            let there = |witness: Witness| witness.is_in(seen.netns.id(), processes?).ok();
            seen.witness.and_then(there).unwrap_or(false)
        };
        let vouched = known.seen.filter(vouched);
        let before = known.held.or(known.seen.map(|seen| &seen.netns));
        let clues = Clues {
            addressed: !addresses.is_empty(),
            handed: None,
            current: None,
            witnessed: vouched.is_some(),
            search: None,
        };
        let mut prospect = Self {
            uid,
            addresses,
            held: known.held.cloned(),
            current: vouched.map(|seen| &seen.netns).or(before).cloned(),
            handed: known.handed,
            found: None,
            witness: vouched.and_then(|seen| seen.witness),
            clues,
            trouble: None,
        };
        prospect.weigh();
        prospect
    }

    /// Sets what the addresses in the namespaces say, as far as it matters.
    fn weigh(&mut self) {
        let same = |a: &Netns, b: &Option<Arc<Netns>>| b.as_ref().is_some_and(|b| a.id() == b.id());
        if self.clues.witnessed {
            // It was seen when the process was, and the process is there still.
            self.clues.current = Some(Footing::Carries);
        } else if let Some(current) = self.current.clone() {
            self.clues.current = Some(self.footing(&current));
        }
        self.clues.handed = match self.handed.clone() {
            None => None,
            Some(handed) if same(&handed, &self.current) => self.clues.current,
            Some(handed) => Some(self.footing(&handed)),
        };
    }

    fn footing(&mut self, netns: &Netns) -> Footing {
        footing(netns, self.addresses).unwrap_or_else(|error| {
            self.trouble = Some(Arc::new(error));
            Footing::Unseen
        })
    }

    pub(super) fn uid(&self) -> &'a str {
        self.uid
    }

    /// Whether only a search of the processes can tell.
    pub(super) fn needs_search(&self) -> bool {
        choose(&self.clues) == Choice::Search
    }

    /// Joins a search, be it only for a witness.
    pub(super) fn join(&self, sought: &mut Sought<'a>) {
        if self.joins() {
            sought.insert(self.uid, self.addresses);
        }
    }

    fn joins(&self) -> bool {
        self.clues.addressed && self.witness.is_none()
    }

    /// Takes in what the search has brought.
    pub(super) fn learn(&mut self, findings: &Findings<'_>) {
        if !self.joins() {
            return;
        }
        if let Some(found) = findings.found.get(self.uid) {
            self.found = Some(Arc::clone(&found.netns));
            self.witness = Some(found.witness);
            self.clues.search = Some(Search::Found);
            return;
        }
        let hidden = || Arc::new(io::Error::from(io::ErrorKind::PermissionDenied));
        let failed = findings.stopped.clone().or_else(|| findings.hidden.contains(self.uid).then(hidden));
        self.clues.search = Some(if failed.is_some() { Search::Failed } else { Search::Nothing });
        self.trouble = failed.or(self.trouble.take());
    }

    /// What has become of it.
    pub(super) fn answer(self) -> Answer {
        let chosen = match choose(&self.clues) {
            Choice::Handed => self.handed.clone(),
            Choice::Current => self.current.clone(),
            Choice::Found => self.found.clone(),
            Choice::Gone => return Answer::missing(Missing::TakenDown),
            Choice::Awaited => return Answer::missing(Missing::Awaited),
            Choice::Unclear | Choice::Search => None,
        };
        let Some(chosen) = chosen else {
            let trouble = self.trouble.unwrap_or_else(|| Arc::new(io::ErrorKind::Other.into()));
            return Answer::missing(Missing::Unclear(trouble));
        };
        // One that is held already is that one again, not a second descriptor.
        let mut open = [self.held, self.current, self.handed].into_iter().flatten();
        let found = open.find(|netns| netns.id() == chosen.id()).unwrap_or(chosen);
        // Whether the witness is there is seen the next time.
        Answer { found: Ok(found), witness: self.witness }
    }
}

impl Answer {
    fn missing(missing: Missing) -> Self {
        Self { found: Err(missing), witness: None }
    }
}

/// The answers of a survey, by pod.
pub(super) type Answers<'a> = BTreeMap<&'a str, Answer>;
