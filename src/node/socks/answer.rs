//! What a client is told.
//!
//! In goes how its connection failed; out comes the reply that fits, and a close that lets it be read.

use std::io;

use culvert_core::refusal::Refusal;
use culvert_core::socks::Reply;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Error;
use crate::deliver::dial;
use crate::dns::hosts;
use crate::outcome::Failure;
use crate::stream::LAST_BYTES;
use crate::tunnel;

/// The answer to a client that is connected.
pub(crate) const CONNECTED: &[u8] = &Reply::Succeeded.bytes();

/// The answer to one that is not; `None` for one that has not asked.
fn answer(failure: &Failure) -> Option<Vec<u8>> {
    let reply = match failure {
        Failure::Socks(Error::Fault(fault)) => return Some(fault.answer()),
        Failure::Socks(Error::Left(_) | Error::TimedOut | Error::TooMany(_)) => return None,
        Failure::Host(error) => of_host(error),
        Failure::Refused(refusal) => of_refusal(refusal),
        Failure::Tunnel(error) => of_tunnel(error),
        Failure::Dial(error) => of_dial(error),
        Failure::Unanswered(_) => Reply::Expired,
        Failure::PolicyChanged(_) => Reply::NotAllowed,
        Failure::Socks(Error::Descriptor(_))
        | Failure::NoWorkload { .. }
        | Failure::NoIdentity(_)
        | Failure::NoCertificate(_)
        | Failure::Accept(_)
        | Failure::Exceeded(_)
        | Failure::BadRequest(_)
        | Failure::PeerGone
        | Failure::NotOurAddress(_)
        | Failure::Broken(_)
        | Failure::Overfull(_)
        | Failure::Quiet(_)
        | Failure::Drained => Reply::Failure,
    };
    Some(reply.bytes().to_vec())
}

/// Whether a failure says more than another one does: that nothing leads somewhere is often only because of an address of a family
/// that is not used there.
pub(crate) fn tells_more(failure: &Failure, than: &Failure) -> bool {
    let nowhere = Reply::NetworkUnreachable.bytes();
    let leads_nowhere = |failure: &Failure| answer(failure).is_some_and(|answer| answer == nowhere);
    leads_nowhere(than) && !leads_nowhere(failure)
}

fn of_refusal(refusal: &Refusal) -> Reply {
    match refusal {
        Refusal::Loop { .. } | Refusal::OwnPort { .. } | Refusal::Denied(_) => Reply::NotAllowed,
        // As it would be without us: packets to such a port are rejected.
        Refusal::UnknownServicePort { .. } => Reply::Refused,
        Refusal::NoGateway { .. }
        | Refusal::UnknownGateway { .. }
        | Refusal::GatewayNotReady { .. }
        | Refusal::NotThroughGateway { .. }
        | Refusal::NobodyVouchedFor { .. } => Reply::NetworkUnreachable,
        Refusal::NoEndpoint { .. }
        | Refusal::UnknownWaypoint { .. }
        | Refusal::WaypointNotReady { .. }
        | Refusal::HostnameNotResolved { .. }
        | Refusal::NoAddress { .. } => Reply::HostUnreachable,
        Refusal::NoIdentity { .. }
        | Refusal::IpMismatch { .. }
        | Refusal::UnknownHost { .. }
        | Refusal::NotAnEndpoint { .. }
        | Refusal::NoTargetPort { .. }
        | Refusal::NoVirtualAddress { .. } => Reply::Failure,
    }
}

fn of_host(error: &hosts::Error) -> Reply {
    match error {
        hosts::Error::NotAName { .. }
        | hosts::Error::NoSuchHost { .. }
        | hosts::Error::NoAddresses { .. }
        | hosts::Error::Unusable { .. }
        | hosts::Error::Complaint { .. }
        | hosts::Error::Unanswered { .. } => Reply::HostUnreachable,
        hosts::Error::TooLate { .. } => Reply::Expired,
        hosts::Error::GivenUp { .. } => Reply::Failure,
    }
}

