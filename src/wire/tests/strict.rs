//! Fields nobody knows, in every message a rule is made of.

use culvert_core::policy::{Denial, Peer, Verdict, judge};
use culvert_core::store::{Locality, Resource, Store};
use rand::RngExt;
use rand::seq::IndexedRandom;

use super::*;

/// A field with bytes in it; the number has to be below 16.
fn field(number: u8, inside: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    prost::encode_length_delimiter(inside.len(), &mut bytes).unwrap();
    [bytes, inside.to_vec()].concat()
}

/// A policy whose innermost message, found by the numbers in `path`, has `inside`.
fn policy_with(path: &[u8], inside: &[u8]) -> Vec<u8> {
    let rules = path.iter().rev().fold(inside.to_vec(), |inside, number| field(*number, &inside));
    [field(1, b"p"), field(2, b"ns"), rules].concat()
}

fn decode(payload: &[u8]) -> Result<Policy, String> {
    decode_policy("ns/p", payload, &mut Interner::default()).map_err(|error| error.reason())
}

const RULE: &[u8] = &[5];
const CLAUSE: &[u8] = &[5, 1];
const MATCH: &[u8] = &[5, 1, 2];

/// Field 15 in each of the forms a field can have: a number, eight bytes, a text, a group, four bytes.
const UNKNOWN: [&[u8]; 5] = [
    &[0x78, 0x85, 1],
    &[0x79, 1, 2, 3, 4, 5, 6, 7, 8],
    &[0x7a, 2, b'h', b'i'],
    &[0x7b, 0x7c],
    &[0x7d, 1, 2, 3, 4],
];

#[test]
fn an_unknown_field_is_found_in_every_message_of_a_rule() {
    let in_match = |number: u8| [MATCH, &[number]].concat();
    for (path, known, place) in [
        (RULE.to_vec(), field(1, &[]), "rules[0].field 15"),
        (CLAUSE.to_vec(), field(2, &[]), "rules[0].clauses[0].field 15"),
        (MATCH.to_vec(), field(9, &[80]), "rules[0].clauses[0].matches[0].field 15"),
        (in_match(1), field(1, b"exact"), "rules[0].clauses[0].matches[0].namespaces[0].field 15"),
        (in_match(2), field(2, b"prefix"), "rules[0].clauses[0].matches[0].not_namespaces[0].field 15"),
        (in_match(3), field(3, b"suffix"), "rules[0].clauses[0].matches[0].principals[0].field 15"),
        (in_match(4), field(4, &[]), "rules[0].clauses[0].matches[0].not_principals[0].field 15"),
        (in_match(5), field(1, &[0; 4]), "rules[0].clauses[0].matches[0].source_ips[0].field 15"),
        (in_match(6), field(1, &[0; 4]), "rules[0].clauses[0].matches[0].not_source_ips[0].field 15"),
        (in_match(7), field(1, &[0; 4]), "rules[0].clauses[0].matches[0].destination_ips[0].field 15"),
        (in_match(8), field(1, &[0; 4]), "rules[0].clauses[0].matches[0].not_destination_ips[0].field 15"),
    ] {
        decode(&policy_with(&path, &known)).unwrap();
        for unknown in UNKNOWN {
            for inside in [[&known, unknown].concat(), [unknown, &known].concat()] {
                let error = decode(&policy_with(&path, &inside)).unwrap_err();
                assert!(error.starts_with(&format!("{place}: not known here")), "{place}: {error}");
            }
        }
    }
    let accounts = [field(1, b"ns"), field(2, b"sa")].concat();
    for (number, name) in [(11, "service_accounts"), (12, "not_service_accounts")] {
        decode(&policy_with(&in_match(number), &accounts)).unwrap();
        let error = decode(&policy_with(&in_match(number), &[accounts.as_slice(), UNKNOWN[0]].concat()));
        assert!(error.unwrap_err().contains(&format!("{name}[0].field 15")));
    }
    let presence = policy_with(&[MATCH, &[1, 4]].concat(), UNKNOWN[0]);
    assert!(decode(&presence).unwrap_err().contains("namespaces[0].presence.field 15"));
}

#[test]
fn the_place_of_an_unknown_field_is_counted() {
    let good = field(1, &field(2, &field(9, &[80])));
    let bad = field(1, &field(2, &[field(3, &field(1, b"x")), field(3, &field(9, b"y"))].concat()));
    let rules = [field(5, &good), field(5, &[good.clone(), good.clone(), bad].concat())].concat();
    let error = decode(&[field(1, b"p"), field(2, b"ns"), rules].concat()).unwrap_err();
    assert!(error.starts_with("rules[1].clauses[2].matches[0].principals[1].field 9: "), "{error}");
}

