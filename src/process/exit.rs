//! Exit codes: 0 success, 1 failed while running, 2 called wrongly. One sentence on stderr, causes after colons.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// Why a program ends.
#[derive(Debug)]
pub enum Failure {
    /// The command line or the settings are wrong: exit code 2.
    Usage(Box<dyn Error + Send + Sync>),
    /// Something failed while running: exit code 1.
    Runtime(Box<dyn Error + Send + Sync>),
}

impl Failure {
    /// Wrong usage, in words.
    pub fn usage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Usage(error.into())
    }

    /// A failure while running.
    pub fn runtime(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Runtime(error.into())
    }
}

/// Ends a program: prints the failure, if any, as one line on stderr and chooses the exit code.
#[must_use]
pub fn code(program: &str, result: Result<(), Failure>) -> ExitCode {
    let (error, code) = match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Runtime(error)) => (error, 1),
        Err(Failure::Usage(error)) => (error, 2),
    };
    eprintln!("{program}: error: {}", harmless(&Chain(error.as_ref()).to_string()));
    ExitCode::from(code)
}

/// Escapes what a terminal obeys: files and peers have a say in what goes wrong. Line breaks stay, for causes that show a place in a file.
fn harmless(text: &str) -> String {
    let obeyed = |c: char| {
        (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if obeyed(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// Shows an error and all its causes on one line: `what failed: because: because`.
pub struct Chain<'e>(pub &'e (dyn Error + 'e));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.to_string();
        f.write_str(&shown)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Some libraries repeat their cause in their own text.
            if !shown.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            shown = text;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(std::io::Error, &'static str);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.1)
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn causes_follow_after_colons_and_are_not_repeated() {
        let cause = || std::io::Error::other("no route");
        assert_eq!(Chain(&Outer(cause(), "cannot dial")).to_string(), "cannot dial: no route");
        assert_eq!(Chain(&Outer(cause(), "cannot dial: no route")).to_string(), "cannot dial: no route");
    }

    #[test]
    fn a_terminal_is_told_nothing_but_text() {
        let said = "unknown variant `\u{1b}[2J\u{9b}31m\u{202e}x`\n  at line 1, grün";
        assert_eq!(harmless(said), "unknown variant `\\u{1b}[2J\\u{9b}31m\\u{202e}x`\n  at line 1, grün");
    }
}
