//! What is in the table: a row for each limit, in the order of the names.

use std::time::Duration;

use super::{
    Facts, HANDSHAKES, HANDSHAKES_OF_SOURCE, Limit, Of, Unit, of_bytes, of_pod, of_room, of_set_time, of_time,
};

/// The table, in the order of the names.
pub(super) static TABLE: [(Limit, Facts); 26] = [
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
        Limit::Beginnings,
        Facts { is_rate: true, ..of_room(Of::Pod) }.named(
            "beginnings_of_a_pod",
            "connections a second that a pod begins, and a peer to it, for 5 s after it has begun six times as many while processors were short and others had connections; the next ones wait",
            "look at who opens so many connections, or give the node more processors",
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
    (
        Limit::BufferedBytes,
        Facts { setting: Some("CULVERT_MOST_BUFFERED_BYTES"), ..of_bytes(Of::Process) }.named(
            "buffered_bytes",
            "memory of the process for what applications do not take; a connection whose bytes have no place is reset at both ends",
            READERS_OR_MORE_MEMORY,
        ),
    ),
    (
        Limit::BufferedBytesOfPod,
        of_bytes(Of::Pod).named(
            "buffered_bytes_of_a_pod",
            "a pod may have as much memory for what its applications do not take as is left free for all others; a connection whose bytes have no place is reset at both ends",
            READERS_OR_MORE_MEMORY,
        ),
    ),
    (
        Limit::BufferedBytesOfPeer,
        of_bytes(Of::Peer).named(
            "buffered_bytes_of_a_peer",
            "what is kept of who connects to a pod may be four times what the pod has left for others; a connection whose bytes have no place is reset at both ends",
            READERS_OR_MORE_MEMORY,
        ),
    ),
    (
        Limit::BufferedBytesOfTunnel,
        Facts { setting: Some("HTTP2_CONNECTION_WINDOW_SIZE"), ..of_bytes(Of::Tunnel) }.named(
            "buffered_bytes_of_a_tunnel",
            "bytes of a tunnel that applications have not taken; its senders wait, and a peer that sends more all the same has its tunnel ended",
            "look at the peer, which was told how much it may send and sends more",
        ),
    ),
    (
        Limit::BufferedBytesOfStream,
        Facts { setting: Some("HTTP2_STREAM_WINDOW_SIZE"), ..of_bytes(Of::Connection) }.named(
            "buffered_bytes_of_a_stream",
            "bytes of a connection in a tunnel that its application has not taken; the sender waits, and the connection of a peer that sends more all the same is reset",
            "look at the peer, which was told how much it may send and sends more",
        ),
    ),
    (
        Limit::HalfClosedIdle,
        Facts { setting: Some("CULVERT_HALF_CLOSED_IDLE"), ..of_set_time() }.named(
            "half_closed_idle",
            "time in which nothing moves on a connection of which one direction has ended; then it is reset at both ends",
            "see which of the applications does not end its connections, or raise CULVERT_HALF_CLOSED_IDLE of both nodes",
        ),
    ),
    (
        Limit::Idle,
        Facts { setting: Some("CULVERT_IDLE_TIMEOUT"), ..of_set_time() }.named(
            "idle",
            "time in which nothing moves on a connection; then it is reset at both ends",
            "have the application send something now and then, or raise CULVERT_IDLE_TIMEOUT of both nodes",
        ),
    ),
];

/// What to do about those who do not say who they are.
const STRANGERS: &str = "look for who opens connections to port 15008 and does not go on, or close that port to whoever is not of the mesh";

/// What to do where descriptors are too few.
const MORE_DESCRIPTORS: &str = "look at who opens so many connections, or raise the limit on open files of the node program (LimitNOFILE, or the container's)";

/// What to do where applications leave too much to be kept.
const READERS_OR_MORE_MEMORY: &str = "see which application does not read what it is sent (open connections whose bytes stand still), or raise CULVERT_MOST_BUFFERED_BYTES as far as the memory of the node program allows";
