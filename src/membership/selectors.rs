//! Which labels put a pod into the mesh: a list of selectors in YAML, any of which is enough.
//!
//! Kubernetes' own rules hold: a selector without requirements matches everything, and `NotIn` matches what has no such label.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_saphyr::MessageFormatter as _;

use crate::{Labels, MODE};

/// As many as a list may have: which of them select a pod is kept for each pod.
const MOST: usize = 64;

/// Any of these is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selectors(Vec<Selector>);

/// Some selectors of a list, by their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Which(u64);

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
pub enum Error {
    /// It is not what a list looks like.
    #[error("line {line}: {message}")]
    Syntax {
        /// Where, from one on.
        line: u64,
        /// What is wrong there.
        message: String,
    },
    /// A requirement that nothing could meet.
    #[error("the requirement on label `{key}`: {operator} needs values; name at least one")]
    NoValues {
        /// The label.
        key: String,
        /// What is required of it.
        operator: &'static str,
    },
    /// A requirement with more than it takes.
    #[error("the requirement on label `{key}`: {operator} takes no values; leave them out")]
    Values {
        /// The label.
        key: String,
        /// What is required of it.
        operator: &'static str,
    },
    /// There are too many.
    #[error(
        "there are {0} selectors, and at most {MOST} are looked at; say `operator: In` with several values instead of a selector for each"
    )]
    TooMany(usize),
}

impl Selectors {
    /// What holds when nothing else is said: a label on the pod, or one on its namespace that the pod does not take back.
    pub(crate) fn usual() -> Self {
        let values = |text: &str| BTreeSet::from([text.to_owned()]);
        let mode = |condition| Requirement { key: MODE.to_owned(), condition };
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
        if raw.len() > MOST {
            return Err(Error::TooMany(raw.len()));
        }
        let selectors = raw.into_iter().map(|raw| {
            Ok(Selector {
                pod: requirements(raw.pod_selector)?,
                namespace: requirements(raw.namespace_selector)?,
            })
        });
        selectors.collect::<Result<_, Error>>().map(Self)
    }

    /// Those that a pod with these labels meets.
    pub(crate) fn of_pod(&self, labels: &impl Labels) -> Which {
        self.met(|selector| &selector.pod, labels)
    }

    /// Those that a namespace with these labels meets.
    pub(crate) fn of_namespace(&self, labels: &impl Labels) -> Which {
        self.met(|selector| &selector.namespace, labels)
    }

    fn met(&self, part: impl Fn(&Selector) -> &[Requirement], labels: &impl Labels) -> Which {
        let met = self.0.iter().enumerate().filter(|(_, it)| part(it).iter().all(|it| it.holds(labels)));
        Which(met.fold(0_u64, |all, (place, _)| all | (1 << place)))
    }
}

impl Which {
    /// Tells whether one of them is one of the others.
    pub(crate) fn meets(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }
}

