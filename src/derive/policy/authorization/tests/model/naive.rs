//! The naive evaluator. Nothing is what it does not understand.

use std::net::IpAddr;

use super::*;

type Fields<'a> = Vec<(&'a str, &'a Value)>;

/// A peer in words: principal, namespace, `<namespace>/<account>`; empty without identity.
struct Words<'a> {
    principal: String,
    namespace: String,
    account: String,
    home: &'a str,
    peer: &'a Peer,
}

pub(super) fn is_understood(object: &Value) -> bool {
    let anybody = peer("-");
    let well_annotated = annotation(object).is_none_or(|it| ["true", "false"].contains(&it));
    well_annotated
        && (attached(&object["spec"]) || hits(object, &anybody).is_some())
        && labels(&object["spec"]).is_some()
}

pub(super) fn is_enforced(object: &Value) -> bool {
    let idle = attached(&object["spec"]) || object["spec"]["action"] == "AUDIT";
    !idle && annotation(object) != Some("true")
}

pub(super) fn lets_in(case: &Case) -> bool {
    let applying = || case.objects.iter().filter(|it| governs(it, &case.pod) && is_enforced(it));
    let denies = |it: &Value| it["spec"]["action"] == "DENY";
    let matches = |it: &&Value| hits(it, &case.peer) == Some(true);
    let none = applying().all(denies);
    applying().all(is_understood)
        && !applying().filter(|it| denies(it)).any(|it| matches(&it))
        && (none || applying().filter(|it| !denies(it)).any(|it| matches(&it)))
}

pub(super) fn governs(object: &Value, pod: &Pod) -> bool {
    let namespace = object["metadata"]["namespace"].as_str().unwrap();
    let near = namespace == "root" || namespace == pod.namespace;
    let labels = labels(&object["spec"]).unwrap_or_default();
    near && labels.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
}

fn annotation(object: &Value) -> Option<&str> {
    object["metadata"]["annotations"][DRY_RUN].as_str()
}

/// The labels of a selector.
fn labels(spec: &Value) -> Option<Vec<(String, String)>> {
    if !(spec.is_object() || spec.is_null()) {
        return Some(Vec::new());
    }
    let selector = fields(&spec["selector"], &["matchLabels"])?;
    let Some((_, labels)) = selector.first() else { return Some(Vec::new()) };
    let pair = |(key, value): (&String, &Value)| {
        let value = value.as_str()?;
        let fine = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
        (!key.is_empty() && fine(key) && fine(value)).then(|| (key.clone(), value.to_owned()))
    };
    labels.as_object()?.iter().map(pair).collect()
}

/// Whether it is well attached to something by reference, and to nothing else.
fn attached(spec: &Value) -> bool {
    let Some(targets) = spec["targetRefs"].as_array() else { return false };
    let named = |it: &Value, field: &str| it[field].as_str().is_some_and(|text| !text.is_empty());
    let selects = labels(spec).is_none_or(|labels| !labels.is_empty());
    !targets.is_empty() && targets.iter().all(|it| named(it, "kind") && named(it, "name")) && !selects
}

/// Whether a rule of the policy matches.
fn hits(object: &Value, peer: &Peer) -> Option<bool> {
    let home = object["metadata"]["namespace"].as_str().unwrap();
    let id = peer.identity.as_ref();
    let words = Words {
        principal: id.map_or(String::new(), |id| id.to_string().replacen("spiffe://", "", 1)),
        namespace: id.map_or(String::new(), |id| id.namespace().to_owned()),
        account: id.map_or(String::new(), |id| format!("{}/{}", id.namespace(), id.service_account())),
        home,
        peer,
    };
    let spec = fields(&object["spec"], &["selector", "action", "rules"])?;
    let mut rules = &Vec::new();
    let mut action = "ALLOW";
    for (name, value) in spec {
        match name {
            "rules" => rules = value.as_array()?,
            "action" => action = value.as_str().filter(|it| ["ALLOW", "DENY", "AUDIT"].contains(it))?,
            _ => {}
        }
    }
    if action == "DENY" && rules.is_empty() {
        return None;
    }
    let rules: Option<Vec<bool>> = rules.iter().map(|it| rule(it, &words)).collect();
    Some(rules?.contains(&true))
}

fn rule(rule: &Value, words: &Words<'_>) -> Option<bool> {
    if rule.is_null() {
        return None;
    }
    let mut all = true;
    for (name, value) in fields(rule, &["from", "to", "when"])? {
        let entries = value.as_array().filter(|it| !it.is_empty())?;
        let hits = entries.iter().map(|entry| match name {
            "from" => source(only(entry, "source")?, words),
            "to" => operation(only(entry, "operation")?, words),
            _ => condition(entry, words),
        });
        let hits: Vec<bool> = hits.collect::<Option<_>>()?;
        all &= if name == "when" { !hits.contains(&false) } else { hits.contains(&true) };
    }
    Some(all)
}

