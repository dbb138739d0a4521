//! The `traceparent` header (W3C trace context, version 00): ties the log lines and spans of both ends together.

use std::fmt;
use std::str::FromStr;

/// The length of the one form that exists.
const LENGTH: usize = 55;

/// A trace and the hop that sent it. Neither id is 0, which the standard reserves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace_id: u128,
    parent_id: u64,
    sampled: bool,
}

/// The bit of the flags that says that spans of this trace are kept.
const SAMPLED: u8 = 1;

/// A text that is not a `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent; it must read 00-<32 hex digits>-<16 hex digits>-<2 hex digits>")]
pub struct NotATraceParent;

impl TraceParent {
    /// Starts a trace from random bits.
    #[must_use]
    pub fn new(trace_id: u128, parent_id: u64) -> Self {
        Self { trace_id: trace_id.max(1), parent_id: parent_id.max(1), sampled: false }
    }

    /// Says whether spans of this trace are kept.
    #[must_use]
    pub fn with_sampled(self, sampled: bool) -> Self {
        Self { sampled, ..self }
    }

    /// Parses the value of a header, which need not be text.
    ///
    /// # Errors
    /// When it is anything else than the one form of version 00.
    pub fn parse(value: &[u8]) -> Result<Self, NotATraceParent> {
        std::str::from_utf8(value).map_err(|_| NotATraceParent)?.parse()
    }

    /// Gives the id that both ends log.
    #[must_use]
    pub fn trace_id(&self) -> u128 {
        self.trace_id
    }

    /// Gives the id of the hop that sent it.
    #[must_use]
    pub fn parent_id(&self) -> u64 {
        self.parent_id
    }

    /// Tells whether spans of this trace are kept, where it was sent. Of the other flags nothing is understood, and so nothing said.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }
}

impl FromStr for TraceParent {
    type Err = NotATraceParent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('-');
        let mut part = |length: usize| {
            let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            parts
                .next()
                .filter(|part| part.len() == length && part.bytes().all(lower_hex))
                .ok_or(NotATraceParent)
        };
        if text.len() != LENGTH || part(2)? != "00" {
            return Err(NotATraceParent);
        }
        let trace_id = u128::from_str_radix(part(32)?, 16).map_err(|_| NotATraceParent)?;
        let parent_id = u64::from_str_radix(part(16)?, 16).map_err(|_| NotATraceParent)?;
        let flags = u8::from_str_radix(part(2)?, 16).map_err(|_| NotATraceParent)?;
        if trace_id == 0 || parent_id == 0 {
            return Err(NotATraceParent);
        }
        Ok(Self { trace_id, parent_id, sampled: flags & SAMPLED != 0 })
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.sampled) * SAMPLED;
        write!(f, "00-{:032x}-{:016x}-{flags:02x}", self.trace_id, self.parent_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_what_is_understood() {
        for (trace_id, parent_id) in [(0, 0), (1, 2), (u128::MAX, u64::MAX), (0xabc << 64, 0xdef)] {
            for sampled in [false, true] {
                let said = TraceParent::new(trace_id, parent_id).with_sampled(sampled);
                assert_eq!(said.to_string().len(), LENGTH);
                assert_eq!(TraceParent::parse(said.to_string().as_bytes()), Ok(said));
            }
        }
        let said = TraceParent::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        assert_eq!(said.trace_id(), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(said.parent_id(), 0x00f0_67aa_0ba9_02b7);
    }

    #[test]
    fn whatever_the_flags_are_one_bit_of_them_is_understood_and_passed_on() {
        for flags in 0..=u8::MAX {
            let text = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags:02x}");
            let said: TraceParent = text.parse().unwrap();
            assert_eq!(said.is_sampled(), flags % 2 == 1, "{flags:02x}");
            let passed_on = format!("{}{:02x}", &text[..LENGTH - 2], flags % 2);
            assert_eq!(said.to_string(), passed_on);
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let zeros = format!("00-{}", "0".repeat(52));
        for text in [
            "",
            "00",
            &zeros,
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47361-0f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceParent::parse(text.as_bytes()), Err(NotATraceParent), "{text}");
        }
        assert_eq!(TraceParent::parse(&[0xff; 55]), Err(NotATraceParent));
    }
}
