//! Why a connection is refused: one value with the faces it shows to operators and peers.
//!
//! Comes out: the sentence for the log, the key for metrics, the HTTP status for the tunnel peer, the flag of the access
//! log. They are made here and nowhere else so that they cannot disagree. Deliberately absent: failures of the network
//! or of certificates, which are not decisions.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::hbone::Authority;
use crate::hbone::proxy_status::Kind;
use crate::identity::NotAnIdentity;
use crate::policy::Denial;
use crate::workload::GatewayAddress;

/// A connection that will not be made, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The connection would come back to the proxy that makes it.
    #[error(
        "{destination} is a port of this proxy; connections to it would loop, call the application's own port"
    )]
    Loop {
        /// What was dialled.
        destination: SocketAddr,
    },
    /// The service does not have the port.
    #[error(
        "no healthy upstream: {destination}: service {service} does not declare port {}; \
         add the port to the service or dial one it has", destination.port()
    )]
    UnknownServicePort {
        /// The service, `<namespace>/<hostname>`.
        service: Arc<str>,
        /// What was dialled.
        destination: SocketAddr,
    },
    /// The service has no endpoint that can take the connection.
    #[error(
        "no healthy upstream: {destination}: no endpoint of service {service} can take the connection ({known} known); \
         look at the readiness of its pods, its load balancing mode and its port names"
    )]
    NoEndpoint {
        /// The service, `<namespace>/<hostname>`.
        service: Arc<str>,
        /// What was dialled.
        destination: SocketAddr,
        /// How many endpoints the service has, whatever their state.
        known: usize,
    },
    /// The destination asks for a waypoint that does not exist.
    #[error(
        "unknown waypoint: {target} is behind {waypoint}, which is no service or workload, and going around it would skip \
         its policies; deploy the waypoint or detach it"
    )]
    UnknownWaypoint {
        /// The service or workload.
        target: Arc<str>,
        /// The waypoint, as configured.
        waypoint: GatewayAddress,
    },
    /// The destination asks for a waypoint that cannot take the connection.
    #[error(
        "{target} is behind waypoint {waypoint}, which cannot take the connection, and going around it would skip its \
         policies"
    )]
    WaypointNotReady {
        /// The service or workload.
        target: Arc<str>,
        /// The waypoint, as configured.
        waypoint: GatewayAddress,
        /// Why it cannot.
        #[source]
        why: Box<Self>,
    },
    /// The workload is on another network, and nothing leads there.
    #[error(
        "{workload} is on network `{network}`, which has no gateway; \
         deploy an east-west gateway there, or give the service an endpoint on the client's own network"
    )]
    NoGateway {
        /// The uid of the workload.
        workload: Arc<str>,
        /// Its network.
        network: Arc<str>,
    },
    /// The workload is on another network, whose gateway does not exist.
    #[error(
        "unknown network gateway: {workload} is on another network, behind {gateway}, which is no service or workload; \
         deploy the gateway, or correct the workload's reference to it"
    )]
    UnknownGateway {
        /// The uid of the workload.
        workload: Arc<str>,
        /// The gateway, as configured.
        gateway: GatewayAddress,
    },
    /// The workload is on another network, whose gateway cannot take the connection.
    #[error("{workload} is on another network, behind {gateway}, which cannot take the connection")]
    GatewayNotReady {
        /// The uid of the workload.
        workload: Arc<str>,
        /// The gateway, as configured.
        gateway: GatewayAddress,
        /// Why it cannot.
        #[source]
        why: Box<Self>,
    },
    /// The workload is on another network, where an address of this one means nothing.
    #[error(
        "{workload} is on network `{network}`, and a gateway is asked for services by name: {destination} is no service; \
         call the service instead of the pod"
    )]
    NotThroughGateway {
        /// The uid of the workload.
        workload: Arc<str>,
        /// Its network.
        network: Arc<str>,
        /// What was dialled.
        destination: SocketAddr,
    },
    /// Whoever is behind a network gateway could not be recognised.
    #[error(
        "service {service} vouches for nobody, so that whoever answers behind the gateway of network `{network}` cannot be \
         recognised; give the service the subject alternative names of its pods"
    )]
    NobodyVouchedFor {
        /// The service, `<namespace>/<hostname>`.
        service: Arc<str>,
        /// The network.
        network: Arc<str>,
    },
    /// The endpoint has only a name, whose addresses are not known.
    #[error(
        "{workload} has no address, only the name `{hostname}`, whose addresses are not known; look it up"
    )]
    HostnameNotResolved {
        /// The uid of the workload.
        workload: Arc<str>,
        /// Its hostname.
        hostname: Arc<str>,
    },
    /// The endpoint has no address that may be used.
    #[error(
        "{workload} has no address that the service's IP families allow; \
         give the workload such an address or change ipFamilies of the service"
    )]
    NoAddress {
        /// The uid of the workload.
        workload: Arc<str>,
    },
    /// The endpoint speaks HBONE but nobody could recognise it.
    #[error(
        "the identity of {workload} is not usable; correct its namespace, service account or trust domain"
    )]
    NoIdentity {
        /// The uid of the workload.
        workload: Arc<str>,
        /// What is wrong with it.
        #[source]
        source: NotAnIdentity,
    },
    /// The tunnel peer asks for an address that is not the one it connected to.
    #[error(
        "ip mismatch: {asked} != {local}; the peer's view of the mesh is stale, or it is not meant for this pod"
    )]
    IpMismatch {
        /// The address in the CONNECT request.
        asked: IpAddr,
        /// The address the tunnel arrived at.
        local: IpAddr,
    },
    /// The tunnel peer asks for a host that is no service.
    #[error(
        "no service is called `{host}`; the peer's view of the mesh is stale, or the service was removed"
    )]
    UnknownHost {
        /// The host in the CONNECT request.
        host: String,
    },
    /// The tunnel peer asks for a service the workload is not part of.
    #[error("{workload} is not an endpoint of service {service}; look at the selector of the service")]
    NotAnEndpoint {
        /// The uid of the local workload.
        workload: Arc<str>,
        /// The service, `<namespace>/<hostname>`.
        service: Arc<str>,
    },
    /// The tunnel peer asks for a port of the service that leads nowhere on the workload.
    #[error("{authority} has no target port on {workload}; look at the ports of the service and of the pod")]
    NoTargetPort {
        /// The uid of the local workload.
        workload: Arc<str>,
        /// What the peer asked for.
        authority: Authority,
    },
    /// The tunnel peer asks for a port of the proxy itself.
    #[error("port {port} belongs to the proxy, not to the application; dial the application's own port")]
    OwnPort {
        /// The port.
        port: u16,
    },
    /// The local workload wants to be told the address that was called, and there is none.
    #[error(
        "{workload} takes its traffic with PROXY protocol, and service {service} has no virtual address to put there; give \
         the service one"
    )]
    NoVirtualAddress {
        /// The uid of the local workload.
        workload: Arc<str>,
        /// The service that was called, `<namespace>/<hostname>`.
        service: Arc<str>,
    },
    /// The policies do not let the peer in.
    #[error("connection closed due to policy rejection: {0}")]
    Denied(Denial),
}

