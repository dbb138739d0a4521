//! That a limit was reached, as a reason why something is not done.

use super::table::Limit;

/// There was no place left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("limit {} reached: {}; {}", .0.name(), .0.facts().about, .0.facts().remedy)]
pub(crate) struct Exceeded(pub(crate) Limit);

impl Exceeded {
    /// The stable name of the reason, for logs and metrics: that of the limit.
    pub(crate) fn reason(self) -> &'static str {
        self.0.name()
    }

    /// What to do.
    pub(crate) fn remedy(self) -> &'static str {
        self.0.facts().remedy
    }
}
