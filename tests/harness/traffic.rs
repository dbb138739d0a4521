//! Traffic that proves itself: clients and servers that know of each connection who must answer and which bytes must come, and a
//! [`journal`] of what did not go as it must.
//!
//! A client says a header ([`words`]) and then bytes that follow from the connection's nonce ([`pattern`]); a server ([`echo`]) answers
//! with its name and the nonce, sends bytes of its own at the same time, and says at the end whether all has come. Both ends
//! check every byte, and that what ends in order is whole ([`dialogue`]). Nobody waits for anything beyond a deadline ([`line`]).
//! All of it happens in a [`town`], among the pods of which [`callers`] speak, and [`names`] are asked for; a [`witness`] looks for what must not be readable,
//! [`footprint`] says what programs and kernel hold, and [`checks`] whether all is well.

pub(crate) mod callers;
pub(crate) mod checks;
pub(crate) mod dialogue;
pub(crate) mod echo;
pub(crate) mod footprint;
pub(crate) mod journal;
pub(crate) mod line;
pub(crate) mod names;
pub(crate) mod pattern;
pub(crate) mod town;
pub(crate) mod witness;
pub(crate) mod words;
