//! Fields of a policy's rules that nobody here knows.
//!
//! Goes in: the payload of a policy. Comes out: where it has a field that the decoder has skipped, if anywhere. Rules are
//! conditions, and to skip one makes an ALLOW broader and a DENY narrower. What stands beside the rules only describes the
//! policy, and new fields there are fine. What known fields hold is not looked at: the decoder has done that.

use prost::decode_length_delimiter;

use crate::invalid::{Fault, Problem};

/// The fields a message may have: number, name, and what is inside.
type Message = &'static [(usize, &'static str, Inside)];

/// What is inside a field.
#[derive(Clone, Copy)]
enum Inside {
    /// Nothing to look at.
    Value,
    One(Message),
    Each(Message),
}

use Inside::{Each, One, Value};

const RULE: Message = &[(1, "clauses", Each(CLAUSE))];
const CLAUSE: Message = &[(2, "matches", Each(MATCH))];
const MATCH: Message = &[
    (1, "namespaces", Each(STRING_MATCH)),
    (2, "not_namespaces", Each(STRING_MATCH)),
    (3, "principals", Each(STRING_MATCH)),
    (4, "not_principals", Each(STRING_MATCH)),
    (5, "source_ips", Each(ADDRESS)),
    (6, "not_source_ips", Each(ADDRESS)),
    (7, "destination_ips", Each(ADDRESS)),
    (8, "not_destination_ips", Each(ADDRESS)),
    (9, "destination_ports", Value),
    (10, "not_destination_ports", Value),
    (11, "service_accounts", Each(SERVICE_ACCOUNT_MATCH)),
    (12, "not_service_accounts", Each(SERVICE_ACCOUNT_MATCH)),
    // Add-ons of a control plane for nodes of its own: no conditions for others, by contract.
    (13, "extensions", Value),
];
const STRING_MATCH: Message =
    &[(1, "exact", Value), (2, "prefix", Value), (3, "suffix", Value), (4, "presence", One(&[]))];
const ADDRESS: Message = &[(1, "address", Value), (2, "length", Value)];
const SERVICE_ACCOUNT_MATCH: Message = &[(1, "namespace", Value), (2, "service_account", Value)];

/// The number of the rules in a policy.
const RULES: usize = 5;

/// Looks for the first field in the rules of a policy that nobody here knows.
pub(crate) fn check(payload: &[u8]) -> Result<(), Fault> {
    let (mut rest, mut rules) = (payload, 0);
    while !rest.is_empty() {
        let (number, inside) = next(&mut rest)?;
        if number == RULES {
            check_message(inside, RULE).map_err(|fault| fault.under(&format!("rules[{rules}]")))?;
            rules += 1;
        }
    }
    Ok(())
}

fn check_message(mut rest: &[u8], message: Message) -> Result<(), Fault> {
    // How many there were of each field, by the place of the field in the message.
    let mut seen = [0; MATCH.len()];
    while !rest.is_empty() {
        let (number, inside) = next(&mut rest)?;
        let place = message.iter().position(|(known, ..)| *known == number);
        let place = place.ok_or_else(|| unknown(number))?;
        let (_, name, kind) = message[place];
        match kind {
            Value => {}
            One(message) => check_message(inside, message).map_err(|fault| fault.under(name))?,
            Each(message) => check_message(inside, message)
                .map_err(|fault| fault.under(&format!("{name}[{}]", seen[place])))?,
        }
        seen[place] += 1;
    }
    Ok(())
}

/// Takes the next field: its number, and its bytes when it has a length. Groups are of no message here.
fn next<'p>(rest: &mut &'p [u8]) -> Result<(usize, &'p [u8]), Fault> {
    let key = decode_length_delimiter(&mut *rest).map_err(|_| unknown(0))?;
    let (number, form) = (key >> 3, key & 7);
    let length = match form {
        // A number; it ends with the first byte that has no successor.
        0 => rest.iter().position(|octet| *octet < 0x80).map(|last| last + 1),
        1 => Some(8),
        2 => decode_length_delimiter(&mut *rest).ok(),
        5 => Some(4),
        _ => None,
    };
    let (field, after) =
        length.and_then(|length| rest.split_at_checked(length)).ok_or_else(|| unknown(number))?;
    *rest = after;
    Ok((number, field))
}

fn unknown(number: usize) -> Fault {
    Fault::new(&format!("field {number}"), Problem::UnknownField)
}
