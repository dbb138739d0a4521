//! HTTP/2 frames as anybody sees them: written, and read again from a row of octets.

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GO_AWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEAD: usize = 9;

/// A frame without its payload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

pub(crate) fn put(out: &mut Vec<u8>, head: Head, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[head.kind, head.flags]);
    out.extend_from_slice(&head.stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Finds frames in octets as they come.
#[derive(Debug)]
pub(crate) struct Scanner {
    /// Octets of a preface that are still to come.
    preface: usize,
    rest: Vec<u8>,
}

impl Scanner {
    /// Passes over so many octets first.
    pub(crate) fn after(preface: usize) -> Self {
        Self { preface, rest: Vec::new() }
    }

    pub(crate) fn push(&mut self, octets: &[u8], mut each: impl FnMut(Head, &[u8])) {
        let skipped = self.preface.min(octets.len());
        self.preface -= skipped;
        self.rest.extend_from_slice(&octets[skipped..]);
        let mut at = 0;
        while let Some((head, payload)) = first(&self.rest[at..]) {
            each(head, payload);
            at += HEAD + payload.len();
        }
        self.rest.drain(..at);
    }

    /// Whether no frame is half there.
    pub(crate) fn is_between(&self) -> bool {
        self.rest.is_empty()
    }
}

fn first(octets: &[u8]) -> Option<(Head, &[u8])> {
    let &[l0, l1, l2, kind, flags, s0, s1, s2, s3] = octets.first_chunk::<HEAD>()?;
    let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
    let stream = u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff;
    Some((Head { kind, flags, stream }, octets.get(HEAD..HEAD + length)?))
}
