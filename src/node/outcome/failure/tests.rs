use super::*;

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
