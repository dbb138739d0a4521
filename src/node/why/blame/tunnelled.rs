//! Who has to act when a tunnel was not made, or its other end has refused.

use culvert_api::Culprit;
use culvert_core::hbone::proxy_status::{Kind, Said};

use super::{Blame, Seen, blame, is_there, of_own_certificate, of_way, out_of_descriptors};
use crate::deliver::dial;
use crate::identity::Refused;
use crate::tunnel;

pub(super) fn of_tunnel(error: &tunnel::Error, seen: Seen) -> Blame {
    match error {
        tunnel::Error::Identity { source, .. } => of_own_certificate(source),
        tunnel::Error::Dial(error) => of_tunnel_dial(error, seen),
        tunnel::Error::OutOfPatience { connected: false, .. } => firewall(),
        tunnel::Error::EstablishTimedOut { .. } | tunnel::Error::OutOfPatience { connected: true, .. } => {
            missing(
                seen,
                "look at the mesh program on the other end's node: its port 15008 takes connections and does not answer",
            )
        }
        tunnel::Error::Peer { source, .. } => of_peer(source),
        tunnel::Error::Revoked { .. } => of_peer(&Refused::Revoked),
        tunnel::Error::Tls { .. } => certificates(),
        tunnel::Error::HungUp { .. } => blame(
            Culprit::Unknown,
            "ask the node of the destination for its refusals and identities: it took the connection and ended it before it had proven anything, as it does for a pod that it does not know or has no certificate for; a firewall that looks into connections does so, too",
        ),
        tunnel::Error::Http2 { .. } => {
            blame(Culprit::Mesh, "please report it with the logs of both nodes: the tunnel itself went wrong")
        }
        tunnel::Error::ClientGone(_) => {
            blame(Culprit::Client, "look at the calling application: it left before the connection was made")
        }
        tunnel::Error::Status { status, said, .. } => of_status(*status, said.as_deref(), seen),
        tunnel::Error::AnswerTimedOut { .. } => missing(
            seen,
            "look at the mesh program on the other end's node: it has the tunnel and does not answer a request",
        ),
        tunnel::Error::Broken { .. } | tunnel::Error::Gone { .. } => missing(
            seen,
            "see whether the mesh program on the other end's node was restarted or killed at that time",
        ),
        tunnel::Error::Pipe(_) => out_of_descriptors(),
        tunnel::Error::Exceeded(exceeded) => blame(Culprit::Capacity, exceeded.remedy()),
        tunnel::Error::Behind { source, .. } => {
            of_tunnel(source, Seen { through: !matches!(**source, tunnel::Error::Status { .. }), ..seen })
        }
    }
}

/// Whoever should have been at the other end of the tunnel: its kernel takes what is sent, and it says nothing.
pub(in crate::why) fn stopped(seen: Seen) -> Blame {
    missing(
        seen,
        "look at the mesh program on the other end's node: all that was sent to it has arrived, and it says nothing, not even to PING",
    )
}

/// Whoever should have been at the other end of the tunnel.
pub(super) fn missing(seen: Seen, remedy: &'static str) -> Blame {
    if seen.through {
        return blame(
            Culprit::Waypoint,
            "look at the waypoint or gateway on the way: it does not do its part",
        );
    }
    blame(Culprit::NodeMissing, remedy)
}

fn firewall() -> Blame {
    blame(
        Culprit::Firewall,
        "let TCP port 15008 in to the destination: NetworkPolicies that list ports need an ingress rule for it, and so do firewalls between nodes",
    )
}

pub(super) fn certificates() -> Blame {
    blame(
        Culprit::Certificate,
        "compare roots and validity at both ends (/v1/identities), and the clocks of both nodes",
    )
}

fn of_tunnel_dial(error: &dial::Error, seen: Seen) -> Blame {
    match error {
        dial::Error::Socket { .. } => out_of_descriptors(),
        dial::Error::TimedOut { .. } | dial::Error::OutOfPatience { .. } => firewall(),
        dial::Error::Refused { source, .. } if is_there(source) => missing(
            seen,
            "see whether a mesh program runs on the destination's node, and whether the pod is enrolled there: nobody listens on its port 15008",
        ),
        dial::Error::Refused { source, .. } => of_way(source),
    }
}

