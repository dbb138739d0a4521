//! Reading what somebody wrote without stumbling over it.
//!
//! Goes in: a JSON value. Comes out: what makes sense of it; what does not is noted with its path and left out. Deliberately absent:
//! what the fields mean.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::Labels;
use crate::problem::Problem;

/// What was found to make no sense. Of one object no more than [`MOST`] are kept.
#[derive(Debug, Default)]
pub(crate) struct Notes(RefCell<Vec<Problem>>);

/// A status has to stay readable.
const MOST: usize = 16;

/// A value, and where it is written. What is absent is null.
#[derive(Debug, Clone)]
pub(crate) struct Reading<'r> {
    value: &'r Value,
    path: String,
    notes: &'r Notes,
}

impl Notes {
    /// Gives them.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.0.into_inner()
    }
}

impl<'r> Reading<'r> {
    /// Begins with a field of an object.
    pub(crate) fn of(object: &'r Value, field: &str, notes: &'r Notes) -> Self {
        Self { value: object.get(field).unwrap_or(&Value::Null), path: field.to_owned(), notes }
    }

    /// Notes that this makes no sense.
    pub(crate) fn note(&self, what: impl Into<String>) {
        let problem = Problem { path: self.path.clone(), what: what.into() };
        let mut noted = self.notes.0.borrow_mut();
        if noted.len() < MOST && !noted.contains(&problem) {
            noted.push(problem);
        }
    }

    /// Tells whether nothing is written.
    pub(crate) fn is_absent(&self) -> bool {
        self.value.is_null()
    }

    /// Counts what is in a list or an object; anything else is one thing that does not belong there.
    pub(crate) fn len(&self) -> usize {
        match self.value {
            Value::Array(list) => list.len(),
            Value::Object(fields) => fields.len(),
            Value::Null => 0,
            Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
        }
    }

    /// Gives a field.
    pub(crate) fn field(&self, name: &str) -> Self {
        if !matches!(self.value, Value::Object(_) | Value::Null) {
            self.note("is no object");
        }
        let path = format!("{}.{name}", self.path);
        Self { value: self.value.get(name).unwrap_or(&Value::Null), path, notes: self.notes }
    }

    /// Gives what is in a list.
    pub(crate) fn items(&self) -> impl Iterator<Item = Self> + use<'r> {
        let list = match self.value {
            Value::Array(list) => list.as_slice(),
            Value::Null => &[],
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                self.note("is no list");
                &[]
            }
        };
        let (path, notes) = (self.path.clone(), self.notes);
        let item = move |(nth, value)| Self { value, path: format!("{path}[{nth}]"), notes };
        list.iter().enumerate().map(item)
    }

    /// Gives a text, unless it is empty.
    pub(crate) fn text(&self) -> Option<&'r str> {
        if !self.value.is_string() && !self.is_absent() {
            self.note("is no text");
        }
        self.value.as_str().filter(|text| !text.is_empty())
    }

    /// Gives a text to be shared; an empty one when there is none.
    pub(crate) fn shared(&self) -> Arc<str> {
        self.text().unwrap_or_default().into()
    }

    /// Gives the texts in a list.
    pub(crate) fn texts(&self) -> Vec<Arc<str>> {
        self.items().filter_map(|item| item.text().map(Arc::from)).collect()
    }

    /// Gives a number that is not negative.
    pub(crate) fn number(&self) -> Option<u32> {
        let number = self.value.as_u64().and_then(|number| u32::try_from(number).ok());
        if number.is_none() && !self.is_absent() {
            self.note("is no whole number from 0 to 4294967295");
        }
        number
    }

    /// Gives a port; 0 says nothing.
    pub(crate) fn port(&self) -> Option<u16> {
        let port = self.value.as_u64().and_then(|number| u16::try_from(number).ok());
        if port.is_none() && !self.is_absent() {
            self.note("is no port; ports are 1 to 65535");
        }
        port.filter(|&port| port != 0)
    }

    /// Gives labels to select by, unless some of them make no sense: without these more would be selected than is meant.
    pub(crate) fn all_labels(&self) -> Option<Labels> {
        let labels = self.labels();
        let all = labels.iter().len() == self.len();
        all.then_some(labels)
    }

    /// Gives labels.
    pub(crate) fn labels(&self) -> Labels {
        self.named()
            .filter_map(|(key, value)| Some((Arc::from(key), Arc::from(value.text_or_empty()?))))
            .collect()
    }

    /// Gives ports by their names.
    pub(crate) fn ports(&self) -> BTreeMap<Arc<str>, u16> {
        self.named().filter_map(|(name, port)| Some((Arc::from(name), port.port()?))).collect()
    }

    fn text_or_empty(&self) -> Option<&'r str> {
        self.text().or_else(|| self.value.as_str())
    }

    /// Gives the fields of an object, whatever they are called.
    fn named(&self) -> impl Iterator<Item = (&'r str, Self)> + use<'r> {
        if !matches!(self.value, Value::Object(_) | Value::Null) {
            self.note("is no object");
        }
        let (path, notes) = (self.path.clone(), self.notes);
        let field = move |(name, value): (&'r String, &'r Value)| {
            (name.as_str(), Self { value, path: format!("{path}.{name}"), notes })
        };
        self.value.as_object().into_iter().flatten().map(field)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn noted(object: &Value, read: impl Fn(&Reading<'_>)) -> Vec<String> {
        let notes = Notes::default();
        read(&Reading::of(object, "spec", &notes));
        notes.into_problems().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_makes_no_sense_is_named_by_its_path_and_the_rest_counts() {
        let object =
            json!({"spec": {"list": ["a", 7, {"port": 70000}], "labels": {"a": "b", "c": 1, "empty": ""}}});
        let problems = noted(&object, |spec| {
            assert_eq!(spec.field("list").texts(), ["a".into()]);
            let last = spec.field("list").items().last().unwrap();
            assert_eq!(last.field("port").port(), None);
            let labels = spec.field("labels").labels();
            assert_eq!((labels.get("a"), labels.get("empty"), labels.get("c")), (Some("b"), Some(""), None));
            assert!(spec.field("absent").field("deep").is_absent());
        });
        assert_eq!(
            problems,
            [
                "spec.list[1]: is no text",
                "spec.list[2]: is no text",
                "spec.list[2].port: is no port; ports are 1 to 65535",
                "spec.labels.c: is no text"
            ]
        );
    }

    #[test]
    fn whatever_is_written_can_be_read() {
        for wrong in [json!(7), json!("text"), json!([1]), json!(true), json!({"x": [[]]}), json!(null)] {
            let object = json!({"spec": wrong});
            noted(&object, |spec| {
                assert_eq!((spec.field("x").text(), spec.field("x").number()), (None, None));
                let _ =
                    (spec.items().count(), spec.labels(), spec.ports(), spec.port(), spec.field("x").texts());
            });
        }
    }

    #[test]
    fn no_more_is_noted_than_somebody_reads() {
        let object = json!({"spec": vec![7; 1000]});
        assert_eq!(noted(&object, |spec| drop(spec.texts())).len(), MOST);
    }
}
