//! Waiting for a condition, with a deadline and with words for the person who reads the failure.

use std::time::{Duration, Instant};

use crate::Error;

/// Time between two looks at a condition.
const LOOK: Duration = Duration::from_millis(10);

/// How long the lab gives the programs for things they do on their own.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Looks at a condition until it holds.
///
/// # Errors
/// [`Error::Timeout`] when it did not hold within `deadline`; `what` completes the sentence "waited until ...".
pub fn wait_until(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) -> Result<(), Error> {
    wait_for(deadline, what, || condition().then_some(()))
}

/// Asks until there is an answer.
///
/// # Errors
/// [`Error::Timeout`] when there was none within `deadline`.
pub fn wait_for<T>(deadline: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> Result<T, Error> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if Instant::now() >= end {
            return Err(Error::Timeout { what: what.to_owned(), after: deadline, evidence: String::new() });
        }
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_comes_true_is_seen() {
        let mut looks = 0;
        let seen = || {
            looks += 1;
            looks == 3
        };
        wait_until(PATIENCE, "it was looked at thrice", seen).unwrap();
    }

    #[test]
    fn a_condition_that_never_holds_is_named() {
        let error = wait_until(Duration::from_millis(1), "pigs fly", || false).unwrap_err();
        assert_eq!(error.to_string(), "waited 1ms in vain until pigs fly");
    }
}