fn source(source: &Value, words: &Words<'_>) -> Option<bool> {
    const NAMES: [&str; 8] = [
        "principals",
        "notPrincipals",
        "namespaces",
        "notNamespaces",
        "serviceAccounts",
        "notServiceAccounts",
        "ipBlocks",
        "notIpBlocks",
    ];
    let said = fields(source, &NAMES).filter(|it| !it.is_empty())?;
    let mut all = true;
    for (name, values) in said {
        let kind = name.to_lowercase();
        let kind = kind.strip_prefix("not").unwrap_or(&kind);
        let hit = any(values, |text| value(kind, text, words))?;
        all &= hit != name.starts_with("not");
    }
    Some(all)
}

fn operation(operation: &Value, words: &Words<'_>) -> Option<bool> {
    let said = fields(operation, &["ports", "notPorts"]).filter(|it| !it.is_empty())?;
    let mut all = true;
    for (name, values) in said {
        all &= any(values, |text| value("destination.port", text, words))? == (name == "ports");
    }
    Some(all)
}

fn condition(condition: &Value, words: &Words<'_>) -> Option<bool> {
    let said = fields(condition, &["key", "values", "notValues"])?;
    let key = said.iter().find(|(name, _)| *name == "key")?.1.as_str()?;
    let known = ["source.ip", "source.namespace", "source.principal", "destination.ip", "destination.port"];
    if said.len() < 2 || !known.contains(&key) {
        return None;
    }
    let mut all = true;
    for (name, values) in said.into_iter().filter(|(name, _)| *name != "key") {
        all &= any(values, |text| value(key, text, words))? == (name == "values");
    }
    Some(all)
}

/// Whether one value of a kind is what the peer has.
fn value(kind: &str, text: &str, words: &Words<'_>) -> Option<bool> {
    match kind {
        "principals" | "source.principal" => {
            let parts: Vec<&str> = text.split('/').collect();
            let whole = parts.len() == 5 && parts[1] == "ns" && parts[3] == "sa" && !parts.contains(&"");
            (text.contains('*') || whole).then_some(())?;
            pattern(text, &words.principal, "/.-:").filter(|_| !text.contains(':'))
        }
        "namespaces" | "source.namespace" => pattern(text, &words.namespace, "-"),
        "serviceaccounts" => {
            let full = if text.contains('/') { text.to_owned() } else { format!("{}/{text}", words.home) };
            let parts: Vec<&str> = full.split('/').collect();
            let plain = |part: &str, dots: bool| {
                let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || dots && c == '.';
                !part.is_empty() && part.chars().all(fine)
            };
            (parts.len() == 2 && plain(parts[0], false) && plain(parts[1], true))
                .then(|| full == words.account)
        }
        "ipblocks" | "source.ip" => block(text, words.peer.source.ip()),
        "destination.ip" => block(text, words.peer.destination.ip()),
        _ => {
            let port: u32 = text.parse().ok().filter(|port| (1..65536).contains(port))?;
            Some(port == u32::from(words.peer.destination.port()))
        }
    }
}

/// Whether a text is that, or begins or ends so.
fn pattern(pattern: &str, text: &str, also: &str) -> Option<bool> {
    let fine = |c: char| c == '*' || c.is_ascii_lowercase() || c.is_ascii_digit() || also.contains(c);
    if pattern.is_empty() || !pattern.chars().all(fine) {
        return None;
    }
    let pieces: Vec<&str> = pattern.split('*').collect();
    Some(match pieces[..] {
        [all] => text == all,
        ["", ""] => !text.is_empty(),
        ["", end] => text.ends_with(end),
        [beginning, ""] => text.starts_with(beginning),
        _ => return None,
    })
}

fn block(text: &str, ip: IpAddr) -> Option<bool> {
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => format!("{:032b}", ip.to_bits()),
        IpAddr::V6(ip) => format!("{:0128b}", ip.to_bits()),
    };
    let (network, length) = text.split_once('/').unwrap_or((text, "999"));
    let network = bits(network.parse().ok()?);
    let length: usize = length.parse().ok()?;
    if text.contains('/') && length > network.len() {
        return None;
    }
    let length = length.min(network.len());
    let ip = bits(ip);
    Some(ip.len() == network.len() && ip[..length] == network[..length])
}

/// Whether any text of a list that is not empty is so.
fn any(list: &Value, mut hit: impl FnMut(&str) -> Option<bool>) -> Option<bool> {
    let texts = list.as_array().filter(|it| !it.is_empty())?;
    let hits: Option<Vec<bool>> = texts.iter().map(|text| hit(text.as_str()?)).collect();
    Some(hits?.contains(&true))
}

/// The value of the one field there is.
fn only<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    fields(object, &[name])?.first().map(|(_, value)| *value)
}

/// The fields that say something, if all are known.
fn fields<'a>(object: &'a Value, known: &[&str]) -> Option<Fields<'a>> {
    if object.is_null() {
        return Some(Vec::new());
    }
    let filled = object.as_object()?.iter().filter(|(_, value)| !value.is_null());
    let filled: Fields<'_> = filled.map(|(name, value)| (name.as_str(), value)).collect();
    filled.iter().all(|(name, _)| known.contains(name)).then_some(filled)
}
