//! Changes of keys (RFC 8446 §4.6.3, §5.5).

use super::*;

/// The keys of a peer whose TLS library has no next ones.
struct NoMore(Derived);

impl Keys for NoMore {
    fn cipher(&self, secret: &Secret) -> Box<dyn Cipher> {
        self.0.cipher(secret)
    }

    fn next(&mut self, _: Direction) -> Option<Secret> {
        None
    }

    fn ticket(&mut self, _: &[u8]) {}
}

impl Wire {
    /// The sender says that it changes keys, and does.
    fn update(&mut self) -> Vec<u8> {
        let mut record = vec![0; self.outgoing.update_length()];
        self.outgoing.update(&mut record, &mut self.sender).unwrap();
        record
    }
}

#[test]
fn keys_change_together() {
    for kind in &KINDS[..2] {
        let mut wire = Wire::new(*kind);
        for round in 0..5 {
            let before = wire.outgoing.application(b"before");
            wire.opens(before.clone(), b"before");
            let mut update = wire.update();
            assert_eq!(wire.open(&mut update), Ok(Opened::Nothing), "round {round}");
            let after = wire.outgoing.application(b"after");
            wire.opens(after, b"after");
        }
        assert_eq!(wire.asked.try_iter().count(), 5);
    }
}

#[test]
fn the_old_key_is_of_no_use_any_more() {
    let mut wire = Wire::tls13();
    let mut update = wire.update();
    wire.open(&mut update).unwrap();
    // The forger goes on under the old key.
    wire.forge(content::APPLICATION, b"instead of the update", 0);
    let record = wire.forge(content::APPLICATION, b"x", 0);
    wire.refuses(record, Alert::BAD_RECORD_MAC);
}

#[test]
fn a_key_is_changed_when_the_peer_asks() {
    let mut wire = Wire::tls13();
    assert!(!wire.outgoing.wants_update());
    wire.outgoing.ask();
    wire.outgoing.ask();
    assert!(wire.outgoing.wants_update());
    wire.update();
    assert!(!wire.outgoing.wants_update());
}

#[test]
fn a_key_is_changed_before_it_is_used_up() {
    let mut wire = Wire::tls13();
    wire.outgoing.limit(200);
    for _ in 0..3 {
        let sealed = (0..).find(|_| {
            wire.outgoing.application(b"x");
            wire.outgoing.wants_update()
        });
        assert_eq!(sealed, Some(200 - 64 - 1));
        wire.update();
    }
}

/// Too low a limit would leave no time to change keys, and too high a one would be none.
#[test]
fn limits_have_limits() {
    let mut wire = Wire::tls13();
    wire.outgoing.limit(0);
    assert!(!wire.outgoing.wants_update());
    wire.outgoing.limit(u64::MAX);
    let secret = Secret::new(Suite::Aes128Gcm, &[0; 16], [0; 12], (1 << 24) - 64).unwrap();
    assert!(Outgoing::new(Layer::Tls13, secret, &wire.sender).wants_update());
}

#[test]
fn who_has_no_next_key_cannot_go_on() {
    let (keys, _) = Derived::new(Role::Client, Suite::Aes128Gcm);
    let mut keys = NoMore(keys);
    for layer in [Layer::Tls13, Layer::Tls12] {
        let mut outgoing = Outgoing::new(layer, keys.0.secret(Direction::Out), &keys);
        let mut record = vec![0; outgoing.update_length()];
        assert_eq!(outgoing.update(&mut record, &mut keys), Err(Fault::KeysUsedUp));
    }
    let mut wire = Wire::tls13();
    let mut update = wire.update();
    assert_eq!(wire.incoming.open(&mut update, &mut keys), Err(Fault::KeysUsedUp));
}

/// TLS 1.2 cannot change keys even where there are some.
#[test]
fn tls_1_2_does_not_change_keys() {
    let mut wire = Wire::tls12();
    let mut record = vec![0; wire.outgoing.update_length()];
    assert_eq!(wire.outgoing.update(&mut record, &mut wire.sender), Err(Fault::KeysUsedUp));
}