/// The `response_flags` value of metrics and access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flag {
    /// Nothing went wrong, or nothing with a flag of its own.
    None,
    /// A policy denied the connection.
    Deny,
    /// The destination could not be connected to.
    Connect,
    /// The TLS handshake failed.
    TlsFailure,
    /// The HTTP/2 handshake failed.
    H2HandshakeFailure,
    /// A firewall is in the way, most likely a NetworkPolicy.
    NetworkPolicy,
    /// A certificate or identity is missing.
    IdentityError,
    /// The peer's certificate was revoked.
    CertRevoked,
}

impl Refusal {
    /// Gives the stable key of the reason, for metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Loop { .. } => "loop",
            Self::UnknownServicePort { .. } => "unknown_service_port",
            Self::NoEndpoint { .. } => "no_endpoint",
            Self::UnknownWaypoint { .. } => "unknown_waypoint",
            Self::WaypointNotReady { .. } => "waypoint_not_ready",
            Self::NoGateway { .. } => "no_gateway",
            Self::UnknownGateway { .. } => "unknown_gateway",
            Self::GatewayNotReady { .. } => "gateway_not_ready",
            Self::NotThroughGateway { .. } => "not_through_gateway",
            Self::NobodyVouchedFor { .. } => "nobody_vouched_for",
            Self::HostnameNotResolved { .. } => "hostname_not_resolved",
            Self::NoAddress { .. } => "no_address",
            Self::NoIdentity { .. } => "no_identity",
            Self::IpMismatch { .. } => "ip_mismatch",
            Self::UnknownHost { .. } => "unknown_host",
            Self::NotAnEndpoint { .. } => "not_an_endpoint",
            Self::NoTargetPort { .. } => "no_target_port",
            Self::OwnPort { .. } => "own_port",
            Self::NoVirtualAddress { .. } => "no_virtual_address",
            Self::Denied(_) => "denied",
        }
    }

    /// Gives the status a tunnel peer is answered with: 400 when the request is at fault, 401 when the peer is, 503
    /// when this side is.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        match self {
            Self::IpMismatch { .. } => 400,
            Self::Denied(_) => 401,
            Self::Loop { .. }
            | Self::UnknownServicePort { .. }
            | Self::NoEndpoint { .. }
            | Self::UnknownWaypoint { .. }
            | Self::WaypointNotReady { .. }
            | Self::NoGateway { .. }
            | Self::UnknownGateway { .. }
            | Self::GatewayNotReady { .. }
            | Self::NotThroughGateway { .. }
            | Self::NobodyVouchedFor { .. }
            | Self::HostnameNotResolved { .. }
            | Self::NoAddress { .. }
            | Self::NoIdentity { .. }
            | Self::UnknownHost { .. }
            | Self::NotAnEndpoint { .. }
            | Self::NoTargetPort { .. }
            | Self::OwnPort { .. }
            | Self::NoVirtualAddress { .. } => 503,
        }
    }

    /// Gives what a tunnel peer is told beside the status (RFC 9209).
    #[must_use]
    pub fn proxy_error(&self) -> Kind {
        match self {
            Self::Denied(_) => Kind::HttpRequestDenied,
            Self::Loop { .. } | Self::OwnPort { .. } => Kind::ProxyLoopDetected,
            Self::UnknownServicePort { .. }
            | Self::IpMismatch { .. }
            | Self::UnknownHost { .. }
            | Self::NotAnEndpoint { .. }
            | Self::NoTargetPort { .. }
            | Self::HostnameNotResolved { .. }
            | Self::NoAddress { .. }
            | Self::NoVirtualAddress { .. } => Kind::DestinationNotFound,
            Self::NoEndpoint { .. }
            | Self::UnknownWaypoint { .. }
            | Self::WaypointNotReady { .. }
            | Self::NoGateway { .. }
            | Self::UnknownGateway { .. }
            | Self::GatewayNotReady { .. }
            | Self::NotThroughGateway { .. } => Kind::DestinationUnavailable,
            Self::NobodyVouchedFor { .. } | Self::NoIdentity { .. } => Kind::ProxyConfigurationError,
        }
    }

    /// Gives the flag of the access log.
    #[must_use]
    pub fn flag(&self) -> Flag {
        match self {
            Self::Denied(_) => Flag::Deny,
            Self::NoIdentity { .. } | Self::NobodyVouchedFor { .. } => Flag::IdentityError,
            Self::UnknownServicePort { .. }
            | Self::NoEndpoint { .. }
            | Self::UnknownWaypoint { .. }
            | Self::WaypointNotReady { .. }
            | Self::NoGateway { .. }
            | Self::UnknownGateway { .. }
            | Self::GatewayNotReady { .. }
            | Self::NotThroughGateway { .. }
            | Self::HostnameNotResolved { .. }
            | Self::NoAddress { .. } => Flag::Connect,
            Self::Loop { .. }
            | Self::IpMismatch { .. }
            | Self::UnknownHost { .. }
            | Self::NotAnEndpoint { .. }
            | Self::NoTargetPort { .. }
            | Self::OwnPort { .. }
            | Self::NoVirtualAddress { .. } => Flag::None,
        }
    }
}

