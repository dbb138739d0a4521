//! What reaches the task of a tunnel from outside: orders, and word that a socket is ready.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use culvert_core::hbone::proxy_status::Said;
use culvert_core::tunnel::http2::{Fields, StreamId};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::Connect;
use super::socket::Socket;
use crate::limits::Exceeded;
use crate::stream::{Broken, Early, Moved};

/// Where orders are left.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    content: Mutex<Content>,
    tickets: AtomicU64,
}

#[derive(Debug, Default)]
struct Content {
    /// One for each connection that was accepted already: what bounds those, bounds this.
    orders: Vec<Order>,
    /// Slots of sockets that may be ready.
    ready: Vec<usize>,
    /// Who is told.
    driver: Option<Waker>,
    closed: bool,
}

/// What the task of a tunnel is asked to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Ask the peer for a stream and carry a connection on it (client).
    Open(Box<Opening>),
    /// Say yes to a stream the peer asked for and carry it to a connection (server).
    Accept { stream: StreamId, fields: Fields, carry: Box<Carry> },
    /// Say no to it.
    Refuse { stream: StreamId, status: u16, fields: Fields },
    /// Break a connection that nobody stands for any more.
    Abandon(Ticket),
    /// Let go of a stream that was not answered.
    Forget(StreamId),
    /// Take no new streams.
    Leave,
    /// End at once; the streams are broken and the peer is told that the tunnel ends.
    Cut,
    /// The same, because the peer's certificate was revoked.
    Revoked,
}

/// A number for each connection of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(pub(super) u64);

/// A connection to be carried.
#[derive(Debug)]
pub(super) struct Carry {
    pub(super) ticket: Ticket,
    pub(super) socket: Socket,
    pub(super) moved: Arc<Moved>,
    pub(super) done: oneshot::Sender<Result<(), Early>>,
}

/// Kept by the task of a tunnel for as long as the peer wants a stream that nobody has accepted yet.
#[derive(Debug)]
pub(super) struct Offered(oneshot::Sender<Exceeded>);

/// Learns that there is no such stream any more.
#[derive(Debug)]
pub(super) struct Withdrawn(oneshot::Receiver<Exceeded>);

/// Both ends of the word on one stream.
pub(super) fn offered() -> (Offered, Withdrawn) {
    let (offered, withdrawn) = oneshot::channel();
    (Offered(offered), Withdrawn(withdrawn))
}

impl Offered {
    /// The stream is broken before anybody has accepted it. That the peer has taken it back is said by dropping this.
    pub(super) fn gives_up(self, why: Exceeded) {
        // Whoever serves it may be gone.
        let _ = self.0.send(why);
    }
}

impl Withdrawn {
    /// Whether the peer has taken it back. A reason to give it up stays to be told.
    pub(super) fn is_taken_back(&mut self) -> bool {
        self.0.is_empty() && matches!(self.0.try_recv(), Err(TryRecvError::Closed))
    }

    /// Resolves when there is no such stream any more: the peer has taken it back, or this end has given it up for a reason. Cancel safe.
    pub(super) async fn wait(&mut self) -> Option<Exceeded> {
        (&mut self.0).await.ok()
    }
}

/// A stream to be asked for.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) connect: Arc<Connect>,
    pub(super) carry: Carry,
    /// What the application has said already, to a peer that did not look at it.
    pub(super) said: Vec<u8>,
    /// What the peer says in front of its bytes.
    pub(super) answer: oneshot::Sender<Result<Fields, Unopened>>,
}

/// A stream that did not come about. The connection is given back, with what it has said.
#[derive(Debug)]
pub(super) struct Unopened {
    pub(super) why: Why,
    pub(super) socket: Socket,
    pub(super) said: Vec<u8>,
    /// The peer was told nothing of what was said.
    pub(super) silent: bool,
}

