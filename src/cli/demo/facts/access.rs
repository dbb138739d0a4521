//! A line of a node's access log: one per connection, at its end.

use std::collections::BTreeMap;
use std::time::Duration;

use super::pairs;

/// What a value is shown as when the line does not have it.
pub(crate) const ABSENT: &str = "(absent)";

/// The fields of a line. The default is a line without any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AccessLine(BTreeMap<String, String>);

impl AccessLine {
    /// Reads a line `time, level, target, message, fields`, separated by tabs; `None` when it is not about the end of
    /// a connection.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let columns: Vec<_> = line.splitn(5, '\t').collect();
        let [_, _, "access", "connection complete", fields] = columns[..] else { return None };
        Some(Self(pairs::read(fields, ' ')))
    }

    /// The value of a field, or [`ABSENT`].
    pub(crate) fn field(&self, name: &str) -> &str {
        self.0.get(name).map_or(ABSENT, String::as_str)
    }

    /// Whether a field has this value.
    pub(crate) fn is(&self, name: &str, value: &str) -> bool {
        self.0.get(name).is_some_and(|found| found == value)
    }

    /// How long the connection lasted.
    pub(crate) fn duration(&self) -> Option<Duration> {
        self.0.get("duration")?.strip_suffix("ms")?.parse().ok().map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "2026-03-01T10:00:00.000001Z\terror\taccess\tconnection complete\t\
        src.addr=10.1.0.2:40000 src.workload=\"client\" src.identity=\"spiffe://cluster.local/ns/default/sa/client\" \
        dst.addr=10.2.0.2:15008 direction=\"outbound\" bytes_sent=120 bytes_recv=2048 duration=\"7ms\" \
        reason=\"denied\" error=\"peer said \\\"401\\\" and closed\"";

    #[test]
    fn the_fields_of_a_line_are_read() {
        let line = AccessLine::parse(LINE).unwrap();
        let fields = [
            ("src.addr", "10.1.0.2:40000"),
            ("src.identity", "spiffe://cluster.local/ns/default/sa/client"),
            ("bytes_recv", "2048"),
            ("error", "peer said \"401\" and closed"),
            ("dst.identity", ABSENT),
        ];
        for (name, value) in fields {
            assert_eq!(line.field(name), value);
        }
        assert_eq!(line.duration(), Some(Duration::from_millis(7)));
        assert!(line.is("direction", "outbound") && !line.is("policy", ABSENT));
    }

    #[test]
    fn other_lines_are_not_about_the_end_of_a_connection() {
        let opened = LINE.replace("connection complete", "connection opened");
        let other = LINE.replace("\taccess\t", "\tnode::proxy\t");
        for line in ["", "connection complete", "a\tb\taccess\tconnection complete", &opened, &other] {
            assert_eq!(AccessLine::parse(line), None, "{line}");
        }
    }

    #[test]
    fn a_line_without_a_duration_has_none() {
        assert_eq!(AccessLine::default().duration(), None);
        assert_eq!(AccessLine::parse(&LINE.replace("7ms", "fast")).unwrap().duration(), None);
    }
}
