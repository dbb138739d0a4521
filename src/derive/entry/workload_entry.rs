//! A `WorkloadEntry` as it is written.

use culvert_core::workload::{Health, PortMap};
use serde_json::Value;

use crate::problem::Problem;
use crate::reading::{Notes, Reading};
use crate::{Labels, Meta};

use super::endpoint::Endpoint;

/// One `WorkloadEntry`: a machine that is no pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadEntry {
    /// What all objects have.
    pub meta: Meta,
    /// Where it is and what it serves; nothing when it is nowhere.
    pub endpoint: Option<Endpoint>,
    /// Its labels: those of the object, and those of the endpoint before them.
    pub labels: Labels,
    /// Whether its health checks say that it can take traffic; without any it can.
    pub health: Health,
    /// What makes no sense in it.
    pub problems: Vec<Problem>,
}

/// Where a port of a Kubernetes Service is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// At this port.
    Number(u16),
    /// At the port each endpoint has under this name.
    Name(&'a str),
}

impl WorkloadEntry {
    /// Reads one.
    #[must_use]
    pub fn read(meta: Meta, object: &Value) -> Self {
        let notes = Notes::default();
        let endpoint = Endpoint::read(&Reading::of(object, "spec", &notes));
        let own = endpoint.iter().flat_map(|endpoint| endpoint.labels.iter());
        let labels = meta.labels.iter().chain(own).map(|(key, value)| (key.clone(), value.clone())).collect();
        Self { labels, health: health(object), problems: notes.into_problems(), endpoint, meta }
    }

    /// Gives the ports it serves a Kubernetes Service at, of the Service's TCP ports by number, name and target. A port it does not
    /// know the name of is none of its.
    pub fn ports_of_service<'a>(&self, ports: impl Iterator<Item = (u16, &'a str, Target<'a>)>) -> PortMap {
        let own = |name: &str| self.endpoint.as_ref().and_then(|endpoint| endpoint.ports.get(name)).copied();
        let served = |(number, name, target)| match target {
            Target::Number(target) => Some((number, own(name).unwrap_or(target))),
            Target::Name(target) => Some((number, own(target)?)),
        };
        ports.filter_map(served).collect()
    }
}

fn health(object: &Value) -> Health {
    let notes = Notes::default();
    let status = Reading::of(object, "status", &notes);
    let says_no = |condition: Reading<'_>| {
        condition.field("type").text() == Some("Healthy") && condition.field("status").text() == Some("False")
    };
    if status.field("conditions").items().any(says_no) { Health::Unhealthy } else { Health::Healthy }
}
