//! Which loads there are, who carries them, and how long each takes.

use std::time::Duration;

use super::load::{Direction, Speed, Work};
use super::subject::Kind;

/// A load that the subjects carry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// What people type.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) what: What,
}

/// How a load is measured.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    /// The client works for a while.
    Work(Work),
    /// Clients connect again and again, where thousands of connections are in TIME_WAIT.
    Pressed { clients: usize },
    /// Memory of new processes, and of connections that do nothing.
    Idle { connections: usize },
    /// First connections of clients that have no tunnel yet.
    Cold,
}

impl Load {
    /// Whether a subject can carry it at all: what is asked of a proxy needs one.
    pub(super) fn is_for(&self, kind: Kind) -> bool {
        kind != Kind::Direct || !matches!(self.what, What::Idle { .. })
    }

    /// Whether it takes so much preparation that a quick run measures it once.
    pub(super) fn is_costly(&self) -> bool {
        !matches!(self.what, What::Work(_))
    }
}

const fn bulk(name: &'static str, title: &'static str, direction: Direction, streams: usize) -> Load {
    Load { name, title, what: What::Work(Work::Bulk { direction, streams, speed: Speed::ANY }) }
}

const fn echo(name: &'static str, title: &'static str, connections: usize, size: usize) -> Load {
    Load { name, title, what: What::Work(Work::Echo { connections, size }) }
}

const fn connect(name: &'static str, title: &'static str, clients: usize) -> Load {
    Load { name, title, what: What::Work(Work::Connect { clients }) }
}

const fn pressed(name: &'static str, title: &'static str, clients: usize) -> Load {
    Load { name, title, what: What::Pressed { clients } }
}

/// All loads, in the order in which they are measured and shown.
pub(super) const LOADS: [Load; 17] = [
    bulk("up-1", "Bulk from client to server, 1 stream", Direction::Up, 1),
    bulk("down-1", "Bulk from server to client, 1 stream", Direction::Down, 1),
    bulk("up-8", "Bulk from client to server, 8 streams", Direction::Up, 8),
    bulk("down-8", "Bulk from server to client, 8 streams", Direction::Down, 8),
    bulk("up-32", "Bulk from client to server, 32 streams", Direction::Up, 32),
    bulk("down-32", "Bulk from server to client, 32 streams", Direction::Down, 32),
    echo("echo-1", "Requests and answers of 1 byte, 1 connection", 1, 1),
    echo("echo-32", "Requests and answers of 1 byte, 32 connections", 32, 1),
    echo("echo-1k", "Requests and answers of 1 kB, 8 connections", 8, 1000),
    connect("connect-1", "Connect, request, close: 1 client", 1),
    connect("connect-8", "Connect, request, close: 8 clients", 8),
    Load {
        name: "beside",
        title: "Requests of 1 byte beside 10 streams of 10 MB/s, 5 each way",
        what: What::Work(Work::Beside { speed: Speed(10_000_000) }),
    },
    Load {
        name: "crowded",
        title: "Requests of 1 byte beside 10 streams without limit, 5 each way",
        what: What::Work(Work::Beside { speed: Speed::ANY }),
    },
    pressed("pressed-1", "Connect, request, close under TIME_WAIT: 1 client", 1),
    pressed("pressed-8", "Connect, request, close under TIME_WAIT: 8 clients", 8),
    Load {
        name: "idle",
        title: "Memory: new processes, and 4,000 idle connections",
        what: What::Idle { connections: 4000 },
    },
    Load { name: "cold", title: "First byte of a client without a tunnel", what: What::Cold },
];

/// How long things are measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) bulk: Duration,
    pub(super) small: Duration,
    /// New connections: not so long that the client runs out of ports.
    pub(super) connect: Duration,
    pub(super) warm: Duration,
    /// How long memory may take to settle.
    pub(super) settle: Duration,
    /// In how many of the rounds what is costly is measured.
    pub(super) costly_rounds: usize,
}

impl Pace {
    pub(super) const FULL: Self = Self {
        bulk: Duration::from_millis(2500),
        small: Duration::from_millis(2000),
        connect: Duration::from_millis(1000),
        warm: Duration::from_millis(300),
        settle: Duration::from_millis(2000),
        costly_rounds: usize::MAX,
    };
    pub(super) const QUICK: Self = Self {
        bulk: Duration::from_millis(800),
        small: Duration::from_millis(500),
        connect: Duration::from_millis(500),
        warm: Duration::from_millis(200),
        settle: Duration::from_millis(1000),
        costly_rounds: 1,
    };

    /// How long some work is measured.
    pub(super) fn length(self, work: Work) -> Duration {
        match work {
            Work::Bulk { .. } => self.bulk,
            Work::Connect { .. } => self.connect,
            Work::Echo { .. } | Work::Fill { .. } | Work::Beside { .. } | Work::Idle { .. } => self.small,
        }
    }
}

/// Reads the name of a load.
pub(super) fn load(name: &str) -> Result<Load, String> {
    let found = LOADS.into_iter().find(|load| load.name == name);
    found.ok_or_else(|| {
        let names: Vec<_> = LOADS.iter().map(|load| load.name).collect();
        format!("there are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_found_by_their_names() {
        for one in LOADS {
            assert_eq!(load(one.name).unwrap().title, one.title);
        }
        assert!(load("sideways").unwrap_err().contains("up-1"));
    }
}
