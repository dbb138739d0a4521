//! Payloads that are cut short, changed or made up: never a panic, and whatever is taken is a value like any other.

use rand::RngExt;
use rand::rngs::StdRng;

use super::*;

/// Takes the payload for everything there is; what is accepted has to survive the way out and back in.
fn feed(name: &str, payload: &[u8]) {
    let interner = &mut Interner::default();
    match decode_address(name, payload, interner) {
        Ok(Address::Workload(it)) => {
            assert_eq!(decode_address(name, &encode_workload(&it), interner), Ok(Address::Workload(it)));
        }
        Ok(Address::Service(it)) => {
            assert_eq!(decode_address(name, &encode_service(&it), interner), Ok(Address::Service(it)));
        }
        Err(error) => assert!(!error.reason().is_empty()),
    }
    match decode_policy(name, payload, interner) {
        Ok(it) => assert_eq!(decode_policy(name, &encode_policy(&it), interner), Ok(it)),
        Err(error) => {
            let stand_in = unusable_policy(name, payload, error.reason());
            assert!(stand_in.unusable.is_some() && *stand_in.key == *name);
        }
    }
}

/// Names and payloads of random values.
fn resources(rng: &mut StdRng) -> [(String, Vec<u8>); 3] {
    let (workload, service, policy) = (random::workload(rng), random::service(rng), random::policy(rng));
    [
        (workload.uid.to_string(), encode_workload(&workload).to_vec()),
        (service.key().to_string(), encode_service(&service).to_vec()),
        (policy.key.to_string(), encode_policy(&policy).to_vec()),
    ]
}

#[test]
fn payloads_cut_short() {
    let mut rng = random::seeded(21);
    for (name, payload) in (0..20).flat_map(|_| resources(&mut rng)) {
        (0..payload.len()).for_each(|end| feed(&name, &payload[..end]));
    }
}

#[test]
fn payloads_with_one_byte_changed() {
    let mut rng = random::seeded(22);
    for (name, payload) in (0..10).flat_map(|_| resources(&mut rng)) {
        for at in 0..payload.len() {
            for flip in [0x01, 0x02, 0x04, 0x08, 0x10, 0x80, 0xff] {
                let mut changed = payload.clone();
                changed[at] ^= flip;
                feed(&name, &changed);
            }
        }
    }
}

#[test]
fn payloads_made_up() {
    let mut rng = random::seeded(23);
    for _ in 0..10_000 {
        let length = rng.random_range(0..64);
        let payload: Vec<u8> = (0..length).map(|_| rng.random()).collect();
        feed("ns/name", &payload);
    }
}

#[test]
fn fields_nobody_knows_are_skipped_where_they_are_no_conditions() {
    // Field 1000 in each of the four forms a field can have: a number, eight bytes, a text, four bytes.
    let unknown: [&[u8]; 4] = [
        &[0xc0, 0x3e, 5],
        &[0xc1, 0x3e, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0xc2, 0x3e, 2, b'h', b'i'],
        &[0xc5, 0x3e, 1, 2, 3, 4],
    ];
    let mut rng = random::seeded(24);
    let interner = &mut Interner::default();
    for _ in 0..50 {
        let [workload, service, policy] = resources(&mut rng);
        for (name, payload) in [workload, service] {
            let plain = decode_address(&name, &payload, interner).unwrap();
            assert_eq!(
                decode_address(&name, &[&payload, unknown.concat().as_slice()].concat(), interner),
                Ok(plain)
            );
        }
        let (name, payload) = policy;
        let plain = decode_policy(&name, &payload, interner).unwrap();
        assert_eq!(decode_policy(&name, &[unknown.concat(), payload].concat(), interner), Ok(plain));
    }
}
