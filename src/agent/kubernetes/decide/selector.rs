//! Which labels put a pod into the mesh: a list of selectors in YAML, any of which is enough.
//!
//! Kubernetes' own rules hold: a selector without requirements matches everything, and `NotIn` matches what has no such label.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_saphyr::MessageFormatter as _;

type Labels = BTreeMap<String, String>;

/// Any of these is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selectors(Vec<Selector>);

/// Both must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Selector {
    pod: Vec<Requirement>,
    namespace: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    condition: Condition,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Exists,
    DoesNotExist,
}

/// A list that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("line {line}: {message}")]
    Syntax { line: u64, message: String },
    #[error("the requirement on label `{key}`: {operator} needs values; name at least one")]
    NoValues { key: String, operator: &'static str },
    #[error("the requirement on label `{key}`: {operator} takes no values; leave them out")]
    Values { key: String, operator: &'static str },
}

impl Selectors {
    /// What holds when nothing else is said: a label on the pod, or one on its namespace that the pod does not take back.
    pub(crate) fn usual() -> Self {
        let values = |text: &str| BTreeSet::from([text.to_owned()]);
        let mode = |condition| Requirement { key: super::MODE.to_owned(), condition };
        let ambient = || vec![mode(Condition::In(values("ambient")))];
        let not_none = vec![mode(Condition::NotIn(values("none")))];
        Self(vec![
            Selector { pod: ambient(), namespace: Vec::new() },
            Selector { pod: not_none, namespace: ambient() },
        ])
    }

    /// Reads a list as YAML.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let options = serde_saphyr::options! { with_snippet: false };
        let raw: Vec<RawSelector> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let line = error.location().map_or(1, |location| location.line().max(1));
            let message = serde_saphyr::DefaultMessageFormatter.format_message(&error).into_owned();
            Error::Syntax { line, message }
        })?;
        let selectors = raw.into_iter().map(|raw| {
            Ok(Selector {
                pod: requirements(raw.pod_selector)?,
                namespace: requirements(raw.namespace_selector)?,
            })
        });
        selectors.collect::<Result<_, Error>>().map(Self)
    }

    /// The labels of pods that are looked at.
    pub(super) fn pod_labels(&self) -> BTreeSet<String> {
        keys(self.0.iter().flat_map(|selector| &selector.pod))
    }

    /// The labels of namespaces that are looked at.
    pub(super) fn namespace_labels(&self) -> BTreeSet<String> {
        keys(self.0.iter().flat_map(|selector| &selector.namespace))
    }

    pub(super) fn matches(&self, pod: &Labels, namespace: &Labels) -> bool {
        let all = |requirements: &[Requirement], labels| requirements.iter().all(|r| r.holds(labels));
        self.0.iter().any(|selector| all(&selector.pod, pod) && all(&selector.namespace, namespace))
    }
}

fn keys<'a>(requirements: impl Iterator<Item = &'a Requirement>) -> BTreeSet<String> {
    requirements.map(|requirement| requirement.key.clone()).collect()
}

impl Requirement {
    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match &self.condition {
            Condition::In(values) => value.is_some_and(|value| values.contains(value)),
            Condition::NotIn(values) => !value.is_some_and(|value| values.contains(value)),
            Condition::Exists => value.is_some(),
            Condition::DoesNotExist => value.is_none(),
        }
    }
}

// === the YAML ===

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawSelector {
    #[serde(default)]
    pod_selector: RawLabelSelector,
    #[serde(default)]
    namespace_selector: RawLabelSelector,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct RawLabelSelector {
    match_labels: BTreeMap<String, String>,
    match_expressions: Vec<RawExpression>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawExpression {
    key: String,
    operator: Operator,
    #[serde(default)]
    values: BTreeSet<String>,
}

#[derive(Clone, Copy, Deserialize)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

fn requirements(raw: RawLabelSelector) -> Result<Vec<Requirement>, Error> {
    let labels = raw
        .match_labels
        .into_iter()
        .map(|(key, value)| Ok(Requirement { key, condition: Condition::In([value].into()) }));
    labels.chain(raw.match_expressions.into_iter().map(requirement)).collect()
}

fn requirement(raw: RawExpression) -> Result<Requirement, Error> {
    let RawExpression { key, operator, values } = raw;
    let (name, takes_values) = match operator {
        Operator::In => ("In", true),
        Operator::NotIn => ("NotIn", true),
        Operator::Exists => ("Exists", false),
        Operator::DoesNotExist => ("DoesNotExist", false),
    };
    match (takes_values, values.is_empty()) {
        (true, true) => return Err(Error::NoValues { key, operator: name }),
        (false, false) => return Err(Error::Values { key, operator: name }),
        (true, false) | (false, true) => {}
    }
    let condition = match operator {
        Operator::In => Condition::In(values),
        Operator::NotIn => Condition::NotIn(values),
        Operator::Exists => Condition::Exists,
        Operator::DoesNotExist => Condition::DoesNotExist,
    };
    Ok(Requirement { key, condition })
}
