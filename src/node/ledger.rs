//! The node's record of connections: those there are, and the last of those there were; of each pod its own.
//!
//! In goes each accepted connection, and what becomes known of it; out come records, for the admin port, the access log and
//! `culvert why`. Deliberately absent: judgement, and anything a connection would wait for. Whoever looks takes a lock for as long as
//! it takes to copy a few hundred pointers.
//!
//! **Invariant:** a record holds no socket and no namespace: what is looked at later does not keep anything alive.

mod book;
mod record;
pub(crate) mod sockets;
mod totals;
mod traffic;
pub(crate) mod tunnels;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use culvert_sys::netns::Netns;

use crate::proxy::PodInfo;
use crate::telemetry::Telemetry;

pub(crate) use book::Book;
pub(crate) use record::{Direction, Ended, Facts, Id, OnTunnel, Party, Record, Stage, Trace, Tried, onward};
pub(crate) use traffic::{Pair, owner_of};

/// The books of all pods of this node. All handles see the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct OfNode {
    books: Arc<Mutex<Vec<Arc<Book>>>>,
    telemetry: Telemetry,
}

/// One pod's book, for as long as it is served.
#[derive(Debug)]
pub(crate) struct OfPod(Arc<Book>);

/// How long the book of a pod that is gone is kept: why its last connections failed is asked afterwards.
const KEPT: Duration = Duration::from_secs(10 * 60);

/// Books of pods that are gone, at most: pods of a job come and go by the hundred.
const MOST_GONE: usize = 64;

impl OfNode {
    /// Those of a node that tells of connections that are over.
    pub(crate) fn new(telemetry: Telemetry) -> Self {
        Self { books: Arc::default(), telemetry }
    }

    /// Opens the book of a pod.
    pub(crate) fn begin(&self, pod: PodInfo, netns: Option<&Arc<Netns>>) -> OfPod {
        let book = Arc::new(Book::new(pod, netns.map(Arc::downgrade), self.telemetry.clone()));
        let mut books = self.lock();
        forget_old(&mut books);
        books.push(Arc::clone(&book));
        OfPod(book)
    }

    /// All books, those of pods that have gone lately included.
    pub(crate) fn books(&self) -> Vec<Arc<Book>> {
        let mut books = self.lock();
        forget_old(&mut books);
        books.clone()
    }

    /// Finds a connection there is, or was lately.
    pub(crate) fn find(&self, id: Id) -> Option<(Arc<Book>, Arc<Record>)> {
        self.books().into_iter().find_map(|book| {
            let record = book.find(id)?;
            Some((book, record))
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Book>>> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets the books of pods that have been gone for long, and the oldest of too many.
fn forget_old(books: &mut Vec<Arc<Book>>) {
    let gone = books.iter().filter(|book| book.gone().is_some()).count();
    let mut surplus = gone.saturating_sub(MOST_GONE);
    books.retain(|book| {
        let Some(gone) = book.gone() else { return true };
        let keep = surplus == 0 && gone.elapsed() < KEPT;
        surplus = surplus.saturating_sub(1);
        keep
    });
}

impl OfPod {
    /// The book.
    pub(crate) fn book(&self) -> &Arc<Book> {
        &self.0
    }
}

impl Drop for OfPod {
    fn drop(&mut self) {
        self.0.leave(Instant::now());
    }
}

#[cfg(test)]
mod tests;
