//! Records that are not in order, and what their sender is told (RFC 8446 §5, §6.2).

use super::*;

#[test]
fn any_octet_that_changed_is_noticed() {
    for kind in KINDS {
        let record = Wire::new(kind).outgoing.application(b"hello");
        for at in 0..record.len() {
            let mut changed = record.clone();
            changed[at] ^= 1;
            // Lengths say where a record ends; versions mean nothing and are only authenticated by TLS 1.3.
            let (is_length, is_version) = ((3..5).contains(&at), (1..3).contains(&at));
            let mut wire = Wire::new(kind);
            match at {
                0 if wire.layer == Layer::Tls13 => wire.refuses(changed, Alert::UNEXPECTED_MESSAGE),
                _ if is_length || (is_version && wire.layer == Layer::Tls12) => {}
                _ => wire.refuses(changed, Alert::BAD_RECORD_MAC),
            }
        }
    }
}

#[test]
fn a_record_has_its_place() {
    for kind in KINDS {
        let mut wire = Wire::new(kind);
        let [first, second] = [b"one", b"two"].map(|text| wire.outgoing.application(text));
        wire.opens(first.clone(), b"one");
        Wire::new(kind).refuses(second, Alert::BAD_RECORD_MAC);
        wire.refuses(first, Alert::BAD_RECORD_MAC);
    }
}

#[test]
fn a_record_can_be_too_long() {
    for (kind, most) in [(KINDS[0], 16_384 + 256), (KINDS[2], 16_384 + 24)] {
        let wire = Wire::new(kind);
        let header = |length: u16| [&[23, 3, 3], &length.to_be_bytes()[..]].concat();
        assert_eq!(wire.incoming.length(&header(most)), Ok(Some(5 + usize::from(most))));
        let fault = wire.incoming.length(&header(most + 1));
        assert!(matches!(fault, Err(Fault::Tls { alert: Alert::RECORD_OVERFLOW, .. })), "{fault:?}");
    }
}

/// The text, its type and its padding have 2^14 + 1 octets at most (RFC 8446 §5.4).
#[test]
fn a_record_can_hold_too_much() {
    let mut wire = Wire::tls13();
    let record = wire.forge(content::APPLICATION, &[b'x'; 16_384], 0);
    wire.opens(record, &[b'x'; 16_384]);
    let record = wire.forge(content::APPLICATION, &[b'x'; 16_385], 0);
    wire.refuses(record, Alert::RECORD_OVERFLOW);
    for (text, padding) in [(16_384, 1), (0, 16_385), (16_000, 600)] {
        let mut wire = Wire::tls13();
        let record = wire.forge(content::APPLICATION, &vec![b'x'; text], padding);
        wire.refuses(record, Alert::RECORD_OVERFLOW);
    }
}

#[test]
fn a_record_can_be_too_short() {
    for kind in KINDS {
        let least = if kind.0 == Layer::Tls13 { 17 } else { 24 };
        for sealed in 0..least {
            let record = [&[23, 3, 3, 0, sealed], &vec![0; sealed.into()][..]].concat();
            Wire::new(kind).refuses(record, Alert::BAD_RECORD_MAC);
        }
    }
}

#[test]
fn a_record_has_a_type() {
    let mut wire = Wire::tls13();
    let record = wire.forge_inner(&[0; 100]);
    wire.refuses(record, Alert::UNEXPECTED_MESSAGE);
    for kind in KINDS {
        for unknown in [20, 24, 255] {
            let mut wire = Wire::new(kind);
            let record = wire.forge(unknown, b"x", 0);
            wire.refuses(record, Alert::UNEXPECTED_MESSAGE);
        }
    }
}

/// Once there are keys everything is encrypted: also alerts, and what middleboxes like to see.
#[test]
fn nothing_comes_in_the_clear() {
    for record in [&[20, 3, 3, 0, 1, 1][..], &[21, 3, 3, 0, 2, 1, 0], &[22, 3, 3, 0, 5, 24, 0, 0, 1, 0]] {
        Wire::tls13().refuses(record.to_vec(), Alert::UNEXPECTED_MESSAGE);
        Wire::tls12().refuses(record.to_vec(), Alert::BAD_RECORD_MAC);
    }
}

#[test]
fn nothing_does_not_go_on_for_ever() {
    for (kind, text) in [(content::APPLICATION, &b""[..]), (content::ALERT, &[1, 90])] {
        let mut wire = Wire::tls13();
        for round in 0..3 {
            for _ in 0..64 {
                let mut record = wire.forge(kind, text, 9);
                assert_eq!(wire.open(&mut record), Ok(Opened::Nothing), "{round}");
            }
            // Something in between, and it begins anew.
            let record = wire.forge(content::APPLICATION, b"x", 0);
            wire.opens(record, b"x");
        }
        for _ in 0..64 {
            let mut record = wire.forge(kind, text, 0);
            assert_eq!(wire.open(&mut record), Ok(Opened::Nothing));
        }
        let record = wire.forge(kind, text, 0);
        wire.refuses(record, Alert::UNEXPECTED_MESSAGE);
    }
}

#[test]
fn alerts() {
    for kind in KINDS {
        let mut wire = Wire::new(kind);
        let mut opened = |text: &[u8]| {
            let mut record = wire.forge(content::ALERT, text, 0);
            wire.open(&mut record)
        };
        // Of the level nobody takes notice.
        assert_eq!(opened(&[1, 90]), Ok(Opened::Nothing));
        assert_eq!(opened(&[1, 0]), Ok(Opened::End));
        assert_eq!(opened(&[2, 0]), Ok(Opened::End));
        assert_eq!(opened(&[1, 48]), Err(Fault::Alert(Alert(48))));
        assert_eq!(opened(&[2, 20]), Err(Fault::Alert(Alert::BAD_RECORD_MAC)));
        for text in [&[][..], &[1], &[1, 0, 0], &[1, 0, 1, 0]] {
            let fault = opened(text);
            assert!(matches!(fault, Err(Fault::Tls { alert: Alert::DECODE_ERROR, .. })), "{fault:?}");
        }
    }
}

#[test]
fn our_alerts_are_understood() {
    for kind in KINDS {
        let mut wire = Wire::new(kind);
        let mut record = wire.outgoing.alert(Alert::RECORD_OVERFLOW);
        assert_eq!(wire.open(&mut record), Err(Fault::Alert(Alert::RECORD_OVERFLOW)));
        let mut record = wire.outgoing.alert(Alert::CLOSE_NOTIFY);
        assert_eq!(wire.open(&mut record), Ok(Opened::End));
    }
}
