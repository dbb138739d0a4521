//! Two nodes, the first of which logs as text and the second as JSON.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use culvert_lab::{LogPosition, Program};
use serde_json::Value;

use crate::harness::cluster::Cluster;
use crate::harness::talk::SOON;

/// The cluster, and the programs whose logs are looked at.
pub(super) struct Rig {
    pub(super) cluster: Cluster,
    pub(super) one: Program,
    pub(super) two: Program,
}

/// A line about a connection.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) level: String,
    /// Texts, and numbers as such.
    pub(super) fields: BTreeMap<String, Value>,
    /// Their names, in order.
    names: Vec<String>,
}

impl Rig {
    pub(super) fn start(name: &str, settings: &[(&str, &str)]) -> Self {
        let cluster = Cluster::without_mesh(name).unwrap();
        let lab = &cluster.lab;
        lab.enrol_all(&[&cluster.client, &cluster.neighbour, &cluster.server]).unwrap();
        lab.start_control().unwrap();
        let start = |node, format| {
            lab.start_agent(node).unwrap();
            let launch = lab.node_launch(node).unwrap().env("LOG_FORMAT", format);
            let launch = settings.iter().fold(launch, |launch, (name, value)| launch.env(name, value));
            lab.start_node_as(node, launch).unwrap()
        };
        let (one, two) = (start(&cluster.one, "plain"), start(&cluster.two, "json"));
        let captured = || {
            [&cluster.client, &cluster.neighbour, &cluster.server]
                .iter()
                .all(|pod| pod.is_captured().unwrap())
        };
        lab.wait_until(SOON, "the pods are captured", captured).unwrap();
        Self { cluster, one, two }
    }

    /// What the client's node says of a connection from this address.
    pub(super) fn outbound(&self, message: &str, client: SocketAddr) -> Line {
        self.outbound_since(LogPosition::default(), message, client)
    }

    /// The same, of what was said after a position.
    pub(super) fn outbound_since(&self, position: LogPosition, message: &str, client: SocketAddr) -> Line {
        let found = format!("\taccess\t{message}\tsrc.addr={client} ");
        Line::of_text(&self.one.wait_for_log_since(position, &found, SOON).unwrap())
    }

    /// What the server's node says of a connection with this trace or client.
    pub(super) fn inbound(&self, message: &str, of: &str) -> Line {
        let (said, of) = (format!("\"scope\":\"access\",\"message\":\"{message}\""), format!("\"{of}\""));
        let is_it = |line: &&str| line.contains(&said) && line.contains(&of);
        let find = || self.two.log_text().lines().find(is_it).map(Line::of_json);
        culvert_lab::wait_for(SOON, &format!("node two says `{message}` of {of}"), find).unwrap()
    }
}

impl Line {
    /// Reads a line of text: the fields are behind the fourth tab.
    pub(super) fn of_text(line: &str) -> Self {
        let columns: Vec<&str> = line.split('\t').collect();
        let [_, level, "access", _, mut rest] = columns[..] else {
            panic!("not a line about a connection: {line}")
        };
        let (mut names, mut fields) = (Vec::new(), BTreeMap::new());
        while let Some((name, value)) = rest.split_once('=') {
            let end = match value.strip_prefix('"') {
                // No text in these tests has a quotation mark in it.
                Some(text) => text.find('"').unwrap() + 2,
                None => value.find(' ').unwrap_or(value.len()),
            };
            let text = value[..end].trim_matches('"');
            let number = text.parse::<u64>().ok().filter(|_| !value.starts_with('"') && text.len() < 16);
            fields.insert(name.to_owned(), number.map_or_else(|| text.into(), Value::from));
            names.push(name.to_owned());
            rest = value[end..].trim_start();
        }
        assert_eq!(rest, "", "{line}");
        Self { level: level.to_owned(), fields, names }
    }

    /// Reads a line of JSON.
    fn of_json(line: &str) -> Self {
        let mut fields: BTreeMap<String, Value> =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let level = fields.remove("level").unwrap().as_str().unwrap().to_owned();
        ["time", "scope", "message"]
            .iter()
            .for_each(|name| assert!(fields.remove(*name).is_some(), "{line}"));
        let mut names: Vec<_> = fields.keys().cloned().collect();
        names.sort_by_key(|name| line.find(&format!("\"{name}\":")));
        Self { level, fields, names }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    pub(super) fn sorted_names(&self) -> Vec<String> {
        sorted(self.names.iter().map(String::as_str))
    }

    #[track_caller]
    pub(super) fn text(&self, name: &str) -> String {
        let value = self.fields.get(name).and_then(Value::as_str);
        value.unwrap_or_else(|| panic!("no text `{name}`: {self:?}")).to_owned()
    }

    /// How long the connection has taken.
    #[track_caller]
    pub(super) fn milliseconds(&self) -> u64 {
        self.text("duration").trim_end_matches("ms").parse().unwrap()
    }

    /// Fails unless the line has this level, and these values among its fields.
    #[track_caller]
    pub(super) fn assert(&self, level: &str, expected: &Value) {
        assert_eq!(self.level, level, "{self:?}");
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(self.fields.get(name), Some(value), "{name}: {self:?}");
        }
    }
}

pub(super) fn sorted<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<String> {
    let mut names: Vec<_> = names.into_iter().map(str::to_owned).collect();
    names.sort();
    names
}
