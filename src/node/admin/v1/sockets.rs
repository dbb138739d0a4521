//! What the kernel says of the sockets of what is on a page.
//!
//! Each pod on the page is looked at once, and no other; where that fails, what the kernel says is absent.

use std::collections::HashMap;
use std::sync::Arc;

use culvert_api as api;

use crate::ledger::Book;
use crate::ledger::sockets::{self, Socket, Sockets};

/// The sockets of the pods that were asked about.
#[derive(Default)]
pub(super) struct Seen(HashMap<*const Book, Sockets>);

impl Seen {
    /// The sockets of a pod, as they were when it was first asked about.
    pub(super) fn of(&mut self, book: &Arc<Book>) -> &Sockets {
        self.0.entry(Arc::as_ptr(book)).or_insert_with(|| {
            sockets::look(book).unwrap_or_else(|error| {
                tracing::debug!(pod = book.pod.name, namespace = book.pod.namespace, %error, "sockets not seen");
                Sockets::default()
            })
        })
    }
}

/// What is shown of a socket.
pub(super) fn shown(socket: Socket) -> api::Socket {
    let Socket { info, unread } = socket;
    api::Socket {
        rtt_microseconds: info.rtt.into(),
        rtt_variation_microseconds: info.rtt_variation.into(),
        retransmits: info.retransmits.into(),
        unacknowledged_bytes: info.bytes_unacknowledged,
        unsent_bytes: info.bytes_unsent.into(),
        unread_bytes: unread.into(),
        peer_window_bytes: info.peer_window.into(),
        peer_limited_milliseconds: info.peer_limited / 1000,
        quiet_milliseconds: info.quiet.into(),
    }
}
