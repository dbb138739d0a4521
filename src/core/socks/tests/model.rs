//! Against a reader that has everything before it at once, under noise, in pieces.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::*;

/// What comes of all that a client will ever say.
#[derive(Debug, PartialEq, Eq)]
struct End {
    agreed: bool,
    settled: Settled,
}

#[derive(Debug, PartialEq, Eq)]
enum Settled {
    Waits,
    /// With what is left of its bytes.
    Asked(Target, usize),
    Faulty(Fault),
}

/// The naive reader.
fn expected(said: &[u8]) -> End {
    let settled = |agreed, settled| End { agreed, settled };
    let hello = match said {
        [] | [5] => return settled(false, Settled::Waits),
        [5, count, methods @ ..] => (usize::from(*count), methods),
        [version, ..] => return settled(false, Settled::Faulty(Fault::Version(*version))),
    };
    let Some((methods, request)) = hello.1.split_at_checked(hello.0) else {
        return settled(false, Settled::Waits);
    };
    if methods.iter().all(|method| *method != 0) {
        return settled(false, Settled::Faulty(Fault::NoMethod));
    }
    settled(true, expected_of(request))
}

fn expected_of(request: &[u8]) -> Settled {
    let (address, rest) = match request {
        [5, 1, _, 1, rest @ ..] => (4, rest),
        [5, 1, _, 4, rest @ ..] => (16, rest),
        [5, 1, _, 3, length, rest @ ..] => (usize::from(*length), rest),
        [] | [5] | [5, 1] | [5, 1, _] | [5, 1, _, 3] => return Settled::Waits,
        [5, 1, _, kind, ..] => return Settled::Faulty(Fault::AddressType(*kind)),
        [5, command, ..] => return Settled::Faulty(Fault::Command(*command)),
        [version, ..] => return Settled::Faulty(Fault::RequestVersion(*version)),
    };
    if rest.len() < address + 2 {
        return Settled::Waits;
    }
    let port = u16::from(rest[address]) << 8 | u16::from(rest[address + 1]);
    let rest_of = rest.len() - address - 2;
    let text = match (request[3], &rest[..address]) {
        (1, &[a, b, c, d]) => format!("{a}.{b}.{c}.{d}"),
        (4, v6) => {
            let groups: Vec<String> =
                v6.chunks(2).map(|two| format!("{:02x}{:02x}", two[0], two[1])).collect();
            groups.join(":")
        }
        (_, name) => String::from_utf8_lossy(name).into_owned(),
    };
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let is_text = text.is_ascii()
        && !text.contains(|letter: char| !letter.is_ascii_alphanumeric() && !"-._".contains(letter));
    match bare.parse::<IpAddr>() {
        _ if port == 0 => Settled::Faulty(Fault::NoPort),
        Ok(ip) if bare == text || (ip.is_ipv6() && text == format!("[{bare}]")) => {
            Settled::Asked(Target::Address(SocketAddr::new(ip.to_canonical(), port)), rest_of)
        }
        Ok(_) => Settled::Faulty(Fault::NotAName),
        Err(_)
            if is_text
                && !bare.trim_end_matches('.').is_empty()
                && text.trim_end_matches('.').len() <= 253 =>
        {
            Settled::Asked(Target::Name { host: text, port }, rest_of)
        }
        Err(_) => Settled::Faulty(Fault::NotAName),
    }
}

const SAMPLES: [&[u8]; 6] = [
    b"\x05\x01\0\x05\x01\0\x01\x0a\0\0\x01\0\x50early data",
    b"\x05\x02\x02\0\x05\x01\0\x04\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07\0\x50early data",
    b"\x05\x01\0\x05\x01\0\x03\x0bweb.example\x01\xbbearly data",
    b"\x05\x01\0\x05\x01\0\x03\x07fd00::1\0\x50",
    b"\x05\x01\0\x05\x01\0\x03\x09[fd00::1]\0\x50",
    b"\x05\x01\0\x05\x03\0\x01\0\0\0\0\0\0",
];

/// One of the samples with up to three bytes replaced, removed or added.
fn noise(random: &mut SmallRng) -> Vec<u8> {
    let mut bytes = SAMPLES.choose(random).unwrap().to_vec();
    for _ in 0..random.random_range(0..4) {
        let at = random.random_range(0..=bytes.len());
        let byte = if random.random() { random.random_range(0..6) } else { random.random() };
        match random.random_range(0..3) {
            0 => bytes.insert(at, byte),
            1 => bytes.truncate(at.max(3)),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|old| *old = byte),
        }
    }
    bytes
}

/// What the machine makes of it in pieces.
fn in_pieces(said: &[u8], random: &mut SmallRng) -> End {
    let (mut negotiation, mut agreed, mut at) = (Negotiation::default(), false, 0);
    loop {
        let end = random.random_range(at..=said.len());
        let mut piece = &said[at..end];
        let settled = negotiation.receive(&mut piece);
        assert!(negotiation.said.len() <= LONGEST);
        at = end - piece.len();
        let waits = negotiation.missing();
        match settled {
            Ok(Some(Step::Say(said))) => {
                assert_eq!((said, agreed), ([5, 0], false));
                agreed = true;
            }
            Ok(Some(Step::Asked(target))) => {
                assert_eq!((waits, negotiation.receive(&mut &said[at..])), (0, Ok(None)));
                return End { agreed, settled: Settled::Asked(target, said.len() - at) };
            }
            Ok(None) if at == said.len() => {
                assert!(waits > 0);
                return End { agreed, settled: Settled::Waits };
            }
            Ok(None) => assert!(piece.is_empty() && waits > 0),
            Err(fault) => {
                assert_eq!(waits, 0);
                return End { agreed, settled: Settled::Faulty(fault) };
            }
        }
    }
}

#[test]
fn pieces_and_noise_change_nothing() {
    let mut random = SmallRng::seed_from_u64(5);
    let mut met = [0; 3];
    for _ in 0..100_000 {
        let said = noise(&mut random);
        let end = in_pieces(&said, &mut random);
        assert_eq!(end, expected(&said), "{said:?}");
        met[match end.settled {
            Settled::Waits => 0,
            Settled::Asked(..) => 1,
            Settled::Faulty(_) => 2,
        }] += 1;
    }
    assert!(met.iter().all(|count| *count > 5000), "{met:?}");
}
