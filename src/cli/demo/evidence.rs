//! From observations to findings: what each check expects, in words, and whether what was observed is that.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use culvert_lab::http::Answer;
use culvert_lab::{Capture, Pod, wait_until};

use super::application::Exchange;
use super::checks::Finding;
use super::facts::access::AccessLine;
use super::facts::metrics::Metrics;
use super::facts::traffic::Traffic;
use super::stage::{SECRET, Stage};

/// How long numbers may take to settle after a connection has ended.
const SETTLED: Duration = Duration::from_secs(5);

/// The answer came from the application of this pod, and has the secret.
pub(crate) fn answered_by(answer: &io::Result<Answer>, pod: &Pod) -> Finding {
    let name = pod.name();
    let expected = format!("200 and an answer of {name} that repeats the secret");
    let is_right = |answer: &Answer| {
        let text = answer.text();
        answer.status == 200 && text.starts_with(name) && text.contains(SECRET)
    };
    Finding::new(expected, outcome(answer), answer.as_ref().is_ok_and(is_right))
}

/// The connection was reset.
pub(crate) fn reset(answer: &io::Result<Answer>) -> Finding {
    Finding::equal("connection reset", outcome(answer))
}

/// How a request ended, in words.
pub(crate) fn outcome(answer: &io::Result<Answer>) -> String {
    match answer {
        Ok(answer) => format!("{}, `{}`", answer.status, answer.text().trim()),
        Err(error) => error.kind().to_string(),
    }
}

/// The secret passed the wire for all to read.
pub(crate) fn readable(capture: &Capture) -> Finding {
    let expected = format!("`{SECRET}` is readable");
    let packet = capture.packets().iter().find(|packet| {
        let secret = SECRET.as_bytes();
        packet.payload.windows(secret.len()).any(|bytes| bytes == secret)
    });
    let Some(packet) = packet else { return Finding::new(expected, "it is not", false) };
    let text = String::from_utf8_lossy(&packet.payload);
    let line = text.lines().next().unwrap_or_default();
    Finding::new(expected, format!("{} -> {} `{line}`", packet.source, packet.destination), true)
}

/// Nothing but TLS in tunnels passed the wire, and nobody could read the secret.
pub(crate) fn unreadable(capture: &Capture, stage: &Stage) -> Finding {
    let traffic = Traffic::of(capture.packets(), &stage.addresses());
    let (missed, found) = (capture.missed(), capture.contains(SECRET.as_bytes()));
    let observed = format!(
        "{} packets of pods, {} not on port 15008; {} flows, {} not TLS; secret {}; {missed} packets missed",
        traffic.packets,
        traffic.outside_tunnels,
        traffic.flows,
        traffic.not_tls,
        if found { "found" } else { "not found" },
    );
    let holds = traffic.is_only_tls_in_tunnels() && !found && missed == 0;
    Finding::new("only TLS on port 15008, the secret nowhere, no packet missed", observed, holds)
}

/// The application saw the pod's own address.
pub(crate) fn own_address(pod: &Pod, seen: Option<SocketAddr>) -> Finding {
    let observed = seen.map_or_else(|| "nobody called".to_owned(), |seen| seen.to_string());
    let holds = seen.is_some_and(|seen| seen.ip() == pod.ip4());
    Finding::new(format!("{} and any port", pod.ip4()), observed, holds)
}

/// The line names the identities of both ends.
pub(crate) fn identities(line: &AccessLine, from: &Pod, to: &Pod) -> Finding {
    let expected = format!("{} -> {}", from.identity(), to.identity());
    Finding::equal(expected, format!("{} -> {}", line.field("src.identity"), line.field("dst.identity")))
}

/// The line has the application's own numbers, given as what its side sent and received; and a duration that fits
/// into the time the request took.
pub(crate) fn counted(line: &AccessLine, [sent, received]: [usize; 2], took: Duration) -> Finding {
    let expected = format!("{sent} bytes sent, {received} received, in at most {} ms", took.as_millis());
    let (line_sent, line_received) = (line.field("bytes_sent"), line.field("bytes_recv"));
    let duration = line.field("duration");
    let observed = format!("{line_sent} bytes sent, {line_received} received, in {duration}");
    let same = line_sent == sent.to_string() && line_received == received.to_string();
    Finding::new(expected, observed, same && line.duration().is_some_and(|duration| duration <= took))
}

/// The line says that a policy refused the connection, and whose it was.
pub(crate) fn denied(line: &AccessLine, from: &Pod) -> Finding {
    let (reason, error, source) = (line.field("reason"), line.field("error"), line.field("src.identity"));
    let expected = format!("src.identity={} and an error about the policy", from.identity());
    let observed = format!("{source}: {reason}: {error}");
    Finding::new(expected, observed, source == from.identity() && error.contains("policy rejection"))
}

