//! The grammars that travel in an HBONE CONNECT request: authority and headers; and why one is refused.
//!
//! Goes in: text and bytes as the peer sent them, or values to send. Comes out: the other. Nothing here panics on any
//! input. Deliberately absent: HTTP/2 itself, and any decision based on the values.

mod authority;
pub mod baggage;
pub mod forwarded;
pub mod proxy_status;
pub mod traceparent;

pub use authority::{Authority, NotAnAuthority};
pub use baggage::Baggage;
pub use forwarded::Forwarded;
pub use proxy_status::ProxyStatus;
pub use traceparent::TraceParent;

#[cfg(test)]
mod tests {
    use std::fmt::Display;
    use std::str::FromStr;

    use rand::rngs::SmallRng;
    use rand::seq::IndexedRandom;
    use rand::{RngExt, SeedableRng};

    use super::*;

    const SAMPLES: [&str; 6] = [
        "[fd00::1]:8080",
        "web.shop.svc:80",
        "for=\"[::ffff:10.0.0.1]:5\";host=web.shop",
        "k8s.cluster.name=c,k8s.pod.name=p,service.name=s",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "",
    ];

    /// One of the samples with up to three bytes replaced, removed or added.
    fn noise(random: &mut SmallRng) -> Vec<u8> {
        let mut bytes = SAMPLES.choose(random).unwrap().as_bytes().to_vec();
        for _ in 0..random.random_range(0..4) {
            let at = random.random_range(0..=bytes.len());
            let byte =
                if random.random() { b"=;,:-[]\" %0f"[random.random_range(0..12)] } else { random.random() };
            match random.random_range(0..3) {
                0 => bytes.insert(at, byte),
                1 => bytes.truncate(at),
                _ => bytes.iter_mut().skip(at).take(1).for_each(|old| *old = byte),
            }
        }
        bytes
    }

    /// Asserts that what a value says means the same value again.
    fn check<T: Display + PartialEq>(value: &T, parse: impl Fn(&[u8]) -> Option<T>) {
        let said = value.to_string();
        assert!(parse(said.as_bytes()).as_ref() == Some(value), "{said}");
    }

    fn authority(bytes: &[u8]) -> Option<Authority> {
        Authority::from_str(std::str::from_utf8(bytes).ok()?).ok()
    }

    #[test]
    fn no_input_panics_and_what_is_understood_can_be_said_again() {
        let mut random = SmallRng::seed_from_u64(3);
        let mut understood = [0; 4];
        for _ in 0..50_000 {
            let bytes = noise(&mut random);
            if let Some(value) = authority(&bytes) {
                check(&value, authority);
                understood[0] += 1;
            }
            if let Ok(value) = TraceParent::parse(&bytes) {
                check(&value, |bytes| TraceParent::parse(bytes).ok());
                understood[1] += 1;
            }
            if let Ok(value) = Baggage::parse([bytes.as_slice()]) {
                // Saying leaves out what cannot be said, once; what is left means itself.
                let said = value.to_string();
                check(&Baggage::parse([said.as_bytes()]).unwrap(), |bytes| Baggage::parse([bytes]).ok());
                understood[2] += usize::from(!said.is_empty());
            }
            let said = Forwarded::parse(&bytes).to_string();
            check(&Forwarded::parse(said.as_bytes()), |bytes| Some(Forwarded::parse(bytes)));
            understood[3] += usize::from(!said.is_empty());
        }
        assert!(understood.iter().all(|&count| count > 1000), "{understood:?}");
    }
}
