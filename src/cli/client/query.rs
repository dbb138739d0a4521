//! What is asked: a path below the admin port, and parameters, percent-encoded (RFC 3986).

use std::fmt::{Display, Write as _};

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    path: String,
    parameters: Vec<(&'static str, String)>,
}

impl Query {
    /// Asks for a path.
    pub(crate) fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), parameters: Vec::new() }
    }

    /// Adds a parameter; one of the same name is replaced.
    pub(crate) fn with(mut self, name: &'static str, value: impl Display) -> Self {
        self.parameters.retain(|(known, _)| *known != name);
        self.parameters.push((name, value.to_string()));
        self
    }

    /// Asks for what is below: the name of one, and perhaps something of it.
    pub(crate) fn below(mut self, name: &str) -> Self {
        self.path.push('/');
        self.path.push_str(&encoded(name));
        self
    }

    /// The path alone.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Path and parameters.
    pub(super) fn target(&self) -> String {
        let mut target = self.path.clone();
        for (position, (name, value)) in self.parameters.iter().enumerate() {
            let joint = if position == 0 { '?' } else { '&' };
            // Writing to a String cannot fail.
            let _ = write!(target, "{joint}{name}={}", encoded(value));
        }
        target
    }
}

fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_typed_arrives_as_it_was_typed() {
        let query = Query::new("/v1/why").with("source", "a/b c").with("destination", "[::1]:80&x=ü");
        assert_eq!(query.target(), "/v1/why?source=a%2Fb%20c&destination=%5B%3A%3A1%5D%3A80%26x%3D%C3%BC");
    }

    #[test]
    fn a_parameter_is_asked_for_once() {
        let query = Query::new("/v1/pods").with("after", "a").with("limit", 2).with("after", "b");
        assert_eq!(query.target(), "/v1/pods?limit=2&after=b");
    }
}
