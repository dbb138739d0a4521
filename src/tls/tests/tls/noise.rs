//! Bytes that change on the way.

use crate::link::{End, Failure, GREETING};
use crate::pki::{Configs, SUITES};

/// Flips one bit of the octet at `place` of everything that is sent, in the order it is sent.
struct Noise {
    place: usize,
    bit: u8,
}

impl Noise {
    fn carry(&mut self, mut bytes: Vec<u8>, to: &mut End) -> Result<(), Failure> {
        if let Some(octet) = bytes.get_mut(self.place) {
            *octet ^= self.bit;
        }
        self.place = self.place.wrapping_sub(bytes.len());
        to.receive(&bytes)
    }
}

/// Stops at the first failure.
fn converse(client: &mut End, server: &mut End, mut noise: Noise) -> Result<(), Failure> {
    client.receive(&[])?;
    while !client.out.is_empty() || !server.out.is_empty() {
        noise.carry(std::mem::take(&mut client.out), server)?;
        noise.carry(std::mem::take(&mut server.out), client)?;
    }
    Ok(())
}

/// Whatever bit is changed: nobody hears what was not said.
#[test]
fn a_changed_bit_stops_a_connection_and_does_nothing_else() {
    for suite in [SUITES[0], SUITES[3]] {
        let mut configs = Configs::new(suite);
        configs.client.resumption = rustls::client::Resumption::disabled();
        let mut failed = 0;
        for round in 0..400 {
            let noise = Noise { place: round * 7, bit: 1 << (round % 8) };
            let (mut client, mut server) = (End::client(&configs), End::server(&configs));
            failed += u32::from(converse(&mut client, &mut server, noise).is_err());
            for end in [client, server] {
                assert!(GREETING.concat().starts_with(&end.heard), "round {round}");
            }
        }
        // In the others a header field that nobody reads was changed, or more was awaited, or nothing was sent at that place.
        assert!(failed > 200, "{failed}");
    }
}
