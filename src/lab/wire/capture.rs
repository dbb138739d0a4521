//! What was recorded, and the questions tests ask about it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::packet::{Packet, Protocol};

/// How many bytes of payload are kept.
const LIMIT: usize = 1 << 30;

/// The packets of a recording, in the order in which they passed.
#[derive(Debug, Default)]
pub struct Capture {
    packets: Vec<Packet>,
    kept: usize,
    missed: u64,
}

/// One direction of a connection.
type Flow = (SocketAddr, SocketAddr);

impl Capture {
    pub(super) fn push(&mut self, frame: &[u8]) {
        if self.kept + frame.len() > LIMIT {
            self.missed += 1;
        } else if let Some(packet) = Packet::parse(frame) {
            self.kept += frame.len();
            self.packets.push(packet);
        }
    }

    pub(super) fn note_dropped(&mut self, packets: u32) {
        self.missed += u64::from(packets);
    }

    /// All IP packets.
    #[must_use]
    pub fn packets(&self) -> &[Packet] {
        &self.packets
    }

    /// How many packets are not in the recording because it could not keep up, or became too large (1 GiB).
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Whether these bytes passed in a packet, or across two consecutive segments of a TCP connection.
    #[must_use]
    pub fn contains(&self, bytes: &[u8]) -> bool {
        self.packets.iter().any(|packet| has(&packet.payload, bytes))
            || self.seams().any(|seam| has(&seam, bytes))
    }

    /// The TCP ports that were served, in order: the destination ports of connection attempts; for a connection that
    /// is older than the recording, its lower port.
    #[must_use]
    pub fn tcp_ports(&self) -> Vec<u16> {
        let tcp = || self.packets.iter().filter(|packet| packet.protocol == Protocol::Tcp);
        let opened: BTreeSet<Flow> = tcp()
            .filter(|packet| packet.flags.opens())
            .map(|packet| (packet.source, packet.destination))
            .collect();
        let is_opened = |packet: &Packet| {
            opened.contains(&(packet.source, packet.destination))
                || opened.contains(&(packet.destination, packet.source))
        };
        let older = tcp().filter(|packet| !is_opened(packet));
        let lower = older.map(|packet| packet.source.port().min(packet.destination.port()));
        let ports: BTreeSet<u16> =
            opened.iter().map(|(_, destination)| destination.port()).chain(lower).collect();
        ports.into_iter().collect()
    }

    /// How many bytes of TCP payload passed, retransmissions included.
    #[must_use]
    pub fn tcp_bytes(&self) -> u64 {
        let tcp = self.packets.iter().filter(|packet| packet.protocol == Protocol::Tcp);
        tcp.map(|packet| packet.payload.len() as u64).sum()
    }

    /// Fails the test when the recording is not complete: it could then not say what was not sent.
    ///
    /// # Panics
    /// When it is not complete.
    pub fn assert_lossless(&self) {
        assert_eq!(self.missed, 0, "the recording misses packets; it proves nothing about what was not sent");
    }

    /// The places where one segment of a flow ends and the next begins, [`SEAM`] bytes of each.
    fn seams(&self) -> impl Iterator<Item = Vec<u8>> {
        let mut last: BTreeMap<Flow, (u32, &[u8])> = BTreeMap::new();
        let segments = self
            .packets
            .iter()
            .filter(|packet| packet.protocol == Protocol::Tcp && !packet.payload.is_empty());
        segments.filter_map(move |packet| {
            let payload = packet.payload.as_slice();
            // A segment is at most 64 KiB, so the length always fits.
            let next = packet.sequence.wrapping_add(u32::try_from(payload.len()).unwrap_or(u32::MAX));
            let before = last.insert((packet.source, packet.destination), (next, payload));
            let (_, before) = before.filter(|(expected, _)| *expected == packet.sequence)?;
            Some([&before[before.len().saturating_sub(SEAM)..], &payload[..payload.len().min(SEAM)]].concat())
        })
    }
}

/// The longest text that is found across two segments.
const SEAM: usize = 4096;

/// Whether `text` is part of `bytes`. Skips to candidates first: windows are slow over megabytes without optimisation.
fn has(bytes: &[u8], text: &[u8]) -> bool {
    let Some(first) = text.first() else { return true };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        if rest[at..].starts_with(text) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::packet::tests::tcp_frame;
    use super::*;

    fn capture(segments: &[(u32, u8, &[u8])]) -> Capture {
        let mut capture = Capture::default();
        for (sequence, flags, payload) in segments {
            capture.push(&tcp_frame(*sequence, *flags, payload));
        }
        capture
    }

    #[test]
    fn text_is_found_within_and_across_segments() {
        let capture = capture(&[(1, 0, b"say the sec"), (12, 0, b""), (12, 0, b"ret word")]);
        assert!(capture.contains(b"the"));
        assert!(capture.contains(b"secret"));
        assert!(!capture.contains(b"words"));
    }

    #[test]
    fn segments_that_do_not_join_are_not_joined() {
        assert!(!capture(&[(1, 0, b"sec"), (9, 0, b"ret")]).contains(b"secret"));
    }

    #[test]
    fn a_false_start_does_not_hide_the_text() {
        assert!(has(b"aaab", b"aab"));
        assert!(!has(b"aaaa", b"aab"));
    }

    #[test]
    fn the_served_port_is_known_with_and_without_the_beginning() {
        assert_eq!(capture(&[(0, 0x02, b""), (1, 0x10, b"x")]).tcp_ports(), [2000]);
        assert_eq!(capture(&[(1, 0x10, b"x")]).tcp_ports(), [1000]);
    }

    #[test]
    #[should_panic(expected = "misses packets")]
    fn a_recording_with_holes_says_so() {
        let mut capture = Capture::default();
        capture.note_dropped(1);
        capture.assert_lossless();
    }
}
