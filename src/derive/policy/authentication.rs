//! `PeerAuthentication`: whose plaintext is refused.
//!
//! Goes in: an object as the API server writes it. Comes out, with the others that are about the same workloads (see [`Levels`]): on
//! which ports plaintext is accepted, and the policies that follow. One that is not understood makes all that it governs strict.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::{Condition, Labels, Settings};

use super::authorization::port;
use super::head;
use super::place::Place;
use super::problem::{Clipped, Problem, Problems};
use super::reach::{Reach, Selection};
use super::status::{self, Governed, Standing};

pub use levels::{Levels, strict};
pub use strictness::Strictness;

mod levels;
mod strictness;

/// A `PeerAuthentication`, as far as it can be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAuthentication {
    namespace: Arc<str>,
    name: Arc<str>,
    created: Option<Arc<str>>,
    selection: Selection,
    mode: Mode,
    ports: BTreeMap<u16, Mode>,
    problems: Problems,
}

/// What is said of plaintext.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// What is said above.
    Unset,
    /// It is accepted. `DISABLE` says the same of those who listen.
    Open,
    /// It is refused.
    Strict,
}

/// How much is governed: the more particular decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The mesh.
    Mesh,
    /// A namespace.
    Namespace,
    /// What is selected in a namespace.
    Workload,
}

impl PeerAuthentication {
    /// Reads an object. Whatever is wrong with it is one of its problems.
    #[must_use]
    pub fn read(object: &Value) -> Self {
        let mut problems = Problems::default();
        let meta = head::meta(object, &mut problems);
        let mut read = Self {
            namespace: meta.namespace,
            name: meta.name,
            created: meta.creation_timestamp,
            selection: Selection::All,
            mode: Mode::Unset,
            ports: BTreeMap::new(),
            problems,
        };
        if let Some(spec) = Place::top(object).field("spec") {
            read.read_spec(&spec);
        }
        read
    }

    /// Gives what counts in the place of an object that cannot be read at all. Whatever it governed it would have decided about: it
    /// may have selected any workload, and be as old as any.
    #[must_use]
    pub fn unreadable(namespace: &str, name: &str, why: &str) -> Self {
        let mut read = Self::read(&json!({"metadata": {"namespace": namespace, "name": name}}));
        read.selection = Selection::Unreadable;
        read.problems.invalid("the object", format!("cannot be read: {}", Clipped(why)));
        read
    }

    /// The namespace it is in.
    #[must_use]
    pub fn namespace(&self) -> &Arc<str> {
        &self.namespace
    }

    /// Why it cannot be enforced as it is written; nothing if it can.
    #[must_use]
    pub fn problems(&self, settings: &Settings) -> Vec<Problem> {
        self.faults(settings).as_slice().to_vec()
    }

    /// Gives how much it governs. What selects in a way nobody understands governs all workloads of its namespace, as if each were
    /// selected; in the root namespace, which has no use for a selector, the mesh.
    #[must_use]
    pub fn level(&self, settings: &Settings) -> Level {
        match (&self.selection, self.governs_mesh(settings)) {
            (Selection::Labelled(_), _) | (Selection::Unreadable, false) => Level::Workload,
            (Selection::All | Selection::Unreadable, true) => Level::Mesh,
            (Selection::All, false) => Level::Namespace,
        }
    }

