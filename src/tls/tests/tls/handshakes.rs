//! Two of ours.

use culvert_core::tunnel::record::Layer;
use culvert_tls::Agreed;
use rustls::SupportedCipherSuite;

use crate::link::{End, GREETING, connect, converse};
use crate::pki::{ALPN, Authority, Configs, SUITES, Trust, layer};

/// A piece is what one read gives: everything at once, single octets, and what cuts records in odd places.
const PIECES: [usize; 8] = [1, 2, 3, 5, 7, 64, 1000, usize::MAX];

fn check_agreed(agreed: &Agreed, suite: SupportedCipherSuite, resumed: bool) {
    assert_eq!(agreed.suite, suite.suite());
    assert_eq!(agreed.alpn.as_deref(), Some(ALPN));
    assert_eq!(agreed.peer_certificates.len(), 1);
    assert_eq!(agreed.resumed, resumed);
    assert_eq!(agreed.group.is_some(), layer(suite) == Layer::Tls13 || !resumed);
}

/// The greetings come in the same bytes as the last messages of the handshake.
#[test]
fn nothing_is_lost_however_the_bytes_are_cut() {
    for suite in SUITES {
        let configs = Configs::new(suite);
        for piece in PIECES {
            let mut configs = Configs { client: configs.client.clone(), server: configs.server.clone() };
            configs.client.resumption = rustls::client::Resumption::disabled();
            let (client, server) = connect(&configs, piece);
            for end in [client, server] {
                assert_eq!(end.heard, GREETING.concat(), "{suite:?} in pieces of {piece}");
                check_agreed(end.agreed(), suite, false);
            }
        }
    }
}

#[test]
fn each_end_knows_the_other_by_its_certificate() {
    for suite in SUITES {
        let configs = Configs::new(suite);
        let (client, server) = connect(&configs, usize::MAX);
        let client_certificate = &server.agreed().peer_certificates;
        let server_certificate = &client.agreed().peer_certificates;
        assert_ne!(client_certificate, server_certificate);

        let (again, _) = connect(&configs, usize::MAX);
        assert_eq!(&again.agreed().peer_certificates, server_certificate);
    }
}

#[test]
fn the_second_connection_resumes_the_first() {
    for suite in SUITES {
        let configs = Configs::new(suite);
        let first = connect(&configs, usize::MAX);
        for piece in PIECES {
            let second = connect(&configs, piece);
            for (end, before) in [(&second.0, &first.0), (&second.1, &first.1)] {
                check_agreed(end.agreed(), suite, true);
                assert_eq!(end.heard, GREETING.concat(), "{suite:?} in pieces of {piece}");
                assert_eq!(end.agreed().peer_certificates, before.agreed().peer_certificates);
            }
        }
    }
}

/// It is `Keys::ticket` that makes resumption under TLS 1.3.
#[test]
fn a_ticket_that_is_not_read_resumes_nothing() {
    let configs = Configs::new(SUITES[0]);
    for _ in 0..2 {
        let (mut client, mut server) = (End::client(&configs), End::server(&configs));
        client.deaf = true;
        converse(&mut client, &mut server, usize::MAX).unwrap();
        check_agreed(client.agreed(), SUITES[0], false);
    }
}

/// A chain near the longest message there can be.
#[test]
fn long_chains_are_taken() {
    let authority = Authority::new("authority");
    let ballast = 60_000 / authority.certificate.len();
    let trust = Trust { trusted: &authority, client: &authority, server: &authority, ballast };
    for suite in SUITES {
        for piece in [1, 1000, usize::MAX] {
            let configs = Configs::with(suite, &trust);
            let (client, server) = connect(&configs, piece);
            assert_eq!(client.agreed().peer_certificates.len(), 1 + ballast);
            assert_eq!(server.heard, GREETING.concat());
        }
    }
}
