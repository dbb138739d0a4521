//! Records after our handshake, against rustls' own.

use culvert_core::tunnel::Fault;
use culvert_core::tunnel::record::{Ahead, Alert, Incoming, Layer, Opened, Outgoing, Secret, Suite};
use culvert_tls::InheritedKeys;
use rustls::{HandshakeKind, SupportedCipherSuite};

use crate::link::{End, GREETING, Records, connect};
use crate::pki::{Configs, SUITES, layer};
use crate::rustls_peer::Peer;

fn client_of_ours(configs: &Configs) -> (End, Peer) {
    let (mut end, mut peer) = (End::client(configs), Peer::server(configs));
    assert_eq!(peer.converse(&mut end), GREETING.concat());
    (end, peer)
}

fn server_of_ours(configs: &Configs) -> (End, Peer) {
    let (mut end, mut peer) = (End::server(configs), Peer::client(configs));
    assert_eq!(peer.converse(&mut end), GREETING.concat());
    (end, peer)
}

/// Both ends of ours, each with one of rustls.
fn pairs(suite: SupportedCipherSuite) -> [(End, Peer); 2] {
    let configs = Configs::new(suite);
    [client_of_ours(&configs), server_of_ours(&configs)]
}

/// Texts of all kinds of lengths, up to the longest of one record.
fn text(number: usize) -> Vec<u8> {
    let length = [1, 2, 100, 1400, 16_000, 16_383, 16_384, 5][number % 8];
    (0..length).map(|place| (place * 7 + number) as u8).collect()
}

fn exchange(ours: &mut Records, theirs: &mut Peer, number: usize) {
    let text = text(number);
    assert_eq!(theirs.receive(&ours.send(&text).unwrap()), text);
    assert_eq!(ours.receive(&theirs.send(&text)).unwrap(), text);
}

#[test]
fn rustls_reads_what_we_seal_and_we_what_it_seals() {
    for suite in SUITES {
        for (mut end, mut peer) in pairs(suite) {
            for number in 0..400 {
                exchange(end.records(), &mut peer, number);
            }
        }
    }
}

#[test]
fn both_ends_change_keys() {
    for suite in SUITES.into_iter().filter(|suite| layer(*suite) == Layer::Tls13) {
        for (mut end, mut peer) in pairs(suite) {
            for number in 0..60 {
                match number % 5 {
                    // Asks for the same of us.
                    0 => peer.0.refresh_traffic_keys().unwrap(),
                    3 => end.records().change_keys(),
                    _ => {}
                }
                exchange(end.records(), &mut peer, number);
            }
        }
    }
}

#[test]
fn keys_do_not_change_under_tls_1_2() {
    let (mut client, _) = connect(&Configs::new(SUITES[2]), usize::MAX);
    client.records().change_keys();
    assert_eq!(client.records().send(b"x"), Err(Fault::KeysUsedUp));
}

/// Both ends know the salt; the rest of the nonce is in the record (RFC 5288 §3). rustls starts where we do, others need not.
#[test]
fn explicit_nonces_are_the_senders_choice() {
    let keys = InheritedKeys::from(Ahead::default());
    let secret = |start| Secret::new(Suite::Aes128Gcm, &[1; 16], [7, 7, 7, 7, start, 0, 0, 0, 0, 0, 0, 0], 1);
    let mut outgoing = Outgoing::new(Layer::Tls12, secret(0).unwrap(), &keys);
    let mut incoming = Incoming::new(Layer::Tls12, secret(9).unwrap(), &keys);
    let mut record = outgoing.application(b"text");
    let Ok(Opened::Data(place)) = incoming.open(&mut record, &mut InheritedKeys::from(Ahead::default()))
    else {
        panic!("not opened");
    };
    assert_eq!(record[place], *b"text");
}

#[test]
fn tickets_of_rustls_resume() {
    for suite in SUITES {
        let configs = Configs::new(suite);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let (mut end, mut peer) = client_of_ours(&configs);
            assert_eq!(peer.0.handshake_kind(), Some(kind));
            assert_eq!(end.agreed().resumed, kind == HandshakeKind::Resumed);
            exchange(end.records(), &mut peer, 1);
        }
    }
}

#[test]
fn our_tickets_resume_rustls() {
    for suite in SUITES {
        let configs = Configs::new(suite);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let (end, peer) = server_of_ours(&configs);
            assert_eq!(peer.0.handshake_kind(), Some(kind));
            assert_eq!(end.agreed().resumed, kind == HandshakeKind::Resumed);
        }
    }
}

#[test]
fn a_changed_record_is_not_opened() {
    for suite in SUITES {
        for (mut end, mut peer) in pairs(suite) {
            let mut record = peer.send(b"one record");
            *record.last_mut().unwrap() ^= 1;
            let refused = end.records().receive(&record);
            assert!(matches!(refused, Err(Fault::Tls { alert: Alert::BAD_RECORD_MAC, .. })), "{refused:?}");
        }
    }
}

#[test]
fn the_end_is_seen() {
    for suite in SUITES {
        for (mut end, mut peer) in pairs(suite) {
            peer.0.send_close_notify();
            assert!(!end.records().ended);
            end.records().receive(&peer.send(&[])).unwrap();
            assert!(end.records().ended);
        }
    }
}
