//! From which namespaces a listener may be used (`allowedRoutes.namespaces`).

use std::sync::Arc;

use crate::Labels;
use crate::reading::Reading;

/// From which namespaces a listener may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// From its own.
    Same,
    /// From all.
    All,
    /// From those whose labels meet all of these.
    Selected(Vec<Requirement>),
    /// From none.
    Nobody,
}

/// Something labels have to meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The key of the label.
    pub key: Arc<str>,
    /// What is wanted of its value.
    pub wanted: Expression,
}

/// What is wanted of a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// One of these values.
    In(Vec<Arc<str>>),
    /// None of these values; the label may be absent.
    NotIn(Vec<Arc<str>>),
    /// Any value.
    Exists,
    /// To be absent.
    DoesNotExist,
}

impl Allowed {
    /// Reads `allowedRoutes.namespaces`. What makes no sense allows nobody.
    pub(super) fn read(reading: &Reading<'_>) -> Self {
        match reading.field("from").text() {
            None | Some("Same") => Self::Same,
            Some("All") => Self::All,
            Some("None") => Self::Nobody,
            Some("Selector") => requirements(&reading.field("selector")).map_or(Self::Nobody, Self::Selected),
            Some(other) => {
                reading.field("from").note(format!("`{other}` is not known and allows nobody"));
                Self::Nobody
            }
        }
    }
}

impl Requirement {
    /// Tells whether labels meet it.
    #[must_use]
    pub fn is_met_by(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let among = |values: &[Arc<str>]| values.iter().any(|one| Some(&**one) == value);
        match &self.wanted {
            Expression::In(values) => among(values),
            Expression::NotIn(values) => !among(values),
            Expression::Exists => value.is_some(),
            Expression::DoesNotExist => value.is_none(),
        }
    }
}

/// One without any selects everything; one that is not there, or only partly understood, nothing.
fn requirements(reading: &Reading<'_>) -> Option<Vec<Requirement>> {
    if reading.is_absent() {
        reading.note("there is no selector, so that nobody is allowed");
        return None;
    }
    let labels = reading.field("matchLabels").all_labels()?;
    let of_labels = labels
        .iter()
        .map(|(key, value)| Requirement { key: key.clone(), wanted: Expression::In(vec![value.clone()]) });
    let of_expressions: Option<Vec<Requirement>> =
        reading.field("matchExpressions").items().map(|item| requirement(&item)).collect();
    Some(of_labels.chain(of_expressions?).collect())
}

fn requirement(reading: &Reading<'_>) -> Option<Requirement> {
    let values =
        || Some(reading.field("values").texts()).filter(|it| it.len() == reading.field("values").len());
    let wanted = match reading.field("operator").text() {
        Some("In") => Expression::In(values()?),
        Some("NotIn") => Expression::NotIn(values()?),
        Some("Exists") => Expression::Exists,
        Some("DoesNotExist") => Expression::DoesNotExist,
        Some(_) | None => {
            reading.field("operator").note("is none of In, NotIn, Exists, DoesNotExist; nobody is allowed");
            return None;
        }
    };
    let key = reading.field("key");
    if key.text().is_none() {
        key.note("there is no key; nobody is allowed");
    }
    Some(Requirement { key: key.text()?.into(), wanted })
}
