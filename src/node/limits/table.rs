//! Every limit there is: its name, how much there may be, and what to do about it. `/v1/limits`, the log and the metrics say what is here.

use std::time::Duration;

use culvert_api::{LimitOf as Of, LimitUnit as Unit};

/// A limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Limit {
    OpenFiles,
    Descriptors,
    DescriptorsOfPod,
    DescriptorsOfPeer,
    ConnectionsOfPod,
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

/// The table, in the order of the names above.
static TABLE: [(Limit, Facts); 18] = [
    (
        Limit::OpenFiles,
        Facts { of: Of::Process, most: None, ..of_pod(0) }.named(
            "open_files",
            "descriptors the process may have; without one, accepting pauses for 0.1 s at a time",
            "raise the limit on open files of the node program (LimitNOFILE, or the container's)",
        ),
    ),
    (
        Limit::Descriptors,
        of_room(Of::Process).named(
            "descriptors",
            "descriptors of the process for all that pods do; another connection is reset",
            MORE_DESCRIPTORS,
        ),
    ),
    (
        Limit::DescriptorsOfPod,
        of_room(Of::Pod).named(
            "descriptors_of_a_pod",
            "a pod may have as many descriptors as are left free for all others; its next connection is reset",
            MORE_DESCRIPTORS,
        ),
    ),
    (
        Limit::DescriptorsOfPeer,
        of_room(Of::Peer).named(
            "descriptors_of_a_peer",
            "who connects to a pod may have four times as many descriptors as the pod has left for others; his next connection is reset, or refused with 503",
            MORE_DESCRIPTORS,
        ),
    ),
    (
        Limit::ConnectionsOfPod,
        Facts { setting: Some("CULVERT_MOST_CONNECTIONS_PER_POD"), ..of_room(Of::Pod) }.named(
            "connections_of_a_pod",
            "connections of a pod, in both directions; another one is reset, or refused with 503",
            "look at who opens so many connections, or raise CULVERT_MOST_CONNECTIONS_PER_POD",
        ),
    ),
    (
        Limit::HandshakesOfPod,
        of_pod(HANDSHAKES as u64).named(
            "handshakes_of_a_pod",
            "tunnels to a pod whose peers have not proven who they are; for one more the oldest of the source with most is disconnected",
            STRANGERS,
        ),
    ),
    (
        Limit::HandshakesOfSource,
        of_pod(HANDSHAKES_OF_SOURCE as u64).of(Of::Source).named(
            "handshakes_of_a_source",
            "the same from one address (IPv6: a /64); for one more its oldest is disconnected",
            STRANGERS,
        ),
    ),
    (
        Limit::AcceptDeadline,
        of_time(crate::tunnel::server::ACCEPT_DEADLINE).of(Of::Connection).named(
            "accept_deadline",
            "time a peer has to prove who it is; then it is disconnected",
            "look at what is between, or at who connects to port 15008 and says nothing",
        ),
    ),
    (
        Limit::PrefaceDeadline,
        of_time(Duration::from_secs(10)).of(Of::Tunnel).named(
            "preface_deadline",
            "time a peer that has proven who it is has to begin HTTP/2; then its tunnel ends",
            "look at the peer, whose program does not do what it should",
        ),
    ),
    (
        Limit::FirstRequestDeadline,
        of_time(crate::tunnel::server::FIRST_REQUEST_DEADLINE).of(Of::Tunnel).named(
            "first_request_deadline",
            "time a peer has to ask for its first connection; then its tunnel ends in order",
            "look at the peer, which opens tunnels and does not use them",
        ),
    ),
    (
        Limit::TunnelsOfPeer,
        of_pod(4096).of(Of::Peer).named(
            "tunnels_of_a_peer",
            "tunnels a peer has to a pod; one more is closed",
            "look at the peer, which opens tunnels in place of using those it has",
        ),
    ),
    (
        Limit::StreamsOfTunnel,
        of_pod(crate::tunnel::MOST_STREAMS as u64).of(Of::Tunnel).named(
            "streams_of_a_tunnel",
            "connections in a tunnel a peer has opened; one more is refused unseen (REFUSED_STREAM), and peers open another tunnel",
            "look at the peer, which was told how many there may be and wants more",
        ),
    ),
    (
        Limit::FieldsOfRequest,
        Facts { unit: Unit::Bytes, ..of_pod(crate::tunnel::MOST_FIELDS as u64).of(Of::Connection) }.named(
            "fields_of_a_request",
            "header fields of a CONNECT; a larger one is answered with 431",
            "look at the peer: no CONNECT needs as much",
        ),
    ),
    (
        Limit::SocksNegotiations,
        of_pod(1024).named(
            "socks_negotiations_of_a_pod",
            "connections to port 15080 that have not said whom they want; one more is closed",
            "look at the SOCKS clients of the pod",
        ),
    ),
    (
        Limit::SocksNegotiationDeadline,
        of_time(crate::socks::NEGOTIATION_DEADLINE).of(Of::Connection).named(
            "socks_negotiation_deadline",
            "time a SOCKS client has to say whom it wants; then it is disconnected",
            "look at the SOCKS client of the pod",
        ),
    ),
    (
        Limit::DnsQueries,
        of_pod(1024).named(
            "dns_queries_of_a_pod",
            "queries that wait for other servers; one more is answered with SERVFAIL",
            "look at what the pod asks for, and at its nameservers, which are slow or away",
        ),
    ),
    (
        Limit::DnsConnections,
        of_pod(256).of_descriptors().named(
            "dns_connections_of_a_pod",
            "DNS connections over TCP; one more is closed",
            "look at what the pod asks for over TCP",
        ),
    ),
    (
        Limit::DnsSockets,
        of_pod(256).of_descriptors().named(
            "dns_sockets_of_a_pod",
            "different queries that other servers are asked at once; one more is answered with SERVFAIL",
            "look at what the pod asks for, and at its nameservers, which are slow or away",
        ),
    ),
];

/// Peers of one pod that have not proven who they are yet, in all and of one address. A gateway opens a tunnel for each connection it
/// brings: a handshake over a long way takes a while, and there may be many at a time.
pub(crate) const HANDSHAKES: usize = 512;
pub(crate) const HANDSHAKES_OF_SOURCE: usize = 64;

/// What to do about those who do not say who they are.
const STRANGERS: &str = "look for who opens connections to port 15008 and does not go on, or close that port to whoever is not of the mesh";

/// What to do where descriptors are too few.
const MORE_DESCRIPTORS: &str = "look at who opens so many connections, or raise the limit on open files of the node program (LimitNOFILE, or the container's)";

/// How much there may be depends on what others have, or is set.
const fn of_room(of: Of) -> Facts {
    Facts { of, most: None, ..of_pod(0) }
}

const fn of_pod(most: u64) -> Facts {
    Facts {
        name: "",
        of: Of::Pod,
        unit: Unit::Count,
        most: Some(most),
        setting: None,
        is_descriptor: false,
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

    /// Whether there is something that is held while it counts: not so for time, which only passes, or what a tunnel keeps to itself.
    pub(crate) const fn is_held(&self) -> bool {
        matches!(self.unit, Unit::Count) && !matches!(self.of, Of::Tunnel)
    }
}
