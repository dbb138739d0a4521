//! What is wrong with an object, where in it, and what to do about it.
//!
//! Objects are written by users, so everything that is quoted from them is clipped, and only so many problems are kept.

use std::fmt;

/// One thing in an object that cannot be enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The way to it: `spec.rules[0].to[1].operation.methods`.
    pub path: String,
    /// Of what sort it is.
    pub fault: Fault,
    /// What is wrong, and what to do.
    pub text: String,
}

/// Of what sort a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It makes sense to others: an HTTP proxy could enforce it.
    Unsupported,
    /// It makes no sense.
    Invalid,
}

/// What is wrong with one object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Problems {
    kept: Vec<Problem>,
    /// How many are not kept.
    more: usize,
}

/// A text of a user, clipped, without what would spoil a log line.
pub(super) struct Clipped<'a>(pub(super) &'a str);

/// How many problems of an object are kept. Who has mended these is told of the others.
const MOST: usize = 16;
/// How much of a text is quoted.
const QUOTED: usize = 64;

impl Problems {
    /// Notes what makes no sense.
    pub(super) fn invalid(&mut self, path: impl fmt::Display, text: impl Into<String>) {
        self.note(path, Fault::Invalid, text);
    }

    /// Notes what only others can enforce.
    pub(super) fn unsupported(&mut self, path: impl fmt::Display, text: impl Into<String>) {
        self.note(path, Fault::Unsupported, text);
    }

    /// Gives those that are kept.
    pub(super) fn as_slice(&self) -> &[Problem] {
        &self.kept
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Gives the first one, for those who want one sentence.
    pub(super) fn reason(&self) -> String {
        let first = self.kept.first().map(ToString::to_string).unwrap_or_default();
        match self.kept.len().saturating_sub(1) + self.more {
            0 => first,
            others => format!("{first} (and {others} more)"),
        }
    }

    /// Gives the reason of a condition, for programs.
    pub(super) fn word(&self) -> &'static str {
        match self.kept.iter().any(|problem| problem.fault == Fault::Invalid) {
            true => "Invalid",
            false => "UnsupportedValue",
        }
    }

    /// Takes over what was found apart.
    pub(super) fn take(&mut self, found: Self) {
        for problem in found.kept {
            self.note(problem.path, problem.fault, problem.text);
        }
        self.more += found.more;
    }

    fn note(&mut self, path: impl fmt::Display, fault: Fault, text: impl Into<String>) {
        if self.kept.len() < MOST {
            self.kept.push(Problem { path: path.to_string(), fault, text: text.into() });
        } else {
            self.more += 1;
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.text)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.kept.iter().enumerate() {
            let between = if number == 0 { "" } else { "; " };
            write!(f, "{between}{problem}")?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl fmt::Display for Clipped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, letter) in self.0.chars().enumerate() {
            match letter {
                _ if number == QUOTED => return f.write_str("..."),
                letter if letter.is_control() => write!(f, "{}", letter.escape_default())?,
                letter => write!(f, "{letter}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_problems_and_long_texts_take_little_room() {
        let mut problems = Problems::default();
        let long = "\n".repeat(1 << 12);
        for _ in 0..1_000 {
            problems.invalid("spec", format!("`{}`", Clipped(&long)));
        }
        let message = problems.to_string();
        assert!(message.len() < 8 << 10, "{} bytes", message.len());
        assert!(message.ends_with("; and 984 more"), "{message}");
        assert!(!message.contains('\n'));
        assert!(problems.reason().ends_with("(and 999 more)"));
    }

    #[test]
    fn nonsense_is_the_worse_fault() {
        let mut problems = Problems::default();
        problems.unsupported("a", "b");
        assert_eq!(problems.word(), "UnsupportedValue");
        problems.invalid("c", "d");
        assert_eq!((problems.word(), problems.reason()), ("Invalid", "a: b (and 1 more)".to_owned()));
    }
}
