//! Why the API server says no, as the `Status` object that Kubernetes clients read.
//!
//! One constructor for each kind of refusal, in the words of a real server: clients act on code and reason, people on the
//! message. What makes a server refuse is decided elsewhere.

use serde_json::{Value, json};

use super::kinds::Kind;

/// A refusal, by the server or by the calls of a test.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} ({code}): {message}")]
pub struct Refusal {
    /// The HTTP status.
    pub code: u16,
    /// The reason clients act on, such as `Conflict`.
    pub reason: String,
    /// What people read.
    pub message: String,
    /// Goes on in `metadata.continue`: a list that went too slowly can be continued, inconsistently.
    pub(crate) proceed: Option<String>,
    /// Goes into the `Retry-After` header and the details.
    pub(crate) retry_after: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self { code, reason: reason.to_owned(), message: message.into(), proceed: None, retry_after: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// The answer to options that do not go together.
    pub(crate) fn invalid_options(field: &str, why: &str) -> Self {
        Self::new(422, "Invalid", format!("ListOptions.meta.k8s.io \"\" is invalid: {field}: {why}"))
    }

    pub(crate) fn invalid(kind: &Kind, name: &str, why: &str) -> Self {
        let subject =
            if kind.group.is_empty() { kind.name.clone() } else { format!("{}.{}", kind.name, kind.group) };
        Self::new(422, "Invalid", format!("{subject} {name:?} is invalid: {why}"))
    }

    pub(crate) fn no_such_resource() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    pub(crate) fn not_found(kind: &Kind, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} {name:?} not found", kind.qualified()))
    }

    pub(crate) fn already_exists(kind: &Kind, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{} {name:?} already exists", kind.qualified()))
    }

    pub(crate) fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", kind.qualified());
        Self::new(409, "Conflict", message)
    }

    pub(crate) fn forbidden(verb: &str, resource: &str, group: &str) -> Self {
        let message = format!(
            "{resource} is forbidden: User \"lab\" cannot {verb} resource {resource:?} in API group {group:?}"
        );
        Self::new(403, "Forbidden", message)
    }

    /// History has been thrown away that the request would need.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// The client has seen a newer state than this server has.
    pub(crate) fn too_new(asked: u64, current: u64) -> Self {
        let message = format!("Too large resource version: {asked}, current: {current}");
        Self { retry_after: Some(1), ..Self::new(504, "Timeout", message) }
    }

    /// The refusal a proxy or an overloaded server gives, with nothing to say about the request.
    pub(crate) fn of_code(code: u16) -> Self {
        let (reason, message) = match code {
            400 => ("BadRequest", "the request is not valid"),
            401 => ("Unauthorized", "Unauthorized"),
            403 => ("Forbidden", "forbidden"),
            404 => ("NotFound", "the server could not find the requested resource"),
            405 => ("MethodNotAllowed", "the server does not allow this method on the requested resource"),
            409 => (
                "Conflict",
                "the object has been modified; please apply your changes to the latest version and try again",
            ),
            410 => ("Expired", "the resource version is too old"),
            413 => ("RequestEntityTooLarge", "the request is too large"),
            415 => ("UnsupportedMediaType", "the body of the request was in an unknown format"),
            422 => ("Invalid", "the request is invalid"),
            429 => ("TooManyRequests", "too many requests, please try again later"),
            503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
            504 => ("Timeout", "the request did not complete within the allotted timeout"),
            _ => ("InternalError", "an error on the server has prevented the request from succeeding"),
        };
        Self::new(code, reason, message)
    }

    /// The object clients read.
    pub(crate) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if let Some(token) = &self.proceed {
            status["metadata"]["continue"] = json!(token);
        }
        if let Some(seconds) = self.retry_after {
            status["details"] = json!({"retryAfterSeconds": seconds});
        }
        status
    }
}
