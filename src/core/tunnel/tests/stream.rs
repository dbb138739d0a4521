//! An application on one end of a stream: what it sends, and what it makes of what comes.

use crate::tunnel::http2::{By, Code};

/// What one end of a stream does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// So much is sent,
    pub(super) length: usize,
    /// and then this is done.
    pub(super) then: Then,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    End,
    Reset,
}

/// How a stream is over for who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The peer has sent all.
    End,
    /// The peer has reset it.
    Reset,
    /// We have, and hear no more of it.
    ByUs,
}

/// One end of a stream.
#[derive(Debug)]
pub(super) struct Leg {
    plan: Plan,
    /// What distinguishes what it writes, and what its peer writes, from all others.
    flavours: [usize; 2],
    pub(super) sent: usize,
    pub(super) done: bool,
    /// Whether it may send yet.
    pub(super) answered: bool,
    /// What came.
    pub(super) came: usize,
    /// What of it the engine still counts as ours.
    pub(super) held: usize,
    pub(super) outcome: Option<Outcome>,
}

impl Leg {
    /// `number` tells streams apart and `side` the ends of one.
    pub(super) fn new(plan: Plan, number: usize, side: usize) -> Self {
        let flavours = [side, 1 - side].map(|side| number * 2 + side);
        Self { plan, flavours, sent: 0, done: false, answered: false, came: 0, held: 0, outcome: None }
    }

    /// What is still to be sent; nothing before there is an answer.
    pub(super) fn to_send(&self) -> usize {
        if self.answered && !self.done { self.plan.length - self.sent } else { 0 }
    }

    /// Puts what comes next into the places given for it.
    pub(super) fn write<'p>(&mut self, places: impl Iterator<Item = &'p mut [u8]>, most: usize) -> usize {
        let mut left = most;
        for place in places {
            let length = place.len().min(left);
            for octet in &mut place[..length] {
                *octet = octet_at(self.flavours[0], self.sent);
                self.sent += 1;
            }
            left -= length;
        }
        most - left
    }

    /// What is to be done now that all is sent, once.
    pub(super) fn finale(&mut self) -> Option<Then> {
        let due = self.answered && !self.done && self.sent == self.plan.length;
        self.done |= due;
        due.then_some(self.plan.then)
    }

    /// Takes what came: it must go on where the last piece ended.
    #[track_caller]
    pub(super) fn read(&mut self, piece: &[u8]) {
        assert_eq!(self.outcome, None, "data after the end");
        for octet in piece {
            assert_eq!(*octet, octet_at(self.flavours[1], self.came), "octet {} is another one", self.came);
            self.came += 1;
        }
        self.held += piece.len();
    }

    #[track_caller]
    pub(super) fn ended(&mut self) {
        assert_eq!(self.outcome.replace(Outcome::End), None);
    }

    #[track_caller]
    pub(super) fn was_reset(&mut self, code: Code, by: By) {
        assert_eq!((code, by), (Code::CANCEL, By::Peer));
        assert_ne!(self.outcome.replace(Outcome::Reset), Some(Outcome::Reset));
        self.let_go();
    }

    pub(super) fn reset(&mut self) {
        self.outcome = Some(Outcome::ByUs);
        self.let_go();
    }

    fn let_go(&mut self) {
        (self.done, self.held) = (true, 0);
    }

    pub(super) fn is_over(&self) -> bool {
        self.done && self.outcome.is_some() && self.held == 0
    }

    /// What must be true of two ends when all is over.
    #[track_caller]
    pub(super) fn check(&self, peer: &Self) {
        match (self.plan.then, peer.plan.then, self.outcome) {
            (_, Then::End, Some(Outcome::End)) => assert_eq!(self.came, peer.plan.length),
            (Then::Reset, _, Some(Outcome::ByUs)) => assert!(self.came <= peer.sent),
            (_, Then::Reset, Some(Outcome::Reset)) => assert!(self.came <= peer.plan.length),
            (_, _, outcome) => panic!("nobody planned {outcome:?}: {self:?}, {peer:?}"),
        }
    }
}

/// The octet at a place of what a leg sends.
fn octet_at(flavour: usize, at: usize) -> u8 {
    (at ^ (at >> 8) ^ (at >> 15) ^ flavour.wrapping_mul(0x35)) as u8
}
