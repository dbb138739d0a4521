//! Random policies, pods and peers, of few values, so that hits and misses are both common; and ways to spoil a policy.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::Map;

use super::*;

const NAMES: [&str; 3] = ["here", "there", "else"];
const PRINCIPALS: [&str; 6] = [
    "cluster.local/ns/here/sa/web",
    "cluster.local/ns/there/sa/db",
    "cluster.local/ns/here*",
    "*/sa/web",
    "corp/*",
    "*",
];
const NAMESPACES: [&str; 5] = ["here", "there", "*re", "th*", "*"];
const ACCOUNTS: [&str; 4] = ["web", "db", "there/web", "here/db"];
const BLOCKS: [&str; 6] = ["10.0.0.1", "10.0.0.99/24", "10.0.1.0/24", "0.0.0.0/0", "fd00::/64", "fd00::1"];
const PORTS: [&str; 3] = ["80", "81", "443"];
/// What a value is spoilt with; some of it makes sense in places.
const JUNK: [&str; 24] = [
    "null",
    "{}",
    "[]",
    "\"\"",
    "\"*\"",
    "\"x\"",
    "80",
    "true",
    "\"80\"",
    "\"he*re\"",
    "\"10.0.0.1\"",
    "\"10.0.0.0/99\"",
    "\"spiffe://cluster.local/ns/here/sa/web\"",
    "\"DENY\"",
    "\"CUSTOM\"",
    "\"AUDIT\"",
    "[\"*\"]",
    "[\"80\"]",
    "[\"here\", \"\"]",
    "[null]",
    "[{}]",
    "{\"matchLabels\": {\"app\": \"web\"}}",
    "{\"matchExpressions\": []}",
    "[{\"kind\": \"Service\", \"name\": \"web\"}]",
];
const FIELDS: [&str; 20] = [
    "selector",
    "action",
    "rules",
    "targetRefs",
    "from",
    "to",
    "when",
    "source",
    "operation",
    "key",
    "values",
    "notValues",
    "ports",
    "notPorts",
    "methods",
    "principals",
    "notNamespaces",
    "ipBlocks",
    "serviceAccounts",
    "unknown",
];

pub(super) struct Dice(SmallRng);

impl Dice {
    pub(super) fn seeded(seed: u64) -> Self {
        Self(SmallRng::seed_from_u64(seed))
    }

    /// Makes a question about policies that are written well.
    pub(super) fn case(&mut self) -> Case {
        let objects = (0..1 + self.below(3)).map(|number| self.object(number)).collect();
        let labels: &[(&str, &str)] =
            self.one(&[&[("app", "web")][..], &[("app", "db"), ("tier", "1")], &[]]);
        let pod = pod(self.one(&NAMES), labels);
        let who = self.one(&["-", "-", "here/web", "here/db", "there/web", "there/db", "corp/here/web"]);
        let from = self.one(&["10.0.0.1", "10.0.0.2", "10.0.1.1", "fd00::1"]);
        let to = self.one(&["10.0.0.1:80", "10.0.0.2:81", "10.0.1.1:443", "[fd00::1]:80"]);
        Case { objects, pod, peer: peer(&format!("{who} from={from} to={to}")) }
    }

    /// Changes something in a policy, or two things.
    pub(super) fn spoil(&mut self, case: &mut Case) {
        let number = self.below(case.objects.len());
        let object = &mut case.objects[number];
        if self.below(40) == 0 {
            *object = annotated(object.clone(), "maybe");
        }
        for _ in 0..1 + self.below(2) {
            self.spoil_within(&mut object["spec"]);
        }
    }

