//! Why nobody is known by a token.

/// Why nobody is known by a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stranger {
    /// None was sent.
    #[error("no bearer token")]
    Missing,
    /// It is no token, or nobody's.
    #[error("nobody knows this token")]
    Unknown,
    /// It was one.
    #[error("the token has expired")]
    Expired,
    /// It is for others.
    #[error("the token is for somebody else than the control plane; see its audience")]
    Audience,
    /// It is of a user of another kind.
    #[error("the token is not that of a service account")]
    NotAnAccount,
    /// It says of no pod that it is its.
    #[error("the token is not bound to a pod; use one of a projected volume")]
    Unbound,
    /// It was that of a pod.
    #[error("the pod of the token is gone")]
    PodGone,
    /// Who could tell does not.
    #[error("the API server cannot be asked whose token it is")]
    Unavailable,
    /// Who could tell is not asked.
    #[error("the API server is not asked whose token it is: too many from there were nobody's")]
    TooMany,
}

impl Stranger {
    /// The stable name of the reason, for programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "token-missing",
            Self::Unknown => "token-unknown",
            Self::Expired => "token-expired",
            Self::Audience => "wrong-audience",
            Self::NotAnAccount => "not-a-service-account",
            Self::Unbound => "token-not-bound",
            Self::PodGone => "pod-gone",
            Self::Unavailable => "reviews-unavailable",
            Self::TooMany => "too-many-strangers",
        }
    }
}
