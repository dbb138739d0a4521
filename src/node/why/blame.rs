//! Who has to act when a connection was not made, or broke: one answer for each failure.
//!
//! Goes in: the failure, and from which side it was seen. Comes out: the culprit and what to do. What else is known of that moment, such
//! as a control plane that is away, is weighed by [`super::verdict`].

use std::io;

use culvert_api::Culprit;
use culvert_core::policy::Denial;
use culvert_core::refusal::Refusal;

use crate::deliver::dial;
use crate::identity::{self, Refused};
use crate::ledger::Direction;
use crate::outcome::Failure;
use crate::stream::quiet::{Ended, Quiet};
use crate::stream::{Broken, Early, Loss, Reset, Side};
use crate::{socks, tunnel};

mod tunnelled;

pub(super) use tunnelled::stopped;
use tunnelled::{certificates, missing, of_peer, of_tunnel};

/// Who has to act, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blame {
    pub(super) culprit: Culprit,
    pub(super) remedy: &'static str,
}

/// From where a failure was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) direction: Direction,
    /// Whether the way led through a waypoint, or the gateway of another network.
    pub(super) through: bool,
}

const fn blame(culprit: Culprit, remedy: &'static str) -> Blame {
    Blame { culprit, remedy }
}

/// Who has to act about a failure.
pub(super) fn of(failure: &Failure, seen: Seen) -> Blame {
    match failure {
        Failure::Refused(refusal) => of_refusal(refusal),
        Failure::Unanswered(_) => blame(
            Culprit::StaleConfig,
            "see /v1/node for how long the control plane has not answered, and why; look at its log",
        ),
        Failure::PolicyChanged(denial) => of_denial(denial),
        Failure::NoWorkload { .. } => blame(
            Culprit::StaleConfig,
            "see whether the control plane knows the pod (its service account and its node's name have to be right) and whether xDS is up in /v1/node",
        ),
        Failure::NoIdentity(_) => {
            blame(Culprit::Config, "correct the namespace, service account or trust domain of the workload")
        }
        Failure::NoCertificate(error) => of_own_certificate(error),
        Failure::Host(_) => blame(
            Culprit::Dns,
            "ask the pod's nameservers for the name from within the pod; correct the name or publish it",
        ),
        Failure::Tunnel(error) => of_tunnel(error, seen),
        Failure::Socks(socks::Error::Descriptor(_)) => out_of_descriptors(),
        Failure::Socks(_) => blame(Culprit::Client, "look at the SOCKS client of the pod"),
        Failure::Accept(error) => of_accept(error),
        Failure::Exceeded(exceeded) | Failure::Overfull(exceeded) => {
            blame(Culprit::Capacity, exceeded.remedy())
        }
        Failure::BadRequest(_) => {
            blame(Culprit::Client, "look at the peer: it speaks HBONE in a way nobody else does")
        }
        Failure::PeerGone => {
            blame(Culprit::Client, "look at the calling application: it left before it was answered")
        }
        Failure::NotOurAddress(_) => blame(
            Culprit::Client,
            "look for who sends packets for other addresses to this pod: a load balancer or routes",
        ),
        Failure::Dial(error) => of_dial(error, seen),
        Failure::Broken(early) => of_break(early, seen),
        Failure::Quiet(quiet) => of_quiet(*quiet),
        Failure::Drained => blame(
            Culprit::NodeMissing,
            "nothing, if this node program was to be replaced or the pod was to go; else raise the drain deadline",
        ),
    }
}

fn of_quiet(quiet: Quiet) -> Blame {
    match quiet.ended {
        Ended::Neither => blame(
            Culprit::Config,
            "nothing, if idle connections are to be ended; else raise CULVERT_IDLE_TIMEOUT of both nodes, or have the application send something now and then",
        ),
        Ended::Only(Side::Client) => blame(
            Culprit::Server,
            "see why the server's application neither answers nor closes when its client has sent all; for longer answers raise CULVERT_HALF_CLOSED_IDLE of both nodes",
        ),
        Ended::Only(Side::Server) => blame(
            Culprit::Client,
            "see why the client's application neither sends nor closes when its server has sent all; for longer requests raise CULVERT_HALF_CLOSED_IDLE of both nodes",
        ),
        Ended::Both => blame(
            Culprit::Client,
            "see which of the applications does not read what it was sent; the bytes that are open at either end tell",
        ),
    }
}

