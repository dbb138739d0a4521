//! How often looks at the namespaces of all pods are taken: where they take long, for a fraction of the time.

use std::time::Duration;

/// A look that is no trouble however often it is taken.
const SHORT_LOOK: Duration = Duration::from_millis(2);

/// How many times as long as a longer look took it is rested.
const REST: u32 = 4;

/// How long no look is taken after one that took so long.
pub(super) fn rest_after(took: Duration) -> Duration {
    if took < SHORT_LOOK { Duration::ZERO } else { took * REST }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_looks_are_rested_from_and_short_ones_are_not() {
        assert_eq!(rest_after(Duration::from_millis(1)), Duration::ZERO);
        assert_eq!(rest_after(Duration::from_millis(100)), Duration::from_millis(400));
    }
}
