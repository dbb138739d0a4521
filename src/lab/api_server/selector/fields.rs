//! Field selectors: `spec.nodeName=n1,status.phase!=Running`. Only fields the resource can be selected by are taken.
//!
//! A field an object does not have is the empty text, as in a real server: `spec.nodeName=` selects pods without a node.

use serde_json::Value;

use crate::api_server::kinds::Kind;
use crate::api_server::refusal::Refusal;

/// All of its terms must hold; none at all match everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldSelector(Vec<Term>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    /// As a JSON pointer.
    field: String,
    value: String,
    equal: bool,
}

impl FieldSelector {
    pub(crate) fn parse(text: &str, kind: &Kind) -> Result<Self, Refusal> {
        let mut terms = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (field, value, equal) = split(part).ok_or_else(|| {
                Refusal::bad_request(format!("invalid selector: {text:?}; can't understand {part:?}"))
            })?;
            if !supported(kind).any(|known| known == field) {
                return Err(Refusal::bad_request(format!(
                    "Unable to find {:?} that match field selector {text:?}: field label not supported: {field}",
                    kind.qualified()
                )));
            }
            let field = format!("/{}", field.replace('.', "/"));
            terms.push(Term { field, value: value.to_owned(), equal });
        }
        Ok(Self(terms))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|term| (text(object.pointer(&term.field)) == term.value) == term.equal)
    }
}

fn split(part: &str) -> Option<(&str, &str, bool)> {
    if let Some((field, value)) = part.split_once("!=") {
        return Some((field, value, false));
    }
    let (field, value) = part.split_once("==").or_else(|| part.split_once('='))?;
    Some((field, value, true))
}

fn text(field: Option<&Value>) -> String {
    match field {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => {
            other.to_string()
        }
    }
}

fn supported(kind: &Kind) -> impl Iterator<Item = &'static str> {
    let own: &[&str] = match (&*kind.group, &*kind.plural) {
        ("", "pods") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        ("", "namespaces") => &["status.phase"],
        ("", "nodes") => &["spec.unschedulable"],
        ("", "services") => &["spec.clusterIP", "spec.type"],
        ("", "secrets") => &["type"],
        ("", "events") => {
            &["involvedObject.kind", "involvedObject.name", "involvedObject.uid", "reason", "type"]
        }
        ("events.k8s.io", "events") => {
            &["regarding.kind", "regarding.name", "regarding.uid", "reason", "type"]
        }
        _ => &[],
    };
    ["metadata.name", "metadata.namespace"].into_iter().chain(own.iter().copied())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api_server::kinds;
    use crate::api_server::store::Store;

    fn parse(selector: &str) -> Result<FieldSelector, Refusal> {
        FieldSelector::parse(selector, &kinds::named(&Store::default(), "pods").unwrap())
    }

    fn check(selector: &str, expected: bool) {
        let pod =
            json!({"metadata": {"name": "web"}, "spec": {"nodeName": "n1"}, "status": {"phase": "Running"}});
        assert_eq!(parse(selector).unwrap().matches(&pod), expected, "{selector}");
    }

    #[test]
    fn all_terms_must_hold() {
        check("", true);
        check("spec.nodeName=n1", true);
        check("spec.nodeName==n2", false);
        check("spec.nodeName!=n2,metadata.name=web", true);
        check("spec.nodeName=n1,status.phase!=Running", false);
    }

    #[test]
    fn an_absent_field_is_the_empty_text() {
        check("status.podIP=", true);
        check("status.podIP!=10.0.0.1", true);
    }

    #[test]
    fn other_fields_are_refused() {
        for wrong in ["spec.image=x", "spec.nodeName"] {
            assert_eq!(parse(wrong).unwrap_err().code, 400, "{wrong}");
        }
    }
}
