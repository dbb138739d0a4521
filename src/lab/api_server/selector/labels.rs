//! Label selectors: `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, `a`, `!a`, joined by commas.
//!
//! As in Kubernetes, `!=` and `notin` also match objects that do not have the label.

use serde_json::Value;

use crate::api_server::refusal::Refusal;

/// All of its requirements must hold; none at all match everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LabelSelector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

impl LabelSelector {
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let parts = split(text).into_iter().map(str::trim).filter(|part| !part.is_empty());
        let requirements: Option<Vec<_>> = parts.map(requirement).collect();
        let wrong = || Refusal::bad_request(format!("unable to parse requirement: {text:?}"));
        requirements.map(Self).ok_or_else(wrong)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn matches(&self, labels: &Value) -> bool {
        let label = |key: &str| labels.get(key).and_then(Value::as_str);
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => {
                label(key).is_some_and(|have| values.iter().any(|value| value == have))
            }
            Requirement::NotIn(key, values) => {
                label(key).is_none_or(|have| values.iter().all(|value| value != have))
            }
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::Missing(key) => label(key).is_none(),
        })
    }
}

/// Splits at the commas outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .collect()
}

fn requirement(text: &str) -> Option<Requirement> {
    if let Some(key) = text.strip_prefix('!') {
        return Some(Requirement::Missing(name(key)?));
    }
    if let Some((key, value)) = text.split_once("!=") {
        return Some(Requirement::NotIn(name(key)?, vec![value.trim().to_owned()]));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Some(Requirement::In(name(key)?, vec![value.trim().to_owned()]));
    }
    if let Some((head, list)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        let values = list.split(',').map(|value| value.trim().to_owned()).collect();
        return match head.trim().rsplit_once(' ')? {
            (key, "in") => Some(Requirement::In(name(key)?, values)),
            (key, "notin") => Some(Requirement::NotIn(name(key)?, values)),
            _ => None,
        };
    }
    Some(Requirement::Exists(name(text)?))
}

/// A label's key: a name, maybe behind a domain and a slash.
fn name(text: &str) -> Option<String> {
    let text = text.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    (!text.is_empty() && text.chars().all(plain)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(selector: &str, expected: bool) {
        let labels = json!({"app": "web", "tier": "front", "istio.io/dataplane-mode": "ambient"});
        assert_eq!(LabelSelector::parse(selector).unwrap().matches(&labels), expected, "{selector}");
    }

    #[test]
    fn all_requirements_must_hold() {
        check("", true);
        check("app=web", true);
        check("app==web,tier=front", true);
        check("app=web,tier=back", false);
        check("istio.io/dataplane-mode=ambient", true);
        check("app in (api, web),tier notin (back,middle)", true);
        check("app in (api)", false);
        check("tier notin (front)", false);
        check("app,!gone", true);
        check("!app", false);
        check("gone", false);
    }

    #[test]
    fn an_absent_label_is_unequal_to_everything() {
        check("gone!=x", true);
        check("gone notin (x)", true);
        check("gone=x", false);
        check("app!=web", false);
    }

    #[test]
    fn what_is_not_a_selector_is_refused() {
        for wrong in ["a b", "=x", "a in x", "a of (x)", "a=b,!", "(x)"] {
            assert_eq!(LabelSelector::parse(wrong).unwrap_err().code, 400, "{wrong}");
        }
    }
}