fn of_refusal(refusal: &Refusal) -> Blame {
    match refusal {
        Refusal::Denied(denial) => of_denial(denial),
        Refusal::Loop { .. } | Refusal::OwnPort { .. } => {
            blame(Culprit::Client, "call the port of the application, not one of the proxy's")
        }
        Refusal::NoEndpoint { known: 0, .. } => blame(
            Culprit::Server,
            "start a pod the service selects, or correct its selector; there is none in the mesh state",
        ),
        Refusal::NoEndpoint { .. } => blame(
            Culprit::Server,
            "see why none of the service's pods is ready (kubectl describe pod: readiness probe)",
        ),
        Refusal::UnknownServicePort { .. } => {
            blame(Culprit::Config, "add the port to the service, or call one it has")
        }
        Refusal::WaypointNotReady { .. } | Refusal::GatewayNotReady { .. } => {
            blame(Culprit::Waypoint, "start the waypoint or gateway: none of its pods is ready")
        }
        Refusal::HostnameNotResolved { .. } => {
            blame(Culprit::Dns, "publish the name, or give the workload an address")
        }
        Refusal::IpMismatch { .. } | Refusal::UnknownHost { .. } | Refusal::NotAnEndpoint { .. } => blame(
            Culprit::StaleConfig,
            "compare both nodes' mesh state (/v1/workloads, /v1/services); one of them is old or wrong",
        ),
        Refusal::UnknownWaypoint { .. }
        | Refusal::NoGateway { .. }
        | Refusal::UnknownGateway { .. }
        | Refusal::NotThroughGateway { .. }
        | Refusal::NobodyVouchedFor { .. }
        | Refusal::NoAddress { .. }
        | Refusal::NoIdentity { .. }
        | Refusal::NoTargetPort { .. }
        | Refusal::NoVirtualAddress { .. } => blame(
            Culprit::Config,
            "correct the service, workload or gateway that is named; the error says how",
        ),
    }
}

pub(super) fn of_denial(denial: &Denial) -> Blame {
    match denial {
        Denial::Explicit { .. } => {
            blame(Culprit::Policy, "change that policy, if this caller shall be let in")
        }
        Denial::NoneAllowed => blame(
            Culprit::Policy,
            "add the caller to one of the ALLOW policies that apply to the destination, if it shall be let in",
        ),
        Denial::UnusablePolicy { .. } => {
            blame(Culprit::Policy, "correct the policy: what cannot be understood denies all it applies to")
        }
        Denial::UnknownPolicy { .. } => blame(
            Culprit::StaleConfig,
            "see why the control plane has not sent the policy the workload refers to; until then it denies",
        ),
    }
}

fn of_own_certificate(error: &identity::Error) -> Blame {
    match error {
        identity::Error::Forgotten => {
            blame(Culprit::NodeMissing, "nothing: the pod was going, and its identity with it")
        }
        identity::Error::Fetch(_) | identity::Error::TimedOut => blame(
            Culprit::Certificate,
            "see /v1/identities for what the issuer of certificates says: whether it can be reached, trusts this node, and knows the identity",
        ),
    }
}

/// Whether it is the other end that has refused.
fn is_there(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
}

/// What the kernel says when there is no way.
fn of_way(error: &io::Error) -> Blame {
    if error.kind() == io::ErrorKind::AddrNotAvailable {
        return blame(
            Culprit::Capacity,
            "the client's addresses have no free port: raise ip_local_port_range, or reuse connections",
        );
    }
    if error.kind() == io::ErrorKind::PermissionDenied {
        return blame(
            Culprit::Firewall,
            "a packet filter of this node or pod refuses the connection; see its OUTPUT rules",
        );
    }
    blame(
        Culprit::Network,
        "look at routes and links between the two nodes: the destination's address cannot be reached",
    )
}

