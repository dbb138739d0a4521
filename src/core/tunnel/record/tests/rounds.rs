//! What was sealed is opened again.

use super::*;

#[test]
fn texts_of_all_lengths() {
    for kind in KINDS {
        let mut wire = Wire::new(kind);
        for length in [1, 2, 15, 16, 17, 1_000, 16_383, 16_384] {
            let text: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let record = wire.outgoing.application(&text);
            assert_eq!(record.len(), wire.layer.before() + length + wire.layer.after());
            assert!(length < 15 || record[wire.layer.before()..][..length] != text);
            wire.opens(record, &text);
        }
    }
}

#[test]
fn texts_without_a_text() {
    for kind in KINDS {
        let mut wire = Wire::new(kind);
        let mut record = wire.outgoing.application(b"");
        assert_eq!(wire.open(&mut record), Ok(Opened::Nothing));
    }
}

/// RFC 8446 §5.2, RFC 5246 §6.2.3.3.
#[test]
fn records_look_as_they_should() {
    let record = Wire::tls13().outgoing.application(b"hello");
    assert_eq!(record[..5], [23, 3, 3, 0, 5 + 1 + 16]);
    let mut wire = Wire::tls12();
    let nonces = [0; 3].map(|_| {
        let record = wire.outgoing.application(b"hello");
        assert_eq!(record[..5], [23, 3, 3, 0, 8 + 5 + 16]);
        record[5..13].to_vec()
    });
    assert!(nonces[0] != nonces[1] && nonces[1] != nonces[2]);
}

#[test]
fn padding_is_taken_off() {
    let mut wire = Wire::tls13();
    for padding in [0, 1, 100, 16_000] {
        // Zeros of the text are not padding.
        let record = wire.forge(content::APPLICATION, b"a\0\0", padding);
        wire.opens(record, b"a\0\0");
    }
    let record = wire.forge(content::APPLICATION, b"", 16_384);
    assert_eq!(wire.open(&mut record.clone()), Ok(Opened::Nothing));
}

#[test]
fn a_header_says_how_long_a_record_is() {
    let wire = Wire::tls13();
    let record = [23, 3, 3, 1, 2, 9, 9];
    for length in 0..5 {
        assert_eq!(wire.incoming.length(&record[..length]), Ok(None));
    }
    assert_eq!(wire.incoming.length(&record[..5]), Ok(Some(5 + 0x0102)));
    assert_eq!(wire.incoming.length(&record), Ok(Some(5 + 0x0102)));
}

#[test]
fn a_key_has_the_length_of_its_suite() {
    for (suite, length) in [(Suite::Aes128Gcm, 16), (Suite::Aes256Gcm, 32)] {
        let key: Vec<u8> = (0..32).collect();
        for wrong in [0, 15, 17, 24, 31, 16 + 32 - length] {
            assert!(Secret::new(suite, &key[..wrong], [0; 12], 0).is_none());
        }
        assert_eq!(Secret::new(suite, &key[..length], [0; 12], 0).unwrap().key(), &key[..length]);
    }
}

#[test]
fn a_secret_keeps_its_own() {
    let secret = Secret::new(Suite::Aes128Gcm, &[0xab; 16], [0xcd; 12], 7).unwrap();
    assert_eq!(format!("{secret:?}"), "Secret { suite: Aes128Gcm, sequence: 7, .. }");
}