impl Requirement {
    fn holds(&self, labels: &impl Labels) -> bool {
        let value = labels.value(&self.key);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_as_kubernetes_has_them() {
        let check = |yaml: &str, pod: &[(&str, &str)], namespace: &[(&str, &str)], expected: bool| {
            let labels = |all: &[(&str, &str)]| -> BTreeMap<String, String> {
                all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
            };
            let selectors = Selectors::parse(yaml).unwrap();
            let found = selectors.of_pod(&labels(pod)).meets(selectors.of_namespace(&labels(namespace)));
            assert_eq!(found, expected, "{yaml}: {pod:?} in {namespace:?}");
        };
        check("[]", &[("a", "b")], &[("a", "b")], false);
        check("- {}", &[], &[], true);
        check("- podSelector: {}", &[], &[], true);
        check("- podSelector: {matchLabels: {a: b}}", &[("a", "b"), ("c", "d")], &[], true);
        check("- podSelector: {matchLabels: {a: b, c: d}}", &[("a", "b")], &[], false);
        let both = "- podSelector: {matchLabels: {a: b}}\n  namespaceSelector: {matchLabels: {c: d}}";
        check(both, &[("a", "b")], &[("c", "d")], true);
        check(both, &[("a", "b")], &[], false);
        check(both, &[], &[("c", "d")], false);
        let any = "- podSelector: {matchLabels: {a: b}}\n- namespaceSelector: {matchLabels: {c: d}}";
        check(any, &[("a", "b")], &[], true);
        check(any, &[], &[("c", "d")], true);
        check(any, &[("c", "d")], &[("a", "b")], false);
        let halves = format!(
            "{both}\n- podSelector: {{matchLabels: {{e: f}}}}\n  namespaceSelector: {{matchLabels: {{g: h}}}}"
        );
        check(&halves, &[("a", "b")], &[("g", "h")], false);
        check(&halves, &[("e", "f")], &[("g", "h")], true);
        let expression = |text: &str| format!("- podSelector: {{matchExpressions: [{{key: a, {text}}}]}}");
        check(&expression("operator: In, values: [x, y]"), &[("a", "y")], &[], true);
        check(&expression("operator: In, values: [x, y]"), &[("a", "z")], &[], false);
        check(&expression("operator: In, values: [x, y]"), &[], &[], false);
        check(&expression("operator: NotIn, values: [x]"), &[("a", "y")], &[], true);
        check(&expression("operator: NotIn, values: [x]"), &[("a", "x")], &[], false);
        check(&expression("operator: NotIn, values: [x]"), &[], &[], true);
        check(&expression("operator: Exists"), &[("a", "")], &[], true);
        check(&expression("operator: Exists"), &[], &[], false);
        check(&expression("operator: DoesNotExist"), &[], &[], true);
        check(&expression("operator: DoesNotExist"), &[("a", "")], &[], false);
    }

    #[test]
    fn the_usual_selectors_are_those_of_istios_chart() {
        let chart = "
- podSelector:
    matchLabels:
      istio.io/dataplane-mode: ambient
- podSelector:
    matchExpressions:
    - key: istio.io/dataplane-mode
      operator: NotIn
      values: [none]
  namespaceSelector:
    matchLabels:
      istio.io/dataplane-mode: ambient
";
        assert_eq!(Selectors::parse(chart).unwrap(), Selectors::usual());
    }

    #[test]
    fn what_is_wrong_in_a_selector_is_named() {
        let check = |yaml: &str, expected: &str| {
            let message = Selectors::parse(yaml).unwrap_err().to_string();
            assert!(message.contains(expected), "{yaml}: {message}");
        };
        check("- podSelector: {matchExpressions: [{key: a, operator: In}]}", "label `a`: In needs values");
        check(
            "- podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}",
            "Exists takes no values",
        );
        check("- podSelector: {matchExpressions: [{key: a, operator: Is, values: [b]}]}", "Is");
        check("- podselector: {}", "podselector");
        check("- podSelector: {}\n- podSelector: [", "line");
        check("podSelector: {}", "line 1");
    }

    #[test]
    fn there_is_a_bound_and_up_to_it_each_selector_counts() {
        let list = |count: usize| -> String {
            (0..count).map(|number| format!("- podSelector: {{matchLabels: {{n: '{number}'}}}}\n")).collect()
        };
        let labels = |number: usize| BTreeMap::from([("n".to_owned(), number.to_string())]);
        let most = Selectors::parse(&list(MOST)).unwrap();
        let selects = |number| most.of_pod(&labels(number)).meets(most.of_namespace(&BTreeMap::new()));
        assert!((0..MOST).all(selects) && !selects(MOST));
        let message = Selectors::parse(&list(MOST + 1)).unwrap_err().to_string();
        assert!(message.contains("65 selectors") && message.contains("at most 64"), "{message}");
    }

    #[test]
    fn nothing_is_too_deep_for_a_small_stack() {
        let refuse = || {
            for depth in [10, 50, 63, 100, 10_000] {
                for deep in ["[".repeat(depth), "{a: ".repeat(depth), "- ".repeat(depth)] {
                    assert!(matches!(Selectors::parse(&deep), Err(Error::Syntax { .. })));
                }
            }
        };
        std::thread::Builder::new().stack_size(2 << 20).spawn(refuse).unwrap().join().unwrap();
    }
}
