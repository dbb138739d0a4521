//! Handshake messages after the handshake (RFC 8446 §4.6), whole and in pieces.

use super::*;

/// Message types.
const TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut octets = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    octets[0] = kind;
    octets.extend_from_slice(body);
    octets
}

impl Wire {
    fn handshake(&mut self, text: &[u8]) -> Result<Opened, Fault> {
        let mut record = self.forge(content::HANDSHAKE, text, 0);
        self.open(&mut record)
    }

    #[track_caller]
    fn refuses_handshake(&mut self, text: &[u8], expected: Alert) {
        let record = self.forge(content::HANDSHAKE, text, 0);
        self.refuses(record, expected);
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.try_iter().collect()
    }
}

#[test]
fn tickets_are_handed_on() {
    let mut wire = Wire::tls13();
    let two = [message(TICKET, b"one"), message(TICKET, b"two")].concat();
    assert_eq!(wire.handshake(&two), Ok(Opened::Nothing));
    assert_eq!(wire.asked(), [&b"one"[..], b"two"].map(|body| Asked::Ticket(body.to_vec())));
}

#[test]
fn messages_may_be_cut_anywhere() {
    let ticket = message(TICKET, b"a ticket");
    for cut in 1..ticket.len() {
        let mut wire = Wire::tls13();
        let (first, second) = ticket.split_at(cut);
        assert_eq!(wire.handshake(first), Ok(Opened::Nothing));
        assert_eq!(wire.asked(), []);
        assert_eq!(wire.handshake(&[second, &ticket[..3]].concat()), Ok(Opened::Nothing));
        assert_eq!(wire.handshake(&ticket[3..]), Ok(Opened::Nothing));
        assert_eq!(wire.asked(), [0; 2].map(|_| Asked::Ticket(b"a ticket".to_vec())));
    }
}

#[test]
fn the_largest_ticket() {
    let mut wire = Wire::tls13();
    let ticket = message(TICKET, &vec![7; 1 << 17]);
    for piece in ticket.chunks(16_384) {
        assert_eq!(wire.handshake(piece), Ok(Opened::Nothing));
    }
    assert_eq!(wire.asked(), [Asked::Ticket(vec![7; 1 << 17])]);
    wire.refuses_handshake(&[TICKET, 2, 0, 1], Alert::DECODE_ERROR);
}

/// RFC 8446 §5.1.
#[test]
fn messages_are_not_interrupted() {
    let begin = &message(TICKET, b"a ticket")[..7];
    for (kind, text) in
        [(content::APPLICATION, &b"x"[..]), (content::APPLICATION, b""), (content::ALERT, &[1, 0])]
    {
        let mut wire = Wire::tls13();
        assert_eq!(wire.handshake(begin), Ok(Opened::Nothing));
        let record = wire.forge(kind, text, 0);
        wire.refuses(record, Alert::UNEXPECTED_MESSAGE);
    }
}

#[test]
fn other_messages_do_not_belong_here() {
    // Among them a client's and a server's hello, a certificate, and finished.
    for kind in (0..=255).filter(|kind| ![TICKET, KEY_UPDATE].contains(kind)) {
        Wire::tls13().refuses_handshake(&message(kind, b"x"), Alert::UNEXPECTED_MESSAGE);
    }
    Wire::tls13().refuses_handshake(b"", Alert::UNEXPECTED_MESSAGE);
}

/// TLS 1.2 has only renegotiation to offer.
#[test]
fn tls_1_2_has_no_messages() {
    for kind in [0, 1, TICKET, KEY_UPDATE] {
        Wire::tls12().refuses_handshake(&message(kind, &[0]), Alert::UNEXPECTED_MESSAGE);
    }
}

#[test]
fn a_key_update_makes_sense() {
    for body in [&[][..], &[2], &[255], &[0, 0], &[1, 1]] {
        Wire::tls13().refuses_handshake(&message(KEY_UPDATE, body), Alert::DECODE_ERROR);
    }
}

/// What follows is under the next key, so it cannot be in the same record.
#[test]
fn a_key_update_ends_its_record() {
    for after in [message(KEY_UPDATE, &[0]), message(TICKET, b"x"), vec![TICKET]] {
        let text = [message(KEY_UPDATE, &[0]), after].concat();
        Wire::tls13().refuses_handshake(&text, Alert::UNEXPECTED_MESSAGE);
    }
    let mut wire = Wire::tls13();
    let text = [message(TICKET, b"x"), message(KEY_UPDATE, &[0])].concat();
    assert_eq!(wire.handshake(&text), Ok(Opened::Nothing));
    assert_eq!(wire.asked(), [Asked::Ticket(b"x".to_vec()), Asked::Next(Direction::In)]);
}

#[test]
fn a_key_update_may_be_cut() {
    let update = message(KEY_UPDATE, &[1]);
    for cut in 1..update.len() {
        let mut wire = Wire::tls13();
        assert_eq!(wire.handshake(&update[..cut]), Ok(Opened::Nothing));
        assert_eq!(wire.handshake(&update[cut..]), Ok(Opened::WantsUpdate));
        assert_eq!(wire.asked(), [Asked::Next(Direction::In)]);
    }
}
