//! Which part of the program an event comes from, and which of its fields are shown: the same for all formats.
//!
//! Events of libraries that log by the older `log` crate carry their target in a field.

use std::borrow::Cow;
use std::fmt::Debug;

use tracing::Event;
use tracing::field::{Field, Visit};

/// The field that is the message.
pub(super) const MESSAGE: &str = "message";

const BRIDGED: &str = "log";

/// The target of an event.
pub(super) fn of(event: &Event<'_>) -> Cow<'static, str> {
    let declared = event.metadata().target();
    if declared != BRIDGED {
        return declared.into();
    }
    let mut found = Found(None);
    event.record(&mut found);
    found.0.map_or(declared.into(), Into::into)
}

/// Lines about connections say all there is to say by themselves.
pub(super) fn has_spans(target: &str) -> bool {
    target != "access"
}

/// Whether a field is one of those after the message.
pub(super) fn is_shown(field: &Field) -> bool {
    field.name() != MESSAGE && !field.name().starts_with("log.")
}

struct Found(Option<String>);

impl Visit for Found {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "log.target" {
            self.0 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}
