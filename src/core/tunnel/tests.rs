//! Two engines talking to each other, or one of them to a peer that follows a script.

mod fairness;
mod farewell;
mod keys;
mod leaving;
mod moving;
mod outbox;
mod pair;
mod peer;
mod small_buffers;
mod stream;
mod streams;
pub(super) mod toy;