    /// Gives which workloads it governs.
    #[must_use]
    pub fn reach<'a>(&'a self, settings: &Settings) -> Reach<'a> {
        match &self.selection {
            Selection::Labelled(selector) => Reach::Selected { namespace: Some(&self.namespace), selector },
            Selection::All | Selection::Unreadable if self.governs_mesh(settings) => Reach::Mesh,
            Selection::All | Selection::Unreadable => Reach::Namespace(&self.namespace),
        }
    }

    /// Tells whether it governs a workload.
    #[must_use]
    pub fn governs(&self, settings: &Settings, namespace: &str, labels: &Labels) -> bool {
        self.reach(settings).governs(namespace, labels)
    }

    /// Gives the one of several of one level that decides: the oldest, and of those the first by name.
    #[must_use]
    pub fn oldest<'a>(several: impl IntoIterator<Item = &'a Self>) -> Option<&'a Self> {
        several.into_iter().min_by_key(|it| (&it.created, &it.namespace, &it.name))
    }

    /// Gives the condition `ZtunnelAccepted`.
    #[must_use]
    pub fn accepted(&self, settings: &Settings) -> Condition {
        let faults = self.faults(settings);
        match faults.is_empty() {
            true => status::accepted(Vec::new()),
            false => status::refused(&faults, "plaintext is refused where it governs"),
        }
    }

    /// Gives the condition `culvert.dev/Enforced`, with how many workloads it governs.
    #[must_use]
    pub fn enforced(&self, settings: &Settings, governed: Governed) -> Condition {
        let standing = match self.faults(settings).is_empty() {
            true => Standing::AsWritten,
            false => Standing::Closed("plaintext is refused at"),
        };
        status::enforced(standing, governed)
    }

    /// Gives the condition `culvert.dev/Enforced` of one that an older one of its level leaves nothing to say.
    #[must_use]
    pub fn overruled(by: &Self) -> Condition {
        status::overruled(&format!("PeerAuthentication {}/{}", by.namespace, by.name))
    }

    /// What is said of plaintext in general.
    fn mode(&self, settings: &Settings) -> Mode {
        if self.is_faulty(settings) { Mode::Strict } else { self.mode }
    }

    /// What is said of ports of their own.
    fn ports(&self, settings: &Settings) -> impl Iterator<Item = (u16, Mode)> {
        let ports = (!self.is_faulty(settings)).then_some(&self.ports);
        ports.into_iter().flatten().map(|(&port, &mode)| (port, mode))
    }

    fn is_faulty(&self, settings: &Settings) -> bool {
        !self.problems.is_empty() || self.is_misplaced(settings)
    }

    fn faults(&self, settings: &Settings) -> Problems {
        let mut faults = self.problems.clone();
        if self.is_misplaced(settings) {
            faults.invalid(
                "spec.selector",
                "says nothing in the root namespace, where the whole mesh is meant; \
                 move it to the namespace of the workloads",
            );
        }
        faults
    }

    fn is_misplaced(&self, settings: &Settings) -> bool {
        self.governs_mesh(settings) && matches!(self.selection, Selection::Labelled(_))
    }

    fn governs_mesh(&self, settings: &Settings) -> bool {
        // Nobody knows where something without a namespace is.
        self.namespace.is_empty() || self.namespace == settings.root_namespace
    }

    fn read_spec(&mut self, spec: &Place<'_>) {
        let problems = &mut self.problems;
        self.selection = Selection::read(spec, problems);
        for field in spec.fields(problems) {
            match field.name() {
                "selector" => {}
                "mtls" => self.mode = mode(&field, problems),
                "portLevelMtls" if self.selection == Selection::All => {
                    problems.invalid(
                        field.path(),
                        "ports are those of workloads, and none are selected; add a selector",
                    );
                }
                "portLevelMtls" => self.ports = ports(&field, problems),
                _ => field.is_unknown(problems),
            }
        }
    }
}

/// Reads `{mode: ...}`.
fn mode(place: &Place<'_>, problems: &mut Problems) -> Mode {
    let mut found = Mode::Unset;
    for field in place.fields(problems) {
        if field.name() != "mode" {
            field.is_unknown(problems);
            continue;
        }
        match field.text(problems) {
            Some("UNSET") | None => {}
            Some("DISABLE" | "PERMISSIVE") => found = Mode::Open,
            Some("STRICT") => found = Mode::Strict,
            Some(other) => {
                let text =
                    format!("`{}` is no mode; write UNSET, DISABLE, PERMISSIVE or STRICT", Clipped(other));
                problems.invalid(field.path(), text);
            }
        }
    }
    found
}

/// Reads the modes of ports.
fn ports(place: &Place<'_>, problems: &mut Problems) -> BTreeMap<u16, Mode> {
    let mut ports = BTreeMap::new();
    for entry in place.entries(problems) {
        match port(entry.name()) {
            Ok(port) => {
                ports.insert(port, mode(&entry, problems));
            }
            Err(wrong) => problems.invalid(entry.path(), wrong),
        }
    }
    ports
}

#[cfg(test)]
mod tests;
