//! What a SOCKS client says: the pieces it comes in make no difference, and nothing is taken that belongs to the connection.

use culvert_core::socks::{Fault, LONGEST, Negotiation, Step, Target};

use crate::input::{Input, pieces};

/// What came of it: whether a method was agreed on, and whom the client asks for with how much of its connection before it, or
/// what is wrong. `None`: it has to say more.
type End = (bool, Option<Result<(Target, usize), Fault>>);

/// The first byte decides on the pieces.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let cut = input.byte();
    let said = input.take(data.len());
    let end = negotiate(said.chunks(said.len().max(1)), said.len());
    assert_eq!(end, negotiate(pieces(said, cut), said.len()));
    if let (_, Some(Err(fault))) = end {
        assert!(!fault.answer().is_empty() && !fault.to_string().is_empty());
    }
}

fn negotiate<'s>(pieces: impl Iterator<Item = &'s [u8]>, all: usize) -> End {
    let (mut negotiation, mut agreed, mut taken) = (Negotiation::default(), false, 0);
    for mut piece in pieces {
        loop {
            let before = piece.len();
            let settled = negotiation.receive(&mut piece);
            assert!(negotiation.missing() <= LONGEST);
            taken += before - piece.len();
            match settled {
                Ok(Some(Step::Say(_))) => agreed = true,
                Ok(Some(Step::Asked(target))) => return (agreed, Some(Ok((target, all - taken)))),
                Ok(None) => break,
                Err(fault) => return (agreed, Some(Err(fault))),
            }
        }
    }
    (agreed, None)
}
