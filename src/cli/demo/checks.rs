//! What was checked: each check has what was expected, what was observed, and whether that is right.

/// The part of the story a check belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Clear,
    Enrolled,
    Accounted,
    Refused,
    Answering,
}

impl Step {
    /// The letter it has in the table.
    pub(crate) fn letter(self) -> &'static str {
        match self {
            Self::Clear => "a",
            Self::Enrolled => "b",
            Self::Accounted => "c",
            Self::Refused => "d",
            Self::Answering => "e",
        }
    }
}

/// What was expected and what was observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) expected: String,
    pub(crate) observed: String,
    pub(crate) holds: bool,
}

impl Finding {
    pub(crate) fn new(expected: impl Into<String>, observed: impl Into<String>, holds: bool) -> Self {
        Self { expected: expected.into(), observed: observed.into(), holds }
    }

    /// Holds when both are the same text.
    pub(crate) fn equal(expected: impl ToString, observed: impl ToString) -> Self {
        let (expected, observed) = (expected.to_string(), observed.to_string());
        let holds = expected == observed;
        Self { expected, observed, holds }
    }
}

/// A finding with its place in the story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) step: Step,
    pub(crate) what: String,
    pub(crate) finding: Finding,
}
