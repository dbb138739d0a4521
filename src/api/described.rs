//! What is served is what the OpenAPI description says, key for key.

mod examples;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::*;
use examples::Shape;

fn description() -> Value {
    serde_json::from_str(OPENAPI).expect("the description is JSON")
}

fn schemas(description: &Value) -> BTreeMap<&str, &Value> {
    let schemas = description["components"]["schemas"].as_object().unwrap();
    schemas.iter().map(|(name, schema)| (name.as_str(), schema)).collect()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn texts(value: &Value) -> BTreeSet<&str> {
    value.as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect()
}

#[test]
fn every_shape_is_described_with_the_keys_it_has() {
    let description = description();
    let schemas = schemas(&description);
    let shapes = examples::all();
    for Shape { name, full, least } in &shapes {
        let schema = schemas.get(name).unwrap_or_else(|| panic!("{name} is not described"));
        assert_eq!(keys(full), keys(&schema["properties"]), "the keys of {name}");
        assert_eq!(keys(least), texts(&schema["required"]), "what is always in {name}");
    }
    let known: BTreeSet<&str> = shapes.iter().map(|shape| shape.name).collect();
    let objects = schemas.iter().filter(|(_, schema)| schema["type"] == "object").map(|(name, _)| *name);
    let unknown: BTreeSet<&str> = objects.filter(|name| !known.contains(name)).collect();
    assert_eq!(unknown, BTreeSet::from(OF_THE_MESH), "described, and without a shape");
}

/// The mesh state has its own well-known shape, which is not of this crate.
const OF_THE_MESH: [&str; 16] = [
    "AccountMatch",
    "ApplicationTunnel",
    "Block",
    "Endpoint",
    "Gateway",
    "LoadBalancer",
    "Locality",
    "Match",
    "PageOfPolicy",
    "PageOfService",
    "PageOfWorkload",
    "Policy",
    "Service",
    "TextMatch",
    "WeightedWaypoint",
    "Workload",
];

#[test]
fn every_kind_of_value_is_what_is_described() {
    let description = description();
    let schemas = schemas(&description);
    for Shape { name, full, least } in examples::all() {
        for value in [full, least] {
            check(&value, schemas[name], &schemas, name);
        }
    }
}

/// Fails unless a value is of the types its schema says. Texts of examples match no pattern, and need not.
fn check(value: &Value, schema: &Value, schemas: &BTreeMap<&str, &Value>, at: &str) {
    if let Some(to) = schema["$ref"].as_str() {
        let name = to.rsplit('/').next().unwrap();
        return check(value, schemas[name], schemas, &format!("{at} ({name})"));
    }
    if let Some(one_of) = schema["oneOf"].as_array() {
        let about = |schema: &Value| schemas[schema["$ref"].as_str().unwrap().rsplit('/').next().unwrap()];
        let fits = |schema: &&Value| about(schema)["properties"]["about"]["const"] == value["about"];
        return check(value, one_of.iter().find(fits).expect(at), schemas, at);
    }
    match (schema["type"].as_str().expect(at), value) {
        ("object", Value::Object(object)) => {
            for (key, value) in object {
                check(value, &schema["properties"][key], schemas, &format!("{at}.{key}"));
            }
        }
        ("array", Value::Array(items)) => {
            items.iter().for_each(|it| check(it, &schema["items"], schemas, at))
        }
        ("string", Value::String(text)) => {
            let words = schema["enum"].as_array();
            assert!(words.is_none_or(|words| words.contains(value)), "{at}: {text} is not described");
        }
        ("integer", Value::Number(number)) => assert!(number.is_u64(), "{at}"),
        ("boolean", Value::Bool(_)) => {}
        (kind, value) => panic!("{at} is {value}, and {kind} is described"),
    }
}

#[test]
fn words_are_the_ones_described() {
    check_words("Direction", &[Direction::Outbound, Direction::Inbound]);
    check_words("Stage", &[Stage::Deciding, Stage::Connecting, Stage::Open, Stage::Ended]);
    check_words("Protocol", &[Protocol::Tcp, Protocol::Hbone, Protocol::DoubleHbone]);
    check_words("State", &[State::Complete, State::Broken, State::Refused]);
    check_words("Closer", &[Closer::Client, Closer::Server, Closer::Proxy]);
    check_words("Reachability", &[Reachability::Unused, Reachability::Up, Reachability::Down]);
    check_words("PodState", &[PodState::Up, PodState::Pending]);
    let states = [IdentityState::Initializing, IdentityState::Available, IdentityState::Unavailable];
    check_words("IdentityState", &states);
    let states = [TunnelState::Open, TunnelState::Bulk, TunnelState::Doubtful, TunnelState::Leaving];
    check_words("TunnelState", &states);
    let limited = [LimitOf::Process, LimitOf::Pod, LimitOf::Peer, LimitOf::Source, LimitOf::Tunnel];
    check_words("LimitOf", &[&limited[..], &[LimitOf::Connection]].concat());
    check_words("LimitUnit", &[LimitUnit::Count, LimitUnit::Bytes, LimitUnit::Milliseconds]);
    check_words("Answer", &[Answer::Pass, Answer::Note, Answer::Stop, Answer::Unknown]);
    check_words("Culprit", &tests::CULPRITS);
}

fn check_words(name: &str, all: &impl Serialize) {
    let (description, served) = (description(), serde_json::to_value(all).unwrap());
    assert_eq!(texts(&served), texts(&schemas(&description)[name]["enum"]), "{name}");
}

#[test]
fn the_description_leads_nowhere_else_and_leaves_nothing_unsaid() {
    let description = description();
    walk(&description, &description, "");
}

/// Fails where a reference leads nowhere, or an object of the schemas is open or has a key without a word on it.
fn walk(value: &Value, description: &Value, at: &str) {
    if let Some(to) = value["$ref"].as_str() {
        let found = description.pointer(to.trim_start_matches('#'));
        assert!(found.is_some(), "{at} leads to {to}, which is not there");
    }
    if value["type"] == "object"
        && let Some(properties) = value["properties"].as_object()
    {
        assert_eq!(value["additionalProperties"], false, "{at}");
        for (key, property) in properties {
            let said = property["description"].as_str().unwrap_or_default();
            assert!(said.ends_with('.'), "{at}.{key} is not described");
        }
    }
    match value {
        Value::Object(object) => {
            object.iter().for_each(|(key, value)| walk(value, description, &format!("{at}/{key}")));
        }
        Value::Array(items) => items.iter().for_each(|it| walk(it, description, at)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
