//! Which objects a request is about: its namespace, its label selector and its field selector together.

mod fields;
mod labels;

use serde_json::Value;

pub(crate) use fields::FieldSelector;
pub(crate) use labels::LabelSelector;

/// Everything that narrows a list or a watch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selector {
    pub(crate) namespace: Option<String>,
    pub(crate) labels: LabelSelector,
    pub(crate) fields: FieldSelector,
}

impl Selector {
    pub(crate) fn matches(&self, object: &Value) -> bool {
        let here =
            self.namespace.as_ref().is_none_or(|namespace| object["metadata"]["namespace"] == **namespace);
        here && self.labels.matches(&object["metadata"]["labels"]) && self.fields.matches(object)
    }

    /// Whether it leaves out anything inside its namespace: then a server does not know how many objects a list still has.
    pub(crate) fn is_narrow(&self) -> bool {
        !self.labels.is_empty() || !self.fields.is_empty()
    }
}
