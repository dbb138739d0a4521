//! A cipher that is fast and protects nothing, but notices every change of a single octet.

use std::collections::VecDeque;

use culvert_core::tunnel::record::{Ahead, Cipher, Direction, Forged, Keys, Secret, Suite, TAG};

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut value: u64) -> u64 {
    value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb)
}

fn words(octets: &[u8]) -> impl Iterator<Item = u64> {
    octets.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    })
}

/// One key.
pub(crate) struct Toy(u64);

impl Toy {
    pub(crate) fn of(secret: &Secret) -> Self {
        Self(words(secret.key()).fold(0, |key, word| mix(key ^ word)))
    }

    fn apply(&self, nonce: [u8; 12], text: &mut [u8]) {
        let mut state = words(&nonce).fold(self.0, |state, word| mix(state ^ word));
        for chunk in text.chunks_mut(8) {
            state = state.wrapping_add(ODD);
            for (octet, key) in chunk.iter_mut().zip(mix(state).to_le_bytes()) {
                *octet ^= key;
            }
        }
    }

    fn tag(&self, nonce: [u8; 12], associated: &[u8], text: &[u8]) -> [u8; TAG] {
        let start = mix(self.0 ^ text.len() as u64);
        let hash = |start| {
            let all = words(&nonce).chain(words(associated)).chain(words(text));
            all.fold(start, |hash: u64, word| (hash ^ word).wrapping_mul(ODD).rotate_left(29))
        };
        let mut tag = [0; TAG];
        tag[..8].copy_from_slice(&hash(start).to_le_bytes());
        tag[8..].copy_from_slice(&mix(hash(!start)).to_le_bytes());
        tag
    }
}

impl Cipher for Toy {
    fn seal(&self, nonce: [u8; 12], associated: &[u8], text: &mut [u8]) -> [u8; TAG] {
        self.apply(nonce, text);
        self.tag(nonce, associated, text)
    }

    fn open(&self, nonce: [u8; 12], associated: &[u8], text: &mut [u8]) -> Result<(), Forged> {
        let (text, tag) = text.split_at_mut(text.len().checked_sub(TAG).ok_or(Forged)?);
        if self.tag(nonce, associated, text) != tag {
            return Err(Forged);
        }
        self.apply(nonce, text);
        Ok(())
    }
}

/// The nonce for the first record, before its number is mixed in.
pub(crate) const IV: [u8; 12] = [7; 12];

/// The first secret of a direction.
pub(crate) fn secret(number: u8) -> Secret {
    Secret::new(Suite::Aes128Gcm, &[number; 16], IV, 0).expect("16 octets are what the suite needs")
}

/// The secret after one.
pub(crate) fn after(secret: &Secret) -> Secret {
    let key: Vec<u8> = secret.key().iter().map(|octet| octet.wrapping_mul(5).wrapping_add(1)).collect();
    Secret::new(Suite::Aes128Gcm, &key, IV, 0).expect("16 octets are what the suite needs")
}

/// The keys of an end: without end, or as many as have been taken along.
pub(crate) enum ToyKeys {
    Endless { outgoing: Secret, incoming: Secret },
    Ahead { outgoing: VecDeque<Secret>, incoming: VecDeque<Secret> },
}

impl ToyKeys {
    pub(crate) fn endless(outgoing: &Secret, incoming: &Secret) -> Box<Self> {
        Box::new(Self::Endless { outgoing: outgoing.clone(), incoming: incoming.clone() })
    }

    pub(crate) fn ahead(ahead: &mut Ahead) -> Box<Self> {
        let outgoing = std::mem::take(&mut ahead.outgoing).into();
        Box::new(Self::Ahead { outgoing, incoming: std::mem::take(&mut ahead.incoming).into() })
    }
}

impl Keys for ToyKeys {
    fn cipher(&self, secret: &Secret) -> Box<dyn Cipher> {
        Box::new(Toy::of(secret))
    }

    fn next(&mut self, direction: Direction) -> Option<Secret> {
        let (last, left) = match (self, direction) {
            (Self::Endless { outgoing, .. }, Direction::Out) => (Some(outgoing), None),
            (Self::Endless { incoming, .. }, Direction::In) => (Some(incoming), None),
            (Self::Ahead { outgoing, .. }, Direction::Out) => (None, Some(outgoing)),
            (Self::Ahead { incoming, .. }, Direction::In) => (None, Some(incoming)),
        };
        if let Some(last) = last {
            *last = after(last);
            return Some(last.clone());
        }
        left?.pop_front()
    }

    fn ticket(&mut self, _body: &[u8]) {}
}