/// The admin port has answered, and knows these pods' identities.
pub(crate) fn names_all<'p>(dump: &io::Result<Answer>, pods: impl Iterator<Item = &'p Pod>) -> Finding {
    let identities: Vec<_> = pods.map(Pod::identity).collect();
    let expected = format!("200, with the certificates of {}", identities.join(" and "));
    let dump = match dump {
        Ok(dump) if dump.status == 200 => dump.text(),
        other => return Finding::new(expected, outcome(other), false),
    };
    let named: Vec<_> =
        identities.iter().filter(|identity| dump.contains(*identity)).map(String::as_str).collect();
    let observed = format!("200, {} bytes, with {}", dump.len(), named.join(" and "));
    Finding::new(expected, observed, named.len() == identities.len())
}

/// Connections and bytes of client and server together, as an application or a node counted them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    connections: u64,
    forth: u64,
    back: u64,
}

impl Totals {
    /// What the applications counted.
    pub(crate) fn of<'e>(exchanges: impl IntoIterator<Item = &'e Exchange>) -> Self {
        exchanges.into_iter().fold(Self::default(), |sum, exchange| Self {
            connections: sum.connections + 1,
            forth: sum.forth + exchange.request_bytes as u64,
            back: sum.back + exchange.answer_bytes as u64,
        })
    }

    /// What a node counted. The names of its byte counters take the server's point of view.
    fn of_node(metrics: &Metrics, labels: &[(&str, &str)]) -> Self {
        Self {
            connections: metrics.total("istio_tcp_connections_opened_total", labels),
            forth: metrics.total("istio_tcp_received_bytes_total", labels),
            back: metrics.total("istio_tcp_sent_bytes_total", labels),
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, forth, back } = self;
        write!(f, "{connections} connections over mutual TLS, {forth} bytes there, {back} back")
    }
}

/// The node's counters for one service account talking to another are what the applications counted.
pub(crate) fn counters(metrics: &io::Result<Answer>, expected: Totals, labels: &[(&str, &str)]) -> Finding {
    match metrics {
        Ok(answer) if answer.status == 200 => {
            Finding::equal(expected, Totals::of_node(&Metrics::parse(&answer.text()), labels))
        }
        other => Finding::new(expected.to_string(), outcome(other), false),
    }
}

/// Looks until the finding holds, or numbers have had time to settle; gives back the last one.
pub(crate) fn settled(mut look: impl FnMut() -> Finding) -> Finding {
    let mut last = look();
    // A finding that never holds is for the caller to report.
    let _ = wait_until(SETTLED, "the finding holds", || {
        if !last.holds {
            last = look();
        }
        last.holds
    });
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(fields: &str) -> AccessLine {
        AccessLine::parse(&format!("time\tinfo\taccess\tconnection complete\t{fields}")).unwrap()
    }

    fn answer(status: u16, text: &str) -> io::Result<Answer> {
        Ok(Answer { status, body: text.as_bytes().to_vec() })
    }

    #[test]
    fn only_a_reset_is_a_reset() {
        assert!(reset(&Err(io::ErrorKind::ConnectionReset.into())).holds);
        let refused = reset(&Err(io::ErrorKind::ConnectionRefused.into()));
        assert_eq!((refused.observed.as_str(), refused.holds), ("connection refused", false));
        assert_eq!(reset(&answer(200, "hello\n")).observed, "200, `hello`");
    }

    #[test]
    fn a_line_counts_only_with_the_same_bytes_and_a_credible_duration() {
        let took = Duration::from_millis(10);
        let check = |fields, holds| assert_eq!(counted(&line(fields), [5, 7], took).holds, holds, "{fields}");
        check("bytes_sent=5 bytes_recv=7 duration=\"10ms\"", true);
        check("bytes_sent=7 bytes_recv=5 duration=\"10ms\"", false);
        check("bytes_sent=5 bytes_recv=7 duration=\"11ms\"", false);
        check("bytes_sent=5 bytes_recv=7", false);
    }

    #[test]
    fn counters_are_compared_with_the_applications() {
        let exchange = |bytes| Exchange {
            caller: ([10, 0, 0, 1], 4000).into(),
            request_bytes: bytes,
            answer_bytes: 2 * bytes,
        };
        let expected = Totals::of(&[exchange(10), exchange(11)]);
        let text = "istio_tcp_connections_opened_total{reporter=\"source\"} 2\n\
                    istio_tcp_received_bytes_total{reporter=\"source\"} 21\n\
                    istio_tcp_sent_bytes_total{reporter=\"source\"} 42\n";
        assert!(counters(&answer(200, text), expected, &[("reporter", "source")]).holds);
        assert!(!counters(&answer(200, text), expected, &[("reporter", "destination")]).holds);
        assert!(!counters(&answer(500, text), expected, &[("reporter", "source")]).holds);
    }

    #[test]
    fn settling_waits_for_the_finding_that_holds() {
        let mut looks = 0;
        let finding = settled(|| {
            looks += 1;
            Finding::equal(3, looks)
        });
        assert!(finding.holds);
        assert_eq!(looks, 3);
    }
}
