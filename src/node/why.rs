//! *Why did, or would, this connection fail?* Every decision in order, and one verdict.
//!
//! In goes what was recorded of a connection, or who would call whom; out comes the answer of `/v1/why`. Looking is apart from judging:
//! [`evidence`] gathers what is known from the books, the mesh state, the kernel and, when nobody has answered, the network itself;
//! [`verdict`] and [`steps`] make of that what people read, and look at nothing else. Deliberately absent: anything that changes how a
//! connection goes.
//!
//! A verdict names who has to act. It prefers to say too little: when what is known fits the network as well as the peer, it says what
//! would tell them apart.

mod blame;
#[cfg(test)]
mod constructed;
mod evidence;
mod hypothetical;
mod knock;
mod live;
mod resolve;
mod steps;
mod verdict;

use std::sync::Arc;

use culvert_api::Why;

use crate::admin::Sources;
use crate::ledger::sockets::Sockets;
use crate::ledger::{Book, Record};

pub(crate) use hypothetical::would;

/// Explains a connection there is or was, of the book of its pod. Whoever has not answered it is asked once more, and waited for.
pub(crate) fn did(sources: &Sources, book: &Book, record: &Arc<Record>, sockets: &Sockets) -> Why {
    let evidence = evidence::gather(sources, book, record, sockets);
    Why {
        question: culvert_api::Question::Connection { id: record.id.to_string() },
        steps: steps::of(&evidence),
        verdict: verdict::of(&evidence),
        connection: None,
    }
}
