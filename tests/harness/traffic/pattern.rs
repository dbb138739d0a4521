//! The bytes of a connection: they follow from its nonce and the direction, and say every kilobyte whether they may be read.

use std::sync::OnceLock;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// What everything begins with that must not be readable on any wire.
pub(crate) const SECRET: &[u8] = b"<said in confidence>";
/// The same, for what is said to or by a pod outside of the mesh.
pub(crate) const PUBLIC: &[u8] = b"<said in the street>";

/// Whether others may read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Privacy {
    Confidential,
    Public,
}

impl Privacy {
    pub(crate) fn marker(self) -> &'static [u8] {
        match self {
            Self::Confidential => SECRET,
            Self::Public => PUBLIC,
        }
    }
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    ToServer,
    ToClient,
}

/// No power of two: bytes that are a page or a frame late do not look like those that are due.
const LENGTH: usize = (1 << 20) + 7;
/// Between two markers.
const SPACING: usize = 1024;

/// The bytes of one direction of one connection, from where it has come to.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    block: &'static [u8],
    at: usize,
}

impl Pattern {
    pub(crate) fn new(privacy: Privacy, nonce: u64, direction: Direction) -> Self {
        const FAR: u64 = 0x9e37_79b9_7f4a_7c15;
        let start = nonce.wrapping_mul(FAR).rotate_left(21).wrapping_add(direction as u64 * 500_009);
        let at = usize::try_from(start % LENGTH as u64).expect("a remainder of a megabyte is small");
        Self { block: block(privacy), at }
    }

    /// The next bytes, at least one and `most` at most, which are past then.
    pub(crate) fn next(&mut self, most: usize) -> &'static [u8] {
        let length = most.min(LENGTH - self.at);
        let piece = &self.block[self.at..self.at + length];
        self.at = (self.at + length) % LENGTH;
        piece
    }

    /// Whether these are the next bytes; gives the place of the first one that is not.
    pub(crate) fn check(&mut self, mut bytes: &[u8]) -> Result<(), usize> {
        let all = bytes.len();
        while !bytes.is_empty() {
            let wanted = self.next(bytes.len());
            let (piece, rest) = bytes.split_at(wanted.len());
            if piece != wanted {
                let same = piece.iter().zip(wanted).take_while(|(one, other)| one == other).count();
                return Err(all - bytes.len() + same);
            }
            bytes = rest;
        }
        Ok(())
    }
}

fn block(privacy: Privacy) -> &'static [u8] {
    static BLOCKS: [OnceLock<Vec<u8>>; 2] = [OnceLock::new(), OnceLock::new()];
    BLOCKS[privacy as usize].get_or_init(|| {
        let mut random = StdRng::seed_from_u64(privacy as u64);
        let mut bytes: Vec<u8> = (0..LENGTH).map(|_| random.random()).collect();
        for place in bytes.chunks_exact_mut(SPACING) {
            place[..privacy.marker().len()].copy_from_slice(privacy.marker());
        }
        bytes
    })
}

#[test]
fn damage_is_found_where_it_is() {
    let pattern = || Pattern::new(Privacy::Confidential, 7, Direction::ToServer);
    let bytes = |length: usize| {
        let (mut all, mut from) = (Vec::new(), pattern());
        while all.len() < length {
            all.extend_from_slice(from.next(length - all.len()));
        }
        all
    };
    let mut said = bytes(3 * LENGTH);
    assert_eq!(pattern().check(&said), Ok(()));
    assert!(said.windows(SECRET.len()).take(2 * SPACING).any(|words| words == SECRET));
    said[2 * LENGTH + 5] ^= 1;
    assert_eq!(pattern().check(&said), Err(2 * LENGTH + 5));
    let other = |nonce, direction| Pattern::new(Privacy::Confidential, nonce, direction).check(&bytes(1000));
    assert!(other(8, Direction::ToServer).is_err() && other(7, Direction::ToClient).is_err());
}
