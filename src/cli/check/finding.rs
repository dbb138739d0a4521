//! The vocabulary of a preflight: what is looked at, what was found, what to do about it.

use std::borrow::Cow;
use std::io;

use serde::Serialize;

/// One thing that is looked at. Its name is what people select and search for, so it never changes its meaning.
#[derive(Debug)]
pub(crate) struct Check {
    /// Words joined by dashes.
    pub(crate) name: &'static str,
    /// What depends on it.
    pub(crate) why: &'static str,
}

/// How it is with what was looked at; what needs somebody's attention most comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// As it should be.
    Ok,
    /// It could not be looked at.
    Unknown,
    /// It works, and there are conditions under which it will not.
    Warning,
    /// Something will not work.
    Problem,
}

/// What a judge says of the facts it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) state: State,
    /// What is there, with its value.
    pub(crate) found: String,
    /// One command or setting.
    pub(crate) remedy: Option<String>,
}

/// One row of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) name: &'static str,
    pub(crate) state: State,
    /// Where it is written, if it was found in something that people write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<Place>,
    pub(crate) found: String,
    pub(crate) why: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Place {
    pub(crate) file: String,
    /// Counted from 1.
    pub(crate) line: u64,
    /// Of which kind the object is, its namespace and its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) object: Option<String>,
    /// The way to it in the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
}

impl Check {
    /// What was found of it.
    pub(crate) fn finding(&self, verdict: Verdict) -> Finding {
        let Verdict { state, found, remedy } = verdict;
        Finding { name: self.name, state, place: None, found, why: self.why.into(), remedy }
    }

    /// What was found at a place, and what comes of it if it is left as it is.
    pub(crate) fn at(&self, place: Place, verdict: Verdict, effect: impl Into<String>) -> Finding {
        Finding { place: Some(place), why: effect.into().into(), ..self.finding(verdict) }
    }

    /// What a probe found, as a judge sees it; a probe that could not look is no judge's business.
    pub(crate) fn judged<F>(&self, facts: io::Result<F>, judge: impl FnOnce(F) -> Verdict) -> Finding {
        self.finding(facts.map_or_else(|error| Verdict::unseen(&error), judge))
    }
}

impl State {
    /// The word people read.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

impl Verdict {
    pub(crate) fn ok(found: impl Into<String>) -> Self {
        Self { state: State::Ok, found: found.into(), remedy: None }
    }

    pub(crate) fn unknown(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: State::Unknown, found: found.into(), remedy: Some(remedy.into()) }
    }

    pub(crate) fn warning(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: State::Warning, found: found.into(), remedy: Some(remedy.into()) }
    }

    pub(crate) fn problem(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: State::Problem, found: found.into(), remedy: Some(remedy.into()) }
    }

    /// Why something could not be looked at.
    pub(crate) fn unseen(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::PermissionDenied {
            // The kernel's own words add nothing to that.
            let by = if error.raw_os_error().is_some() { String::new() } else { format!(" ({error})") };
            return Self::unknown(format!("needs root{by}"), AS_ROOT);
        }
        Self::unknown(format!("cannot be looked at: {error}"), "see what is wrong with that, and look again")
    }

    /// What needs rights this process does not have.
    pub(crate) fn needs_root() -> Self {
        Self::unknown("needs root", AS_ROOT)
    }
}

/// What to do about everything that cannot be seen for lack of rights.
pub(crate) const AS_ROOT: &str = "run it as root: sudo culvert check";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_for_lack_of_rights_says_so() {
        let refused = io::Error::from(io::ErrorKind::PermissionDenied);
        let verdict = Verdict::unseen(&refused);
        assert_eq!(verdict.state, State::Unknown);
        assert!(verdict.found.starts_with("needs root"), "{verdict:?}");
        let gone = Verdict::unseen(&io::ErrorKind::NotFound.into());
        assert!(!gone.found.contains("root"), "{gone:?}");
    }

    #[test]
    fn problems_come_last() {
        let mut states = [State::Problem, State::Ok, State::Warning, State::Unknown];
        states.sort();
        assert_eq!(states, [State::Ok, State::Unknown, State::Warning, State::Problem]);
    }
}
