use std::io;
use std::sync::Arc;

use culvert_core::hbone::proxy_status::Said;

use super::*;
use crate::stream::{Loss, Reset};

#[test]
fn a_revoked_peer_is_called_so_wherever_it_is_noticed() {
    let peer = "10.0.0.1:15008".parse().unwrap();
    let source = Refused::Revoked;
    for failure in [
        Failure::Broken(Early::Client(Broken::Revoked)),
        Failure::Broken(Early::Server(Broken::Revoked)),
        Failure::Tunnel(tunnel::Error::Revoked { peer }),
        Failure::Tunnel(tunnel::Error::Peer { peer, source: source.clone() }),
        Failure::Accept(tunnel::server::Error::Peer(source)),
    ] {
        assert_eq!((failure.flag(), failure.reason()), (Flag::CertRevoked, "certificate_revoked"));
        let text = failure.in_words();
        assert!(text.contains("peer certificate revoked by CRL"), "{text}");
    }
    let text = Failure::Broken(Early::Server(Broken::Revoked)).to_string();
    assert_eq!(text, "connection closed: peer certificate revoked by CRL");
}

fn dialled(kind: io::ErrorKind) -> Failure {
    let source = Arc::new(io::Error::from(kind));
    dial::Error::Refused { to: "10.0.0.1:80".parse().unwrap(), source }.into()
}

fn denied() -> Failure {
    Refusal::Denied(Denial::Explicit { policy: "shop/secret".into() }).into()
}

#[test]
fn peers_are_told_what_happened_and_nothing_of_who_lives_here() {
    for (failure, said) in [
        (denied(), "http_request_denied; details=\"denied\""),
        (dialled(io::ErrorKind::ConnectionRefused), "connection_refused; details=\"workload_refused\""),
        (dialled(io::ErrorKind::HostUnreachable), "destination_ip_unroutable; details=\"workload_refused\""),
        (
            dial::Error::TimedOut { to: "10.0.0.1:80".parse().unwrap() }.into(),
            "connection_timeout; details=\"connect_deadline\"",
        ),
        (Refusal::OwnPort { port: 15001 }.into(), "proxy_loop_detected; details=\"own_port\""),
        (Failure::BadRequest("10.0.0.1".into()), "http_request_error; details=\"bad_request\""),
        (
            Failure::NotOurAddress("10.0.0.1:80".parse().unwrap()),
            "destination_not_found; details=\"not_our_address\"",
        ),
        (Failure::Drained, "destination_unavailable; details=\"drained\""),
    ] {
        let status = failure.proxy_status().to_string();
        assert_eq!(status, format!("culvert; error={said}"));
        let heard = Said::parse([status.as_bytes()]).unwrap();
        assert_eq!(heard.details.as_deref(), Some(failure.reason()));
    }
}

#[test]
fn who_has_ended_a_connection_is_who_broke_it_unless_this_node_has() {
    let reset = Broken::Reset(Reset::Cancelled);
    let gone = tunnel::Error::ClientGone(Early::Client(Broken::Reset(Reset::Socket)));
    let behind =
        tunnel::Error::Behind { gateway: "10.0.0.1:15008".parse().unwrap(), source: Box::new(gone.clone()) };
    for (failure, closed_by) in [
        (Failure::Broken(Early::Client(reset.clone())), None),
        (Failure::Broken(Early::Server(Broken::Tunnel(Loss::Vanished))), None),
        (Failure::Broken(Early::Server(Broken::Revoked)), Some(Closer::Proxy)),
        (Failure::Broken(Early::Server(Broken::Tunnel(Loss::Cut))), Some(Closer::Proxy)),
        (Failure::PolicyChanged(Denial::Explicit { policy: "shop/secret".into() }), Some(Closer::Proxy)),
        (Failure::Drained, Some(Closer::Proxy)),
        (denied(), Some(Closer::Proxy)),
        (Failure::PeerGone, Some(Closer::Client)),
        (gone.into(), Some(Closer::Client)),
        (behind.into(), Some(Closer::Client)),
    ] {
        assert_eq!(failure.closed_by(), closed_by, "{failure}");
    }
    assert_eq!(Failure::Broken(Early::Client(reset)).how(), Some("cut_at_peer"));
    assert_eq!(Failure::Drained.how(), None);
}
