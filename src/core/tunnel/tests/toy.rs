//! Ciphers and keys for tests: they notice every change, and hide nothing from anybody.

use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Instant;

use crate::tunnel::http2::Role;
use crate::tunnel::record::{Ahead, Cipher, Direction, Forged, Keys, Layer, Secret, Suite, TAG};
use crate::tunnel::{Engine, Settled, State};

/// Some moment. Tests count from there.
#[expect(clippy::disallowed_methods, reason = "there is no other way to come by an Instant")]
pub(in crate::tunnel) fn start() -> Instant {
    Instant::now()
}

/// A stream cipher that is its own inverse, and a checksum.
struct Toy(u64);

impl Toy {
    fn of(secret: &Secret) -> Self {
        Self(digest(u64::from(secret.suite() == Suite::Aes256Gcm), &[secret.key()]))
    }

    fn start(&self, nonce: [u8; 12], associated: &[u8]) -> u64 {
        digest(self.0, &[&nonce, associated])
    }

    fn mask(start: u64, text: &mut [u8]) {
        for (at, piece) in (0u64..).zip(text.chunks_mut(8)) {
            for (octet, mask) in piece.iter_mut().zip(mix(start ^ at).to_le_bytes()) {
                *octet ^= mask;
            }
        }
    }

    fn tag(start: u64, sealed: &[u8]) -> [u8; TAG] {
        let (low, high) = (digest(start, &[sealed]), digest(!start, &[sealed]));
        (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
    }
}

impl Cipher for Toy {
    fn seal(&self, nonce: [u8; 12], associated: &[u8], text: &mut [u8]) -> [u8; TAG] {
        let start = self.start(nonce, associated);
        Self::mask(start, text);
        Self::tag(start, text)
    }

    fn open(&self, nonce: [u8; 12], associated: &[u8], text: &mut [u8]) -> Result<(), Forged> {
        let (sealed, tag) = text.split_last_chunk_mut().ok_or(Forged)?;
        let start = self.start(nonce, associated);
        if Self::tag(start, sealed) != *tag {
            return Err(Forged);
        }
        Self::mask(start, sealed);
        Ok(())
    }
}

/// Spreads the bits of a number (splitmix64).
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Depends on every octet, its place, and the lengths of the parts.
fn digest(start: u64, parts: &[&[u8]]) -> u64 {
    let mut state = mix(start);
    for part in parts {
        let (words, rest) = part.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        for word in words.iter().chain([&last]) {
            state = mix(state ^ u64::from_le_bytes(*word));
        }
        state = mix(state ^ part.len() as u64);
    }
    state
}

/// What keys were asked for.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::tunnel) enum Asked {
    Next(Direction),
    Ticket(Vec<u8>),
}

/// Keys derived one after the other; both ends of a connection derive the same.
pub(in crate::tunnel) struct Derived {
    role: Role,
    suite: Suite,
    /// How many were derived for what we send, and for what the peer sends.
    generations: [u64; 2],
    asked: Sender<Asked>,
}

impl Derived {
    /// The keys of a fresh connection, and what is asked of them from then on.
    pub(in crate::tunnel) fn new(role: Role, suite: Suite) -> (Self, Receiver<Asked>) {
        let (asked, receiver) = mpsc::channel();
        (Self { role, suite, generations: [0; 2], asked }, receiver)
    }

    /// The secret in use.
    pub(in crate::tunnel) fn secret(&self, direction: Direction) -> Secret {
        let out = direction == Direction::Out;
        let by_client = out == (self.role == Role::Client);
        let seed = self.generations[usize::from(!out)] * 2 + u64::from(by_client);
        let octets: Vec<u8> = (0..6).flat_map(|at| mix(seed * 8 + at).to_be_bytes()).collect();
        let length = if self.suite == Suite::Aes128Gcm { 16 } else { 32 };
        Secret::new(self.suite, &octets[..length], *octets[32..].first_chunk().unwrap(), 0).unwrap()
    }

    /// What a handshake would have settled.
    pub(in crate::tunnel) fn settled(self, layer: Layer) -> Settled {
        let [outgoing, incoming] = [Direction::Out, Direction::In].map(|direction| self.secret(direction));
        Settled { layer, outgoing, incoming, keys: Box::new(self) }
    }
}

impl Keys for Derived {
    fn cipher(&self, secret: &Secret) -> Box<dyn Cipher> {
        Box::new(Toy::of(secret))
    }

    fn next(&mut self, direction: Direction) -> Option<Secret> {
        // The receiver may be gone: not every test cares.
        let _ = self.asked.send(Asked::Next(direction));
        self.generations[usize::from(direction == Direction::In)] += 1;
        Some(self.secret(direction))
    }

    fn ticket(&mut self, body: &[u8]) {
        let _ = self.asked.send(Asked::Ticket(body.to_vec()));
    }
}

/// Takes an engine to another process, as it were.
pub(in crate::tunnel) fn carry(state: &State, now: Instant) -> Engine {
    let mut state: State = serde_json::from_str(&serde_json::to_string(state).unwrap()).unwrap();
    let keys = Listed::from(std::mem::take(&mut state.ahead));
    Engine::import(state, Box::new(keys), now)
}

/// Keys that somebody else has derived.
struct Listed {
    outgoing: VecDeque<Secret>,
    incoming: VecDeque<Secret>,
}

impl From<Ahead> for Listed {
    fn from(ahead: Ahead) -> Self {
        Self { outgoing: ahead.outgoing.into(), incoming: ahead.incoming.into() }
    }
}

impl Keys for Listed {
    fn cipher(&self, secret: &Secret) -> Box<dyn Cipher> {
        Box::new(Toy::of(secret))
    }

    fn next(&mut self, direction: Direction) -> Option<Secret> {
        match direction {
            Direction::Out => self.outgoing.pop_front(),
            Direction::In => self.incoming.pop_front(),
        }
    }

    fn ticket(&mut self, _: &[u8]) {}
}