fn of_accept(error: &tunnel::server::Error) -> Blame {
    match error {
        // Nobody in particular is expected to call.
        tunnel::server::Error::Peer(Refused::Identity { .. }) | tunnel::server::Error::Tls(_) => {
            certificates()
        }
        tunnel::server::Error::Peer(refused) => of_peer(refused),
        tunnel::server::Error::TimedOut => blame(
            Culprit::Network,
            "whoever connected to port 15008 did not go on; look at what is between, or at who scans",
        ),
    }
}

fn of_dial(error: &dial::Error, seen: Seen) -> Blame {
    match (error, seen.direction) {
        (dial::Error::Socket { .. }, _) => out_of_descriptors(),
        (dial::Error::TimedOut { .. } | dial::Error::OutOfPatience { .. }, Direction::Inbound) => blame(
            Culprit::Server,
            "look at the pod: it does not take connections (a full accept queue, or a packet filter of its own)",
        ),
        (dial::Error::TimedOut { .. } | dial::Error::OutOfPatience { .. }, Direction::Outbound) => blame(
            Culprit::Network,
            "the destination is not of the mesh and does not answer: look at it, and at what is on the way",
        ),
        (dial::Error::Refused { source, .. }, _) if is_there(source) => {
            blame(Culprit::Server, "start the application, or correct the port: nothing listens there")
        }
        (dial::Error::Refused { source, .. }, _) => of_way(source),
    }
}

fn of_break(early: &Early, seen: Seen) -> Blame {
    let (application, broken) = match early {
        Early::Client(broken) => {
            (blame(Culprit::Client, "look at the calling application: it has reset the connection"), broken)
        }
        Early::Server(broken) => {
            (blame(Culprit::Server, "look at the called application: it has reset the connection"), broken)
        }
    };
    match broken {
        Broken::Reset(Reset::Socket | Reset::Application) => application,
        // A client's node says the same for its application as for itself.
        Broken::Reset(Reset::Cancelled) if application.culprit == Culprit::Client => application,
        Broken::Reset(Reset::Cancelled) => blame(
            Culprit::NodeMissing,
            "ask the node of the destination: it has cut the connection itself, because it or the pod was to go",
        ),
        Broken::Reset(Reset::Other(_) | Reset::Fault(_)) | Broken::Tunnel(Loss::Fault(_)) => {
            blame(Culprit::Mesh, "please report it with the logs of both nodes: the tunnel itself went wrong")
        }
        Broken::Reset(Reset::Overfull) => blame(
            Culprit::Capacity,
            "see why the application at the other end does not read what it is sent: its node has no memory left for that (buffered_bytes* of its limits)",
        ),
        Broken::Overfull(exceeded) => blame(Culprit::Capacity, exceeded.remedy()),
        Broken::Revoked => of_peer(&Refused::Revoked),
        Broken::Tunnel(Loss::Silent(_)) => blame(
            Culprit::Network,
            "look at what is between the two nodes: nothing has come from the other one any more, not even answers to PING",
        ),
        Broken::Tunnel(Loss::Failed(_) | Loss::Closed | Loss::Vanished) => missing(
            seen,
            "see whether the mesh program on the other end's node was restarted or killed at that time",
        ),
        Broken::Tunnel(Loss::Cut) => {
            blame(Culprit::NodeMissing, "nothing, if this node program or the pod was to go")
        }
        Broken::Lost(_) => {
            blame(Culprit::Network, "look at what is between: the kernel has given the connection up")
        }
    }
}

fn out_of_descriptors() -> Blame {
    blame(
        Culprit::Capacity,
        "raise the limit on open files of the node program (LimitNOFILE, or the container's), or find who opens so many connections",
    )
}

#[cfg(test)]
mod tests;