    /// Makes a value of any kind.
    pub(super) fn junk(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 1 } else { 4 }) {
            0 => parsed(self.one(&JUNK)),
            1 => (0..self.below(3)).map(|_| self.junk(depth - 1)).collect(),
            _ => {
                let names = ["metadata", "spec", "status", "name", "namespace"];
                let mut name = || if self.below(2) == 0 { self.one(&names) } else { self.one(&FIELDS) };
                let names: Vec<&str> = (0..3).map(|_| name()).collect();
                names
                    .into_iter()
                    .map(|name| (name.to_owned(), self.junk(depth - 1)))
                    .collect::<Map<_, _>>()
                    .into()
            }
        }
    }

    /// Goes down to some place.
    fn spoil_within(&mut self, at: &mut Value) {
        let inside = at.as_array().map_or(0, Vec::len) + at.as_object().map_or(0, Map::len);
        if inside == 0 || self.below(5) == 0 {
            return self.spoil_here(at);
        }
        let index = self.below(inside);
        if let Some(list) = at.as_array_mut() {
            self.spoil_within(&mut list[index]);
        } else if let Some(fields) = at.as_object_mut() {
            self.spoil_within(fields.iter_mut().nth(index).unwrap().1);
        }
    }

    fn spoil_here(&mut self, at: &mut Value) {
        let junk = parsed(self.one(&JUNK));
        let (into_object, into_list) = (self.below(4) > 0, self.below(2) == 0);
        if let Some(fields) = at.as_object_mut().filter(|_| into_object) {
            fields.insert(self.one(&FIELDS).to_owned(), junk);
        } else if let Some(list) = at.as_array_mut().filter(|_| into_list) {
            list.push(junk);
        } else {
            *at = junk;
        }
    }

    fn object(&mut self, number: usize) -> Value {
        let mut spec = json!({});
        if let Some(action) = self.one(&[None, Some("ALLOW"), Some("DENY"), Some("DENY")]) {
            spec["action"] = action.into();
        }
        match self.below(5) {
            0 => spec["selector"] = json!({}),
            1 | 2 => spec["selector"] = json!({ "matchLabels": { "app": self.one(&["web", "db"]) } }),
            _ => {}
        }
        let fewest = usize::from(spec["action"] == "DENY");
        spec["rules"] = (0..self.below(3).max(fewest)).map(|_| self.rule()).collect();
        let namespace = self.one(&["here", "there", "else", "root"]);
        let object = authorization(&format!("{namespace}/policy-{number}"), &spec);
        match self.below(10) {
            0 => annotated(object, "true"),
            1 => annotated(object, "false"),
            _ => object,
        }
    }

    fn rule(&mut self) -> Value {
        let mut rule = json!({});
        if self.below(2) == 0 {
            rule["from"] = (0..1 + self.below(2)).map(|_| json!({ "source": self.source() })).collect();
        }
        if self.below(3) == 0 {
            let operation = |dice: &mut Self| dice.some(&[("ports", &PORTS[..]), ("notPorts", &PORTS[..])]);
            rule["to"] = (0..1 + self.below(2)).map(|_| json!({ "operation": operation(self) })).collect();
        }
        if self.below(3) == 0 {
            rule["when"] = (0..1 + self.below(2)).map(|_| self.condition()).collect();
        }
        rule
    }

    fn source(&mut self) -> Value {
        self.some(&[
            ("principals", &PRINCIPALS[..]),
            ("notPrincipals", &PRINCIPALS[..]),
            ("namespaces", &NAMESPACES[..]),
            ("notNamespaces", &NAMESPACES[..]),
            ("serviceAccounts", &ACCOUNTS[..]),
            ("notServiceAccounts", &ACCOUNTS[..]),
            ("ipBlocks", &BLOCKS[..]),
            ("notIpBlocks", &BLOCKS[..]),
        ])
    }

    fn condition(&mut self) -> Value {
        let (key, values) = self.one(&[
            ("source.ip", &BLOCKS[..]),
            ("source.namespace", &NAMESPACES[..]),
            ("source.principal", &PRINCIPALS[..]),
            ("destination.ip", &BLOCKS[..]),
            ("destination.port", &PORTS[..]),
        ]);
        let mut condition = self.some(&[("values", values), ("notValues", values)]);
        condition["key"] = key.into();
        condition
    }

    /// Makes an object of one or two of these fields, each with one or two of its values.
    fn some(&mut self, fields: &[(&str, &[&str])]) -> Value {
        let mut object = Map::new();
        for _ in 0..1 + self.below(2) {
            let (name, values) = self.one(fields);
            let values: Value = (0..1 + self.below(2)).map(|_| Value::from(self.one(values))).collect();
            object.insert(name.to_owned(), values);
        }
        object.into()
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0.random_range(0..limit)
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of.choose(&mut self.0).unwrap().clone()
    }
}
