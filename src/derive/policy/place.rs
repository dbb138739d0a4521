//! A value in an object, and the way to it.
//!
//! What the API server takes for absent is absent here: a field that is null. Whatever has another type than it should, and
//! every list that is empty, is a problem.

use std::fmt;

use serde_json::Value;

use super::problem::{Clipped, Problems};

/// A value in an object, and the way to it.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    value: &'a Value,
    path: Path<'a>,
}

/// The way to a value.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    Top,
    Field(&'a Self, &'a str),
    Item(&'a Self, usize),
}

impl<'a> Place<'a> {
    /// Begins at a whole object.
    pub(super) fn top(object: &'a Value) -> Self {
        Self { value: object, path: Path::Top }
    }

    pub(super) fn path(&self) -> &Path<'a> {
        &self.path
    }

    /// The name of the field this is.
    pub(super) fn name(&self) -> &'a str {
        match self.path {
            Path::Field(_, name) => name,
            Path::Top | Path::Item(..) => "",
        }
    }

    /// Gives the field with a name, unless it is null.
    pub(super) fn field<'b>(&'b self, name: &'b str) -> Option<Place<'b>> {
        let value = self.value.get(name).filter(|value| !value.is_null())?;
        Some(Place { value, path: Path::Field(&self.path, name) })
    }

    /// Gives all fields that are not null.
    pub(super) fn fields(&self, problems: &mut Problems) -> Vec<Place<'_>> {
        let mut fields = self.entries(problems);
        fields.retain(|field| !field.value.is_null());
        fields
    }

    /// Gives all entries of what is keyed by users. With null they stay: an entry says something by being there.
    pub(super) fn entries(&self, problems: &mut Problems) -> Vec<Place<'_>> {
        let Some(object) = self.value.as_object() else {
            self.is_no(problems, "an object");
            return Vec::new();
        };
        object.iter().map(|(name, value)| Place { value, path: Path::Field(&self.path, name) }).collect()
    }

    /// Gives all fields that are not null, of which there has to be one.
    pub(super) fn some_fields(&self, problems: &mut Problems) -> Vec<Place<'_>> {
        let fields = self.fields(problems);
        if fields.is_empty() && self.value.is_object() {
            problems.invalid(
                self.path,
                "says nothing, which could mean nobody or everybody; fill it or remove it",
            );
        }
        fields
    }

    /// Gives the items of a list, of which there has to be one.
    pub(super) fn items(&self, problems: &mut Problems) -> Vec<Place<'_>> {
        let items = self.any_items(problems);
        if items.is_empty() && self.value.is_array() {
            problems.invalid(
                self.path,
                "is an empty list, which could mean nothing or everything; fill it or remove it",
            );
        }
        items
    }

    /// Gives the items of a list.
    pub(super) fn any_items(&self, problems: &mut Problems) -> Vec<Place<'_>> {
        let Some(list) = self.value.as_array() else {
            self.is_no(problems, "a list");
            return Vec::new();
        };
        let item = |(number, value)| Place { value, path: Path::Item(&self.path, number) };
        list.iter().enumerate().map(item).collect()
    }

    /// Gives a text, which may be empty.
    pub(super) fn text(&self, problems: &mut Problems) -> Option<&'a str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.is_no(problems, "a text");
        }
        text
    }

    pub(super) fn is_object(&self) -> bool {
        self.value.is_object()
    }

    /// Tells whether it is a text that says something.
    pub(super) fn is_filled_text(&self) -> bool {
        self.value.as_str().is_some_and(|text| !text.is_empty())
    }

    /// Gives what the texts of a list say, of which there has to be one.
    pub(super) fn texts<T>(
        &self,
        problems: &mut Problems,
        mut read: impl FnMut(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let mut found = Vec::new();
        for item in self.items(problems) {
            let Some(text) = item.text(problems) else { continue };
            match read(text) {
                Ok(value) => found.push(value),
                Err(wrong) => problems.invalid(item.path, wrong),
            }
        }
        found
    }

    /// Notes that nobody knows this field.
    pub(super) fn is_unknown(&self, problems: &mut Problems) {
        problems.invalid(self.path, "is not known here, so nobody can tell what it restricts; remove it");
    }

    fn is_no(&self, problems: &mut Problems, expected: &str) {
        let is = match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        problems.invalid(self.path, format!("has to be {expected} and is {is}"));
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top => f.write_str("the object"),
            Self::Field(Path::Top, name) => write!(f, "{}", Clipped(name)),
            Self::Field(of, name) if name.contains(['.', '/']) => write!(f, "{of}[{}]", Clipped(name)),
            Self::Field(of, name) => write!(f, "{of}.{}", Clipped(name)),
            Self::Item(of, number) => write!(f, "{of}[{number}]"),
        }
    }
}
