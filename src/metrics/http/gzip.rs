//! Compresses pieces as they come.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

/// How much is collected before it is passed on.
const PIECE: usize = 16 << 10;

/// Compresses pieces; what comes out is passed on when there is enough of it.
pub(super) fn compress(pieces: impl Iterator<Item = Vec<u8>>) -> impl Iterator<Item = Vec<u8>> {
    let mut pieces = pieces;
    let mut encoder = Some(GzEncoder::new(Vec::new(), Compression::fast()));
    std::iter::from_fn(move || {
        while let Some(open) = &mut encoder {
            let Some(piece) = pieces.next() else { break };
            open.write_all(&piece).expect("a vector takes any bytes");
            if open.get_ref().len() >= PIECE {
                return Some(std::mem::take(open.get_mut()));
            }
        }
        encoder.take().map(|open| open.finish().expect("a vector takes any bytes"))
    })
}
