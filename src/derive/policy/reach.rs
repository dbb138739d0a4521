//! Which workloads an object is about: what it selects, and how far that goes.

use culvert_core::policy::Scope;

use crate::{Labels, Selector};

use super::place::Place;
use super::problem::{Clipped, Problems};

/// Which workloads an object governs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach<'a> {
    /// All.
    Mesh,
    /// All of a namespace.
    Namespace(&'a str),
    /// Those with certain labels, of one namespace or of all. They have to be told: nodes do not select.
    Selected {
        /// Where they are; `None` for everywhere.
        namespace: Option<&'a str>,
        /// What labels they have; never empty.
        selector: &'a Selector,
    },
}

/// What `spec.selector` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selection {
    /// Nothing: whatever is in the namespace.
    All,
    /// What has these labels.
    Labelled(Selector),
    /// Something nobody here understands: anything may be meant.
    Unreadable,
}

/// How long the value of a label may be, and the last part of its key.
const LABEL: usize = 63;

impl Reach<'_> {
    /// Tells whether a workload is governed.
    #[must_use]
    pub fn governs(&self, namespace: &str, labels: &Labels) -> bool {
        match *self {
            Self::Mesh => true,
            Self::Namespace(here) => here == namespace,
            Self::Selected { namespace: here, selector } => {
                here.is_none_or(|here| here == namespace) && selector.matches(labels)
            }
        }
    }

    /// Gives the scope of a policy that reaches as far.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self {
            Self::Mesh => Scope::Global,
            Self::Namespace(_) => Scope::Namespace,
            Self::Selected { .. } => Scope::WorkloadSelector,
        }
    }
}

impl Selection {
    /// Reads `spec.selector`, if there is one. One without labels selects everything, as if it were not there.
    pub(super) fn read(spec: &Place<'_>, problems: &mut Problems) -> Self {
        if !spec.is_object() {
            // That it is none is told by who reads the rest of it.
            return Self::Unreadable;
        }
        let Some(selector) = spec.field("selector") else { return Self::All };
        // Apart, as only what is wrong in here makes it unreadable.
        let mut found = Problems::default();
        let mut labels = Vec::new();
        for field in selector.fields(&mut found) {
            match field.name() {
                "matchLabels" => labels = pairs(&field, &mut found),
                _ => field.is_unknown(&mut found),
            }
        }
        if !found.is_empty() {
            problems.take(found);
            return Self::Unreadable;
        }
        match labels.is_empty() {
            true => Self::All,
            false => Self::Labelled(Selector::new(labels.into_iter().collect())),
        }
    }
}

/// Reads labels. One that nothing can have would make the selector one of nothing.
fn pairs(place: &Place<'_>, problems: &mut Problems) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for label in place.entries(problems) {
        let key = label.name();
        let Some(value) = label.text(problems) else { continue };
        if !is_key(key) {
            problems.invalid(label.path(), "nothing can have a label of this name; correct it");
        } else if !(value.is_empty() || is_name(value)) {
            let text = format!(
                "nothing can be labelled `{}`; values are written in full, without `*`",
                Clipped(value)
            );
            problems.invalid(label.path(), text);
        } else {
            pairs.push((key.to_owned(), value.to_owned()));
        }
    }
    pairs
}

/// Tells whether a label can have this key: a name, or a domain and a name.
fn is_key(key: &str) -> bool {
    match key.split_once('/') {
        None => is_name(key),
        Some((domain, name)) => {
            let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
            !domain.is_empty() && domain.chars().all(fine) && is_name(name)
        }
    }
}

fn is_name(text: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let firm = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= LABEL
        && text.chars().all(fine)
        && firm(text.chars().next())
        && firm(text.chars().next_back())
}
