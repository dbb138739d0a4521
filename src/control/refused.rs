//! How callers are told no: a code of gRPC, a text for people, and a stable name of the reason in the metadata `culvert-reason`.

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// What a client is asked to wait before it tries again, in milliseconds; in the field in which clients of gRPC look for that.
const PUSHBACK: (&str, &str) = ("grpc-retry-pushback-ms", "1000");

/// A refusal for a reason.
pub(crate) fn status(code: Code, reason: &'static str, text: impl Into<String>) -> Status {
    let mut status = Status::new(code, text);
    status.metadata_mut().insert("culvert-reason", MetadataValue::from_static(reason));
    status
}

/// A refusal that says nothing about the request: the next one may well succeed.
pub(crate) fn for_now(reason: &'static str, text: impl Into<String>) -> Status {
    later(status(Code::Unavailable, reason, text))
}

/// A refusal of what there is too much of; it may succeed once there is less.
pub(crate) fn too_much(reason: &'static str, text: impl Into<String>) -> Status {
    later(status(Code::ResourceExhausted, reason, text))
}

fn later(mut status: Status) -> Status {
    status.metadata_mut().insert(PUSHBACK.0, MetadataValue::from_static(PUSHBACK.1));
    status
}
