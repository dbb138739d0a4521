//! Reads what `nft -j list ruleset` prints (`libnftables-json(5)`).

use std::collections::BTreeMap;
use std::io;

use ebpf_free_iptables::TUNNEL_PORT;
use serde_json::Value;

use super::{Chain, Hook, Rule, Sure, Table, Target};

/// The tables that hold IP traffic. With `iptables_is_read`, those that iptables has made are left out.
pub(super) fn tables(text: &str, iptables_is_read: bool) -> io::Result<Vec<Table>> {
    let document: Value = serde_json::from_str(text)?;
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    for object in document["nftables"].as_array().into_iter().flatten() {
        for kind in ["table", "chain", "rule"] {
            let Some(place) = place(&object[kind], kind, iptables_is_read) else { continue };
            let named = || Table { program: "nft".into(), name: place.clone(), chains: BTreeMap::new() };
            add(tables.entry(place.clone()).or_insert_with(named), kind, &object[kind]);
        }
    }
    Ok(tables.into_values().collect())
}

/// The family and the name of the table an object is in.
fn place(object: &Value, kind: &str, iptables_is_read: bool) -> Option<String> {
    const OF_IPTABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];
    let family = object["family"].as_str()?;
    let name = object[if kind == "table" { "name" } else { "table" }].as_str()?;
    let of_iptables = ["ip", "ip6"].contains(&family) && OF_IPTABLES.contains(&name);
    let skipped = !["ip", "ip6", "inet"].contains(&family) || (of_iptables && iptables_is_read);
    (!skipped).then(|| format!("{family} {name}"))
}

fn add(table: &mut Table, kind: &str, object: &Value) {
    match kind {
        "chain" => {
            let name = object["name"].as_str().unwrap_or_default();
            let hook = object["hook"].as_str().and_then(Hook::parse).filter(|_| object["type"] != "nat");
            let drops = object["policy"] == "drop";
            table.chains.insert(name.to_owned(), Chain { hook, drops, rules: Vec::new() });
        }
        "rule" => {
            let chain = object["chain"].as_str().unwrap_or_default();
            let text = format!("nft: rule {} of {} {chain}", object["handle"], table.name);
            table.chains.entry(chain.to_owned()).or_default().rules.push(rule(&object["expr"], text));
        }
        _ => {}
    }
}

fn rule(expressions: &Value, text: String) -> Rule {
    let mut rule = Rule { fits: Sure::Yes, names_port: false, target: Target::Other, text };
    for expression in expressions.as_array().into_iter().flatten() {
        let Some((word, content)) = expression.as_object().and_then(|it| it.iter().next()) else { continue };
        match word.as_str() {
            "match" => {
                let fits = fits(content);
                rule.names_port |= fits == Sure::Yes && is_port(&content["left"]) && content["op"] == "==";
                rule.fits = rule.fits.min(fits);
            }
            "accept" => rule.target = Target::Accept,
            "drop" | "reject" => rule.target = Target::Drop,
            "return" => rule.target = Target::Return,
            "jump" | "goto" => {
                let chain = content["target"].as_str().unwrap_or_default();
                rule.target = Target::Chain(chain.to_owned());
            }
            "counter" | "log" | "comment" | "notrack" => {}
            // Limits, sets of verdicts, and all that only the program that made it understands.
            _ => rule.fits = rule.fits.min(Sure::Maybe),
        }
    }
    rule
}

fn is_port(left: &Value) -> bool {
    let payload = &left["payload"];
    payload["field"] == "dport" && (payload["protocol"] == "tcp" || payload["protocol"] == "th")
}