pub(super) fn of_peer(refused: &Refused) -> Blame {
    match refused {
        Refused::Identity { .. } => blame(
            Culprit::StaleConfig,
            "somebody else is at that address than the mesh state says: see how old it is (/v1/node), and who has the address now",
        ),
        Refused::Revoked => {
            blame(Culprit::Certificate, "the peer's certificate is on a revocation list; have it issued anew")
        }
        Refused::TrustDomain { .. } => blame(
            Culprit::Certificate,
            "the peer is of another trust domain; add it to CULVERT_TRUST_DOMAIN_ALIASES if it is one of ours",
        ),
        Refused::NoCertificate | Refused::NoIdentity | Refused::Expired { .. } => certificates(),
    }
}

/// What the other end says about a request it refused.
fn of_status(status: u16, said: Option<&Said>, seen: Seen) -> Blame {
    if let Some(kind) = said.and_then(Said::kind) {
        return of_kind(kind, said.and_then(|said| said.details.as_deref()));
    }
    match status {
        401 | 403 => denied_there(),
        400 => blame(
            Culprit::StaleConfig,
            "the peer does not take this for its own: compare both nodes' mesh state",
        ),
        _ if seen.through => blame(
            Culprit::Waypoint,
            "look at the log of the waypoint or gateway: it could not pass the connection on, and does not say why",
        ),
        _ => blame(
            Culprit::Server,
            "see whether the application listens on that port; its node could not connect to it",
        ),
    }
}

fn denied_there() -> Blame {
    blame(
        Culprit::Policy,
        "ask the node of the destination for its refusals: it names the policy (culvert get refusals)",
    )
}

fn of_kind(kind: Kind, details: Option<&str>) -> Blame {
    match kind {
        Kind::HttpRequestDenied => denied_there(),
        Kind::ConnectionRefused => {
            blame(Culprit::Server, "start the application, or correct the port: nothing listens there")
        }
        Kind::ConnectionTimeout | Kind::ConnectionReadTimeout | Kind::ConnectionWriteTimeout => blame(
            Culprit::Server,
            "look at the destination pod: it does not take connections (a full accept queue, or a packet filter of its own)",
        ),
        Kind::ConnectionTerminated | Kind::DestinationUnavailable | Kind::DestinationIpUnroutable => {
            blame(Culprit::Server, "look at the destination pod: its node could not reach it")
        }
        Kind::ConnectionLimitReached => {
            blame(Culprit::Capacity, "the other end has as many connections as it takes; raise its limit")
        }
        Kind::DestinationNotFound | Kind::DestinationIpProhibited | Kind::HttpRequestError => blame(
            Culprit::StaleConfig,
            "compare both nodes' mesh state: the other end does not know what it was asked for",
        ),
        Kind::DnsError | Kind::DnsTimeout => {
            blame(Culprit::Dns, "look up the destination's name where it is")
        }
        Kind::TlsCertificateError | Kind::TlsProtocolError | Kind::TlsAlertReceived => certificates(),
        Kind::ProxyLoopDetected => {
            blame(Culprit::Client, "call the port of the application, not one of the proxy's")
        }
        Kind::ProxyConfigurationError => {
            blame(Culprit::Config, "ask the node of the destination for its refusals: it says what is wrong")
        }
        Kind::ProxyInternalError => of_details(details),
        Kind::HttpResponseIncomplete
        | Kind::HttpResponseTimeout
        | Kind::HttpProtocolError
        | Kind::ProxyInternalResponse => {
            blame(Culprit::Waypoint, "look at the log of the proxy on the way; it gives no other reason")
        }
    }
}

/// What one of our nodes says is wrong with itself.
fn of_details(details: Option<&str>) -> Blame {
    match details {
        // It could not make a socket to its workload: to be refused is another error.
        Some("workload_refused") => out_of_descriptors(),
        Some("workload_unknown" | "demand_unanswered") => blame(
            Culprit::StaleConfig,
            "see /v1/node of the destination's node: its mesh state does not have its own pod",
        ),
        Some("no_certificate" | "identity_invalid") => certificates(),
        _ => {
            blame(Culprit::Server, "ask the node of the destination for its refusals: it says what is wrong")
        }
    }
}
