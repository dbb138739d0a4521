//! What is refused.

use std::sync::Arc;

use culvert_tls::{Error, Handshake};
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256;

use crate::link::{End, Failure, converse};
use crate::pki::{Configs, SUITES, server_name};

fn client(configs: Configs) -> Result<Handshake, Error> {
    Handshake::client(Arc::new(configs.client), server_name())
}

fn server(configs: Configs) -> Result<Handshake, Error> {
    Handshake::server(Arc::new(configs.server))
}

#[test]
fn configurations_must_give_their_secrets_away() {
    let mut configs = Configs::new(SUITES[0]);
    configs.client.enable_secret_extraction = false;
    assert!(matches!(client(configs), Err(Error::SecretsKept)));

    let mut configs = Configs::new(SUITES[0]);
    configs.server.enable_secret_extraction = false;
    assert!(matches!(server(configs), Err(Error::SecretsKept)));
}

#[test]
fn early_data_is_refused() {
    let mut configs = Configs::new(SUITES[0]);
    configs.client.enable_early_data = true;
    assert!(matches!(client(configs), Err(Error::EarlyData)));

    let mut configs = Configs::new(SUITES[0]);
    configs.server.max_early_data_size = 1;
    assert!(matches!(server(configs), Err(Error::EarlyData)));
}

#[test]
fn other_ciphers_are_refused() {
    let suite = TLS13_CHACHA20_POLY1305_SHA256;
    let configs = Configs::new(suite);
    let (mut client, mut server) = (End::client(&configs), End::server(&configs));
    let failure = converse(&mut client, &mut server, usize::MAX).unwrap_err();
    assert!(matches!(failure, Failure::Handshake(Error::Suite(agreed)) if agreed == suite.suite()));
}

/// A message of 64,000 octets is not too long, but each of them comes in a record of its own.
#[test]
fn no_more_is_held_than_a_message_needs() {
    let message = [&[1, 0, 250, 0][..], &[0; 64_000]].concat();
    let mut server = End::server(&Configs::new(SUITES[0]));
    let mut sent = 0;
    let refused = message.iter().find_map(|octet| {
        sent += 6;
        server.receive(&[22, 3, 1, 0, 1, *octet]).err()
    });
    assert!(matches!(refused, Some(Failure::Handshake(Error::TooMuch))));
    assert!((96 * 1024..100_000).contains(&sent), "{sent}");
}