#[test]
fn a_text_condition_of_a_new_kind_is_not_taken_for_an_old_one() {
    let both = [field(1, b"exact"), field(5, b"new")].concat();
    let error = decode(&policy_with(&[MATCH, &[1]].concat(), &both)).unwrap_err();
    assert!(error.contains("namespaces[0].field 5: not known here"), "{error}");
}

#[test]
fn what_describes_a_policy_may_be_new_and_extensions_are_none_of_our_business() {
    let plain = policy_with(MATCH, &field(9, &[80]));
    for beside in UNKNOWN.into_iter().map(<[u8]>::to_vec).filter(|it| it[0] != 0x7b).chain([field(7, b"any")])
    {
        assert_eq!(decode(&[plain.clone(), beside].concat()), decode(&plain));
    }
    let extended = policy_with(MATCH, &[field(9, &[80]), field(13, b"any")].concat());
    assert_eq!(decode(&extended), decode(&plain));
}

#[test]
fn other_ways_to_write_the_same_are_fine() {
    let plain = decode(&policy_with(MATCH, &field(9, &[80, 81]))).unwrap();
    // Unpacked, with a number that is longer than it needs to be, in two parts.
    let loose = policy_with(MATCH, &[&[0x48, 80], field(9, &[0xd1, 0x00]).as_slice()].concat());
    assert_eq!(decode(&loose), Ok(plain.clone()));
    // Defaults that are written, behind the rules.
    let written = [policy_with(MATCH, &field(9, &[80, 81])), vec![0x18, 0, 0x20, 0, 0x30, 0]].concat();
    assert_eq!(decode(&written), Ok(plain));
}

#[test]
fn random_policies_have_no_unknown_fields_until_they_get_one() {
    let mut rng = random::seeded(31);
    for _ in 0..2_000 {
        let policy = random::policy(&mut rng);
        let payload = encode_policy(&policy);
        assert_eq!(crate::strict::check(&payload).map_err(Invalid::from), Ok(()));
        let rule = field(5, &field(1, &field(2, UNKNOWN.choose(&mut rng).unwrap())));
        let changed = if rng.random() { [rule, payload.to_vec()] } else { [payload.to_vec(), rule] };
        decode_policy(&policy.key, &changed.concat(), &mut Interner::default()).unwrap_err();
    }
}

/// Judges a peer from 10.9.8.7 by one policy, as a node would that was sent it.
fn verdict_by(payload: &[u8]) -> Verdict {
    let policy = match decode_policy("ns/p", payload, &mut Interner::default()) {
        Ok(policy) => policy,
        Err(error) => unusable_policy("ns/p", payload, error.reason()),
    };
    let mut store = Store::new(Locality::default());
    store.insert(Resource::Policy(policy));
    let template = culvert_core::workload::Template { namespace: "ns".into(), ..Default::default() };
    let workload = Workload { template: template.into(), ..Workload::default() };
    let (source, destination) = ("10.9.8.7:1".parse().unwrap(), "10.0.0.1:80".parse().unwrap());
    judge(&store.snapshot().policies_for(&workload), &Peer { identity: None, source, destination })
}

#[test]
fn what_makes_no_sense_lets_nobody_in_and_keeps_everybody_out() {
    let condition = |change: &dyn Fn(&mut security::Match)| {
        let mut attributes = security::Match { destination_ports: vec![80], ..Default::default() };
        change(&mut attributes);
        attributes.encode_to_vec()
    };
    let block = |address: &[u8], length| vec![security::Address { address: address.to_vec(), length }];
    let plain = condition(&|_| ());
    let broken = [
        ("a block without a length", condition(&|m| m.source_ips = block(&[10, 0, 0, 0], 0))),
        ("a block of three bytes", condition(&|m| m.source_ips = block(&[10, 9, 8], 8))),
        ("a block that is too long", condition(&|m| m.source_ips = block(&[10, 9, 8, 7], 33))),
        ("a port beyond all ports", condition(&|m| m.destination_ports = vec![65_536 + 80])),
        ("a text of no kind", condition(&|m| m.namespaces = vec![security::StringMatch::default()])),
        ("a condition of a new kind", [plain.clone(), field(14, b"new")].concat()),
        ("a text of a new kind", [plain.clone(), field(1, &field(5, b"new"))].concat()),
    ];
    for action in [security::Action::Allow, security::Action::Deny] {
        let policy = |inside: &[u8]| {
            let head = [0x18, security::Scope::Namespace as u8, 0x20, action as u8];
            [policy_with(MATCH, inside), head.to_vec()].concat()
        };
        let allows = action == security::Action::Allow;
        assert_eq!(verdict_by(&policy(&plain)).is_allowed(), allows, "the one that makes sense");
        for (name, inside) in &broken {
            let verdict = verdict_by(&policy(inside));
            assert!(matches!(verdict, Verdict::Deny(Denial::UnusablePolicy { .. })), "{name}: {verdict:?}");
        }
    }
}
