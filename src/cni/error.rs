//! What the plugin says when it fails: the `Error` of the CNI specification.

use std::fmt;

use crate::VERSIONS;
use crate::message::excerpt;

/// The codes of the specification that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// A version of the specification that is not spoken.
    Version = 1,
    /// `CNI_*` variables are missing or wrong.
    Environment = 4,
    /// The configuration cannot be read.
    Input = 5,
    /// The configuration is not JSON.
    Json = 6,
    /// The configuration is JSON and wrong.
    Configuration = 7,
    /// The runtime shall try again.
    TryAgainLater = 11,
}

/// A failure, in three parts.
#[derive(Debug, PartialEq, Eq)]
pub struct Error {
    /// The version in which the runtime speaks.
    version: String,
    code: Code,
    message: String,
    details: String,
}

impl Error {
    /// A failure and what failed.
    pub fn new(version: &str, code: Code, message: impl Into<String>) -> Self {
        let message = excerpt(&message.into()).into_owned();
        Self { version: excerpt(version).into_owned(), code, message, details: String::new() }
    }

    /// One that came before the runtime's version was known.
    pub fn early(code: Code, message: impl Into<String>) -> Self {
        let [.., newest] = VERSIONS;
        Self::new(newest, code, message)
    }

    /// Adds why, and what to do.
    #[must_use]
    pub fn because(self, details: impl Into<String>) -> Self {
        Self { details: details.into(), ..self }
    }

    /// As it goes to stdout.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::json!({
            "cniVersion": self.version,
            "code": self.code as u32,
            "msg": self.message,
            "details": self.details,
        })
        .to_string()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.details.is_empty() {
            write!(f, ": {}", self.details)?;
        }
        Ok(())
    }
}
