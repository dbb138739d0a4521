//! Every limit there is: its name, how much there may be, and what to do about it. `/v1/limits`, the log and the metrics say what is here.

mod rows;

use std::time::Duration;

use culvert_api::{LimitOf as Of, LimitUnit as Unit};
use rows::TABLE;

/// A limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Limit {
    OpenFiles,
    Descriptors,
    DescriptorsOfPod,
    DescriptorsOfPeer,
    ConnectionsOfPod,
    Beginnings,
    HandshakesOfPod,
    HandshakesOfSource,
    AcceptDeadline,
    PrefaceDeadline,
    FirstRequestDeadline,
    TunnelsOfPeer,
    StreamsOfTunnel,
    FieldsOfRequest,
    SocksNegotiations,
    SocksNegotiationDeadline,
    DnsQueries,
    DnsConnections,
    DnsSockets,
    BufferedBytes,
    BufferedBytesOfPod,
    BufferedBytesOfPeer,
    BufferedBytesOfTunnel,
    BufferedBytesOfStream,
    HalfClosedIdle,
    Idle,
}

/// What there is to know of a limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    /// By which it is known everywhere.
    pub(crate) name: &'static str,
    pub(crate) of: Of,
    pub(crate) unit: Unit,
    /// How much there may be.
    pub(crate) most: Option<u64>,
    /// The variable that sets it.
    pub(crate) setting: Option<&'static str>,
    /// Whether each takes a descriptor.
    pub(super) is_descriptor: bool,
    /// Whether it is how much there may be in a second.
    pub(super) is_rate: bool,
    /// What is bounded, and what becomes of one more.
    pub(crate) about: &'static str,
    /// What to do when it is reached.
    pub(crate) remedy: &'static str,
}

impl Limit {
    /// All there are.
    pub(crate) const ALL: [Self; TABLE.len()] = {
        let mut all = [TABLE[0].0; TABLE.len()];
        let mut place = 0;
        while place < all.len() {
            all[place] = TABLE[place].0;
            place += 1;
        }
        all
    };

    /// By which it is known everywhere.
    pub(crate) const fn name(self) -> &'static str {
        self.facts().name
    }

    /// What there is to know of it.
    pub(crate) const fn facts(self) -> Facts {
        TABLE[self as usize].1
    }
}

/// Peers of one pod that have not proven who they are yet, in all and of one address. A gateway opens a tunnel for each connection it
/// brings: a handshake over a long way takes a while, and there may be many at a time.
pub(crate) const HANDSHAKES: usize = 512;
pub(crate) const HANDSHAKES_OF_SOURCE: usize = 64;

/// How much there may be depends on what others have, or is set.
const fn of_room(of: Of) -> Facts {
    Facts { of, most: None, ..of_pod(0) }
}

/// How much there may be depends on what others have, or is set.
const fn of_bytes(of: Of) -> Facts {
    Facts { unit: Unit::Bytes, ..of_room(of) }
}

/// How long it may take is set.
const fn of_set_time() -> Facts {
    Facts { unit: Unit::Milliseconds, ..of_room(Of::Connection) }
}

const fn of_pod(most: u64) -> Facts {
    Facts {
        name: "",
        of: Of::Pod,
        unit: Unit::Count,
        most: Some(most),
        setting: None,
        is_descriptor: false,
        is_rate: false,
        about: "",
        remedy: "",
    }
}

const fn of_time(time: Duration) -> Facts {
    let most = Some(time.as_secs() * 1000 + time.subsec_millis() as u64);
    Facts { unit: Unit::Milliseconds, most, ..of_pod(0) }
}

impl Facts {
    const fn of(self, of: Of) -> Self {
        Self { of, ..self }
    }

    const fn of_descriptors(self) -> Self {
        Self { is_descriptor: true, ..self }
    }

    const fn named(self, name: &'static str, about: &'static str, remedy: &'static str) -> Self {
        Self { name, about, remedy, ..self }
    }

    /// Whether there is something that is held while it counts: not so for time, which only passes, for rates, or what a tunnel or a connection
    /// keeps to itself.
    pub(crate) const fn is_held(&self) -> bool {
        !self.is_rate
            && !matches!(self.unit, Unit::Milliseconds)
            && !matches!(self.of, Of::Tunnel | Of::Connection)
    }
}