fn fits(content: &Value) -> Sure {
    let (left, right) = (&content["left"], &content["right"]);
    let (payload, meta) = (&left["payload"], left["meta"]["key"].as_str());
    let fits = if is_port(left) {
        one_of(right, &|value| holds_port(value))
    } else if payload["protocol"] == "udp" || payload["protocol"] == "icmp" || payload["protocol"] == "icmpv6"
    {
        Sure::No
    } else if meta == Some("l4proto") || payload["field"] == "protocol" || payload["field"] == "nexthdr" {
        one_of(right, &|value| value == "tcp" || value == 6)
    } else if left["ct"]["key"] == "state" {
        one_of(right, &|value| value == "new")
    } else if matches!(meta, Some("iifname" | "oifname" | "iif" | "oif")) && right == "lo" {
        Sure::No
    } else {
        Sure::Maybe
    };
    match (fits, content["op"] == "!=") {
        (Sure::Yes, true) => Sure::No,
        (Sure::No, true) => Sure::Yes,
        (fits, _) => fits,
    }
}

/// A value, a list or a set of them; what is in a named set is not known.
fn one_of(right: &Value, holds: &dyn Fn(&Value) -> bool) -> Sure {
    let values = right.as_array().or(right["set"].as_array());
    let found = match values {
        Some(values) => values.iter().any(holds),
        None if right.as_str().is_some_and(|name| name.starts_with('@')) => return Sure::Maybe,
        None => holds(right),
    };
    if found { Sure::Yes } else { Sure::No }
}

fn holds_port(value: &Value) -> bool {
    let port = u64::from(TUNNEL_PORT);
    match value["range"].as_array().map(Vec::as_slice) {
        Some([first, last]) => {
            first.as_u64().is_some_and(|it| it <= port) && last.as_u64().is_some_and(|it| it >= port)
        }
        Some(_) => false,
        None => value == port,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn dport(op: &str, right: Value) -> Value {
        json!({"match": {"op": op, "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": right}})
    }

    #[test]
    fn a_rule_says_how_far_it_is_about_the_first_packet_of_a_tunnel() {
        let state =
            |right: Value| json!({"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": right}});
        let interface =
            |name: &str| json!({"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": name}});
        for (expression, fits, names_port) in [
            (dport("==", json!(15008)), Sure::Yes, true),
            (dport("==", json!({"set": [80, {"range": [15000, 15010]}]})), Sure::Yes, true),
            (dport("==", json!(80)), Sure::No, false),
            (dport("!=", json!(80)), Sure::Yes, false),
            (dport("==", json!("@open")), Sure::Maybe, false),
            (state(json!(["established", "related"])), Sure::No, false),
            (state(json!("new")), Sure::Yes, false),
            (interface("lo"), Sure::No, false),
            (interface("eth0"), Sure::Maybe, false),
            (json!({"limit": {"rate": 5}}), Sure::Maybe, false),
            (json!({"counter": {}}), Sure::Yes, false),
        ] {
            let rule = rule(&json!([expression, {"drop": null}]), String::new());
            assert_eq!(
                (rule.fits, rule.names_port, rule.target),
                (fits, names_port, Target::Drop),
                "{expression}"
            );
        }
    }

    #[test]
    fn tables_of_iptables_are_left_out_when_they_are_read_elsewhere() {
        let text = json!({"nftables": [
            {"metainfo": {}},
            {"table": {"family": "inet", "name": "mine"}},
            {"chain": {"family": "inet", "table": "mine", "name": "in", "type": "filter", "hook": "input", "policy": "drop"}},
            {"rule": {"family": "inet", "table": "mine", "chain": "in", "handle": 7, "expr": [{"accept": null}]}},
            {"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "hook": "forward", "policy": "accept"}},
            {"chain": {"family": "bridge", "table": "filter", "name": "FORWARD", "hook": "forward"}},
        ]})
        .to_string();
        let names =
            |known| tables(&text, known).unwrap().iter().map(|table| table.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(true), ["inet mine"]);
        assert_eq!(names(false), ["inet mine", "ip filter"]);
        let mine = &tables(&text, true).unwrap()[0].chains["in"];
        assert!(mine.drops && mine.hook == Some(Hook::Input));
        assert_eq!(mine.rules[0].text, "nft: rule 7 of inet mine in");
        assert!(tables("what", true).is_err());
    }
}