/// Why a stream did not come about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Why {
    /// The peer has not looked at it: another tunnel may be tried.
    Unseen,
    /// The peer said no, and perhaps why.
    Status(u16, Option<Box<Said>>),
    /// The peer broke off.
    Broken(String),
    /// One end of the tunnel broke the rules.
    Fault(String),
    /// The peer has ended the tunnel before it said anything: it does not accept us.
    Alert(String),
    /// The peer is not to be trusted any more.
    Revoked,
    /// The application has gone meanwhile.
    ClientGone(Broken),
}

/// The task of the tunnel has ended; the order is given back.
#[derive(Debug)]
pub(super) struct Closed(pub(super) Order);

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number no other connection of this tunnel has.
    pub(super) fn ticket(&self) -> Ticket {
        Ticket(self.tickets.fetch_add(1, Ordering::Relaxed))
    }

    /// Leaves an order.
    pub(super) fn order(&self, order: Order) -> Result<(), Closed> {
        let mut content = self.lock();
        if content.closed {
            return Err(Closed(order));
        }
        content.orders.push(order);
        let driver = content.driver.take();
        drop(content);
        if let Some(driver) = driver {
            driver.wake();
        }
        Ok(())
    }

    fn ready(&self, slot: usize) {
        let mut content = self.lock();
        content.ready.push(slot);
        let driver = content.driver.take();
        drop(content);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Takes all that is there; what comes later wakes `driver`.
    pub(super) fn take(&self, driver: &Waker, orders: &mut Vec<Order>, ready: &mut Vec<usize>) {
        let mut content = self.lock();
        orders.append(&mut content.orders);
        ready.append(&mut content.ready);
        if content.driver.as_ref().is_none_or(|known| !known.will_wake(driver)) {
            content.driver = Some(driver.clone());
        }
    }

    /// Takes no more orders; those there are returned.
    pub(super) fn close(&self) -> Vec<Order> {
        let mut content = self.lock();
        content.closed = true;
        content.driver = None;
        std::mem::take(&mut content.orders)
    }

    /// What a socket wakes.
    pub(super) fn waker(self: &Arc<Self>, slot: usize) -> Waker {
        Waker::from(Arc::new(Slot { inbox: Arc::clone(self), slot }))
    }
}

struct Slot {
    inbox: Arc<Inbox>,
    slot: usize,
}

impl Wake for Slot {
    fn wake(self: Arc<Self>) {
        self.inbox.ready(self.slot);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.inbox.ready(self.slot);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Woken {
        fn times(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn the_driver_is_woken_once_for_what_has_come_since_it_looked() {
        let (inbox, woken) = (Arc::new(Inbox::default()), Arc::new(Woken::default()));
        let driver = Waker::from(Arc::clone(&woken));
        let (mut orders, mut ready) = (Vec::new(), Vec::new());
        // What comes before anybody looks is there when somebody does.
        inbox.order(Order::Leave).unwrap();
        inbox.take(&driver, &mut orders, &mut ready);
        assert_eq!((orders.len(), ready.len(), woken.times()), (1, 0, 0));
        inbox.waker(7).wake();
        inbox.waker(8).wake_by_ref();
        inbox.order(Order::Cut).unwrap();
        assert_eq!(woken.times(), 1);
        inbox.take(&driver, &mut orders, &mut ready);
        assert_eq!((orders.len(), ready), (2, vec![7, 8]));
        inbox.waker(9).wake();
        assert_eq!(woken.times(), 2);
    }

    #[test]
    fn whoever_drives_it_last_is_woken() {
        let inbox = Arc::new(Inbox::default());
        let (before, after) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
        for woken in [&before, &after] {
            inbox.take(&Waker::from(Arc::clone(woken)), &mut Vec::new(), &mut Vec::new());
        }
        inbox.order(Order::Leave).unwrap();
        assert_eq!((before.times(), after.times()), (0, 1));
    }

    #[test]
    fn an_inbox_that_is_closed_gives_back_what_it_has_and_what_comes() {
        let inbox = Arc::new(Inbox::default());
        inbox.order(Order::Leave).unwrap();
        assert!(matches!(inbox.close()[..], [Order::Leave]));
        assert!(matches!(inbox.order(Order::Cut), Err(Closed(Order::Cut))));
        assert!(inbox.close().is_empty());
    }
}
