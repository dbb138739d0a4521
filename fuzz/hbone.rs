//! Authority and headers of a request: what is understood can be said, and means the same again.

use std::fmt::{Debug, Display};

use culvert_core::hbone::{Authority, Baggage, Forwarded, TraceParent};

/// The same bytes go to all parsers.
pub fn run(data: &[u8]) {
    if let Some(value) = authority(data) {
        check(&value, authority);
    }
    if let Ok(value) = TraceParent::parse(data) {
        check(&value, |bytes| TraceParent::parse(bytes).ok());
    }
    if let Ok(value) = Baggage::parse(data.split(|byte| *byte == b'\n')) {
        // Saying leaves out what cannot be said, once; what is left means itself.
        let said = value.to_string();
        let value = Baggage::parse([said.as_bytes()]).expect("what we say can be read");
        check(&value, |bytes| Baggage::parse([bytes]).ok());
    }
    let said = Forwarded::parse(data).to_string();
    check(&Forwarded::parse(said.as_bytes()), |bytes| Some(Forwarded::parse(bytes)));
}

fn authority(bytes: &[u8]) -> Option<Authority> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// Asserts that what a value says means the same value again.
fn check<T: Debug + Display + PartialEq>(value: &T, parse: impl Fn(&[u8]) -> Option<T>) {
    let said = value.to_string();
    assert_eq!(parse(said.as_bytes()).as_ref(), Some(value), "{said:?}");
}
