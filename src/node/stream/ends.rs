//! How a connection ended, and in what state the network was then: what is asked when it is over.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

use culvert_sys::tcp::Info;

/// One of the two sides of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Who connects.
    Client,
    /// Who is connected to.
    Server,
}

/// Who ended a connection first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closer {
    Client,
    Server,
    /// This node: a policy, a drain, a refusal.
    Proxy,
}

/// What is known of the ends of a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    /// Who ended it first.
    pub(crate) closed_by: Option<Closer>,
    /// The socket of this node's own pod, when it was over.
    pub(crate) near: Option<Info>,
    /// The network's side then: the tunnel's socket, or the other end of a plain connection. Of a tunnel, only what was sent again while
    /// this connection was on it counts.
    pub(crate) far: Option<Info>,
}

/// What is noted of them as it becomes known. Small, because idle connections have one, too.
#[derive(Debug, Default)]
pub(super) struct Noted {
    closed_by: AtomicU8,
    /// What had been sent again on the tunnel before.
    retransmits_before: AtomicU32,
    sockets: OnceLock<Box<[Option<Info>; 2]>>,
}

const NOBODY: u8 = 0;
const CLIENT: u8 = 1;
const SERVER: u8 = 2;

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

impl Closer {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Proxy => "proxy",
        }
    }
}

impl Ends {
    /// The round trip of the network's side.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.far.as_ref().and_then(Info::round_trip)
    }

    /// Segments that were sent again on the network's side.
    pub(crate) fn retransmits(&self) -> Option<u32> {
        self.far.map(|far| far.retransmits)
    }
}

impl Noted {
    pub(super) fn close(&self, side: Side) {
        let side = match side {
            Side::Client => CLIENT,
            Side::Server => SERVER,
        };
        // Whoever was first, was.
        let _ = self.closed_by.compare_exchange(NOBODY, side, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(super) fn begin_after(&self, retransmits: u32) {
        self.retransmits_before.store(retransmits, Ordering::Relaxed);
    }

    pub(super) fn begin_as(&self, other: &Self) {
        self.begin_after(other.retransmits_before.load(Ordering::Relaxed));
    }

    pub(super) fn since_it_began(&self, far: Info) -> Info {
        far.since(self.retransmits_before.load(Ordering::Relaxed))
    }

    pub(super) fn part(&self, near: Option<Info>, far: Option<Info>) {
        let far = far.map(|far| self.since_it_began(far));
        // It ends once.
        let _ = self.sockets.set(Box::new([near, far]));
    }

    /// The same, once nothing is added any more.
    pub(super) fn settled(&self) -> Self {
        Self {
            closed_by: self.closed_by.load(Ordering::Relaxed).into(),
            retransmits_before: self.retransmits_before.load(Ordering::Relaxed).into(),
            sockets: self.sockets.clone(),
        }
    }

    pub(super) fn ends(&self) -> Ends {
        let closed_by = match self.closed_by.load(Ordering::Relaxed) {
            CLIENT => Some(Closer::Client),
            SERVER => Some(Closer::Server),
            _ => None,
        };
        let [near, far] = self.sockets.get().map_or([None, None], |sockets| **sockets);
        Ends { closed_by, near, far }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_ends_first_has_ended_it() {
        for (first, closer) in [(Side::Client, Closer::Client), (Side::Server, Closer::Server)] {
            let noted = Noted::default();
            assert_eq!(noted.ends(), Ends::default());
            noted.close(first);
            noted.close(first.other());
            assert_eq!(noted.ends().closed_by, Some(closer));
        }
    }

    #[test]
    fn what_a_tunnel_has_sent_again_before_is_not_of_this_connection() {
        let noted = Noted::default();
        noted.begin_after(5);
        let info = Info { retransmits: 7, rtt: 100, ..Info::default() };
        noted.part(Some(info), Some(info));
        let Ends { near, far, .. } = noted.ends();
        assert_eq!((near.unwrap().retransmits, far.unwrap().retransmits), (7, 2));
        noted.part(None, None);
        assert_eq!(noted.ends().near, near, "it ends once");
    }

    #[test]
    fn a_connection_that_is_idle_keeps_little() {
        assert!(size_of::<Noted>() <= 24, "{}", size_of::<Noted>());
    }
}
