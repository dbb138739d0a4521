//! Whether the peer is still there: whatever it sends says so; when it sends nothing it is asked (RFC 9113 §6.7).

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::tunnel::Fault;

/// How long a peer may take to begin to speak HTTP/2.
const PREFACE: Duration = Duration::from_secs(10);
/// How long it may be quiet before it is asked.
const QUIET: Duration = Duration::from_secs(10);
/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(20);
/// How long it may be quiet when it was asked for something before it is asked whether it is there.
const OWES: Duration = Duration::from_millis(500);

/// When the peer was heard of. Times do not travel to another process: there they begin anew.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Liveness {
    /// Whether the peer's SETTINGS have come.
    begun: bool,
    #[serde(skip)]
    heard: Option<Instant>,
    #[serde(skip)]
    asked: Option<Instant>,
    /// Since when it owes us a word: it was asked for a stream, and nothing at all has come since.
    #[serde(skip)]
    owes: Option<Instant>,
}

impl Liveness {
    pub(super) fn new(now: Instant) -> Self {
        Self { begun: false, heard: Some(now), asked: None, owes: None }
    }

    pub(super) fn resume(&mut self, now: Instant) {
        self.heard = Some(now);
    }

    /// Something came.
    pub(super) fn heard(&mut self, now: Instant) {
        // The preface counts as a whole: dripping it gains nothing.
        if self.begun {
            (self.heard, self.asked, self.owes) = (Some(now), None, None);
        }
    }

    /// It was asked for a stream.
    pub(super) fn expect(&mut self, now: Instant) {
        self.owes.get_or_insert(now);
    }

    pub(super) fn owes_since(&self) -> Option<Instant> {
        self.owes
    }

    pub(super) fn begun(&mut self, now: Instant) {
        self.begun = true;
        self.heard(now);
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match (self.begun, self.asked, self.heard) {
            (false, _, heard) => heard.map(|began| began + PREFACE),
            (true, Some(asked), _) => Some(asked + ANSWER),
            (true, None, heard) => {
                let (quiet, owing) = (heard.map(|heard| heard + QUIET), self.owes.map(|since| since + OWES));
                quiet.into_iter().chain(owing).min()
            }
        }
    }

    /// The time has come; says whether the peer is to be asked.
    pub(super) fn on_deadline(&mut self, now: Instant) -> Result<bool, Fault> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Ok(false);
        }
        match (self.begun, self.asked) {
            (false, _) => Err(Fault::NoPreface),
            (true, Some(_)) => Err(Fault::Dead),
            (true, None) => {
                self.asked = Some(now);
                Ok(true)
            }
        }
    }
}