fn of_tunnel(error: &tunnel::Error) -> Reply {
    use tunnel::Error;
    match error {
        Error::Dial(error) => of_dial(error),
        Error::Behind { source, .. } => of_tunnel(source),
        Error::Status { status: 401 | 403, .. } | Error::Peer { .. } | Error::Revoked { .. } => {
            Reply::NotAllowed
        }
        // It could not connect to its workload.
        Error::Status { status: 503, .. } => Reply::Refused,
        Error::EstablishTimedOut { .. } | Error::OutOfPatience { .. } | Error::AnswerTimedOut { .. } => {
            Reply::Expired
        }
        Error::Identity { .. }
        | Error::Tls { .. }
        | Error::HungUp { .. }
        | Error::Http2 { .. }
        | Error::Broken { .. }
        | Error::ClientGone(_)
        | Error::Status { .. }
        | Error::Pipe(_)
        | Error::Exceeded(_)
        | Error::Gone { .. } => Reply::Failure,
    }
}

fn of_dial(error: &dial::Error) -> Reply {
    use io::ErrorKind as Kind;
    let kind = match error {
        dial::Error::TimedOut { .. } | dial::Error::OutOfPatience { .. } => return Reply::Expired,
        dial::Error::Socket { .. } => return Reply::Failure,
        dial::Error::Refused { source, .. } => source.kind(),
    };
    let replies = [
        (Kind::ConnectionRefused, Reply::Refused),
        (Kind::ConnectionReset, Reply::Refused),
        (Kind::NetworkUnreachable, Reply::NetworkUnreachable),
        (Kind::HostUnreachable, Reply::HostUnreachable),
        (Kind::TimedOut, Reply::Expired),
        (Kind::PermissionDenied, Reply::NotAllowed),
    ];
    replies.iter().find(|(of, _)| *of == kind).map_or(Reply::Failure, |(_, reply)| *reply)
}

/// Tells a client what became of its connection, and closes so that it hears it: what it says meanwhile is read and forgotten,
/// because a close before that would be a reset. One that has not asked is reset.
pub(crate) async fn leave(mut stream: TcpStream, failure: &Failure) {
    let Some(answer) = answer(failure) else { return };
    let farewell = async {
        stream.write_all(&answer).await?;
        culvert_sys::tcp::end_sending(&stream)?;
        let mut unwanted = [0; 1024];
        while stream.read(&mut unwanted).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    // A client that has gone, or does not, hears nothing.
    let _ = timeout(LAST_BYTES, farewell).await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use culvert_core::policy::Denial;

    use super::*;

    fn dialled(kind: io::ErrorKind) -> Failure {
        let source = Arc::new(io::Error::from(kind));
        dial::Error::Refused { to: "10.0.0.1:80".parse().unwrap(), source }.into()
    }

    fn tunnelled(status: u16) -> Failure {
        tunnel::Error::Status { peer: "10.0.0.1:15008".parse().unwrap(), status, hint: "", said: None }.into()
    }

    #[test]
    fn that_nothing_leads_somewhere_is_told_only_when_nothing_else_is_known() {
        let nowhere = || dialled(io::ErrorKind::NetworkUnreachable);
        let refused = || dialled(io::ErrorKind::ConnectionRefused);
        assert!(tells_more(&refused(), &nowhere()));
        assert!(!tells_more(&nowhere(), &refused()));
        assert!(!tells_more(&tunnelled(503), &refused()), "the first of two is told");
        assert!(!tells_more(&nowhere(), &nowhere()));
    }

    #[test]
    fn a_failure_is_told_by_the_code_that_fits() {
        let to = "10.0.0.1:80".parse().unwrap();
        for (failure, code) in [
            (Failure::Drained, 1),
            (Refusal::Denied(Denial::NoneAllowed).into(), 2),
            (Refusal::Loop { destination: to }.into(), 2),
            (tunnelled(401), 2),
            (dialled(io::ErrorKind::PermissionDenied), 2),
            (dialled(io::ErrorKind::NetworkUnreachable), 3),
            (dialled(io::ErrorKind::HostUnreachable), 4),
            (Refusal::NoEndpoint { service: "n/s".into(), destination: to, known: 0 }.into(), 4),
            (dialled(io::ErrorKind::ConnectionRefused), 5),
            (tunnelled(503), 5),
            (tunnelled(400), 1),
            (Refusal::UnknownServicePort { service: "n/s".into(), destination: to }.into(), 5),
            (dial::Error::TimedOut { to }.into(), 6),
            (dialled(io::ErrorKind::TimedOut), 6),
            (tunnel::Error::AnswerTimedOut { peer: to }.into(), 6),
            (tunnel::Error::Dial(dial::Error::TimedOut { to }).into(), 6),
        ] {
            assert_eq!(answer(&failure).unwrap(), [5, code, 0, 1, 0, 0, 0, 0, 0, 0], "{failure}");
        }
    }
}
