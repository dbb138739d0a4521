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

use culvert_api::Why;

use crate::admin::Sources;
use crate::ledger::Id;

pub(crate) use hypothetical::would;

/// Explains a connection there is or was; nothing when it is not in the books.
pub(crate) fn did(sources: &Sources, id: Id) -> Option<Why> {
    let evidence = evidence::gather(sources, id)?;
    Some(Why {
        question: culvert_api::Question::Connection { id: id.to_string() },
        steps: steps::of(&evidence),
        verdict: verdict::of(&evidence),
        connection: None,
    })
}
