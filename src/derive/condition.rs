//! What is said about an object in its status.

/// One condition (`metav1.Condition`), without the time, which is that of writing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Condition {
    /// What is said something about: `Accepted`, `istio.io/WaypointBound`.
    pub kind: &'static str,
    /// Whether it is so.
    pub holds: bool,
    /// Why, in one word for programs: `UnsupportedValue`.
    pub reason: &'static str,
    /// Why, and what to do, for people.
    pub message: String,
}
