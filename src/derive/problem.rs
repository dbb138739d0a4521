//! What somebody wrote that makes no sense, and where.

use std::fmt;

use crate::Condition;

/// Something written in an object that makes no sense. It was left out; the rest counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: `spec.endpoints[2].address`.
    pub path: String,
    /// What is wrong with it, and what to write.
    pub what: String,
}

impl Problem {
    /// Gives what the status of an object says about its problems; nothing when it has none.
    #[must_use]
    pub fn condition(problems: &[Self]) -> Option<Condition> {
        if problems.is_empty() {
            return None;
        }
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let message = format!("left out, the rest counts: {}", texts.join("; "));
        Some(Condition { kind: "culvert.dev/Accepted", holds: false, reason: "UnsupportedValue", message })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}
