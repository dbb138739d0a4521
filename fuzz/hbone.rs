//! Authority and headers of a request, and why one was refused: what is understood can be said, and means the same again; what is kept of
//! it is short.

use std::fmt::{Debug, Display};

use culvert_core::hbone::proxy_status::{Kind, Said};
use culvert_core::hbone::{Authority, Baggage, Forwarded, ProxyStatus, TraceParent};

use crate::memory::Bound;

/// What is kept of a text: a name of Kubernetes, or what a proxy says.
const LONGEST: usize = 253;

/// The same bytes go to all parsers.
pub fn run(data: &[u8]) {
    let bound = Bound::new((64 << 10) + 64 * data.len());
    if let Some(value) = authority(data) {
        check(&value, authority);
    }
    if let Ok(value) = TraceParent::parse(data) {
        check(&value, |bytes| TraceParent::parse(bytes).ok());
    }
    if let Ok(value) = Baggage::parse(data.split(|byte| *byte == b'\n')) {
        // Saying leaves out what cannot be said, once; what is left means itself.
        let said = value.to_string();
        assert!(said.len() < 7 * (LONGEST + 32), "{said}");
        let value = Baggage::parse([said.as_bytes()]).expect("what we say can be read");
        check(&value, |bytes| Baggage::parse([bytes]).ok());
    }
    let said = Forwarded::parse(data).to_string();
    check(&Forwarded::parse(said.as_bytes()), |bytes| Some(Forwarded::parse(bytes)));
    proxy_status(data);
    bound.check();
}

/// What peers say is read without trust, and what we say by any reader, among whatever stands before it.
fn proxy_status(data: &[u8]) {
    if let Some(said) = Said::parse(data.split(|byte| *byte == b'\n')) {
        let text = said.to_string();
        assert!(
            text.len() < 3 * LONGEST && text.bytes().all(|octet| (b' '..=b'~').contains(&octet)),
            "{text}"
        );
        let details =
            said.details.as_ref().map_or(String::new(), |text| format!(";details={}", quoted(text)));
        let again = format!("{};error={}{details}", quoted(&said.proxy), quoted(&said.error));
        assert_eq!(Said::parse([again.as_bytes()]).as_ref(), Some(&said), "{again}");
    }
    let choice = data.first().copied().map_or(0, usize::from);
    let ours = ProxyStatus { error: Kind::ALL[choice % Kind::ALL.len()], details: "some_reason" };
    let value = ours.to_string();
    let said = Said::parse([&b"other; next-hop=x"[..], value.as_bytes()]).expect("we say an error");
    assert_eq!((said.kind(), said.details.as_deref()), (Some(ours.error), Some(ours.details)));
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn authority(bytes: &[u8]) -> Option<Authority> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// Asserts that what a value says means the same value again.
fn check<T: Debug + Display + PartialEq>(value: &T, parse: impl Fn(&[u8]) -> Option<T>) {
    let said = value.to_string();
    assert_eq!(parse(said.as_bytes()).as_ref(), Some(value), "{said:?}");
}