/// Something that has to be found out before a connection can be routed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// What a waypoint or network gateway is, if the mesh state is there on demand only.
    Gateway(GatewayAddress),
    /// The addresses of a host.
    Addresses(Arc<str>),
}

impl Refusal {
    /// Gives what could be found out, so that there would perhaps be a way.
    #[must_use]
    pub fn missing(&self) -> Option<Missing> {
        match self {
            Self::UnknownWaypoint { waypoint: gateway, .. } | Self::UnknownGateway { gateway, .. } => {
                Some(Missing::Gateway(gateway.clone()))
            }
            Self::HostnameNotResolved { hostname, .. } => Some(Missing::Addresses(hostname.clone())),
            Self::WaypointNotReady { why, .. } | Self::GatewayNotReady { why, .. } => why.missing(),
            Self::Loop { .. }
            | Self::UnknownServicePort { .. }
            | Self::NoEndpoint { .. }
            | Self::NoGateway { .. }
            | Self::NotThroughGateway { .. }
            | Self::NobodyVouchedFor { .. }
            | Self::NoAddress { .. }
            | Self::NoIdentity { .. }
            | Self::IpMismatch { .. }
            | Self::UnknownHost { .. }
            | Self::NotAnEndpoint { .. }
            | Self::NoTargetPort { .. }
            | Self::OwnPort { .. }
            | Self::NoVirtualAddress { .. }
            | Self::Denied(_) => None,
        }
    }
}

impl Flag {
    /// Gives the text operators filter by.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "-",
            Self::Deny => "DENY",
            Self::Connect => "CONNECT",
            Self::TlsFailure => "TLS_FAILURE",
            Self::H2HandshakeFailure => "H2_HANDSHAKE_FAILURE",
            Self::NetworkPolicy => "NETWORK_POLICY",
            Self::IdentityError => "IDENTITY_ERROR",
            Self::CertRevoked => "CERT_REVOKED",
        }
    }
}

#[cfg(test)]
mod tests;
