//! Frame headers (RFC 9113 §4.1) and the small frames we send.

use super::Code;

/// Octets of a frame header.
pub(crate) const HEAD: usize = 9;

/// The largest payload every peer takes (RFC 9113 §4.2).
pub(super) const DEFAULT_MOST: u32 = 16_384;

/// The largest payload a frame can have.
pub(super) const LARGEST: u32 = 0x00ff_ffff;

/// What the client sends first (RFC 9113 §3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The kinds of frames (RFC 9113 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum Kind {
    Data,
    Headers,
    Priority,
    Reset,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    /// Of an extension we do not know: skipped (RFC 9113 §5.5).
    Unknown,
}

pub(super) const ACK: u8 = 0x1;
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITY: u8 = 0x20;

impl Kind {
    const ALL: [Self; 10] = [
        Self::Data,
        Self::Headers,
        Self::Priority,
        Self::Reset,
        Self::Settings,
        Self::PushPromise,
        Self::Ping,
        Self::GoAway,
        Self::WindowUpdate,
        Self::Continuation,
    ];

    fn of(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Unknown)
    }

    fn number(self) -> u8 {
        self as u8
    }
}

/// A frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Head {
    pub(super) length: u32,
    pub(super) kind: Kind,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Head {
    pub(super) fn parse(octets: [u8; HEAD]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = octets;
        Self {
            length: u32::from_be_bytes([0, l0, l1, l2]),
            kind: Kind::of(kind),
            flags,
            // The first bit is reserved and ignored (RFC 9113 §4.1).
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff,
        }
    }

    pub(super) fn octets(self) -> [u8; HEAD] {
        let [_, l0, l1, l2] = self.length.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [l0, l1, l2, self.kind.number(), self.flags, s0, s1, s2, s3]
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

fn put(out: &mut Vec<u8>, kind: Kind, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("frames we make are small");
    out.extend_from_slice(&Head { length, kind, flags, stream }.octets());
    out.extend_from_slice(payload);
}

pub(super) fn put_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    let mut payload = Vec::with_capacity(settings.len() * 6);
    for (id, value) in settings {
        payload.extend_from_slice(&id.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    put(out, Kind::Settings, 0, 0, &payload);
}

pub(super) fn put_settings_ack(out: &mut Vec<u8>) {
    put(out, Kind::Settings, ACK, 0, &[]);
}

pub(super) fn put_ping(out: &mut Vec<u8>, payload: [u8; 8], ack: bool) {
    put(out, Kind::Ping, if ack { ACK } else { 0 }, 0, &payload);
}

pub(super) fn put_window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    put(out, Kind::WindowUpdate, 0, stream, &increment.to_be_bytes());
}

pub(super) fn put_reset(out: &mut Vec<u8>, stream: u32, code: Code) {
    put(out, Kind::Reset, 0, stream, &code.0.to_be_bytes());
}

pub(super) fn put_go_away(out: &mut Vec<u8>, last: u32, code: Code) {
    let mut payload = [0; 8];
    payload[..4].copy_from_slice(&last.to_be_bytes());
    payload[4..].copy_from_slice(&code.0.to_be_bytes());
    put(out, Kind::GoAway, 0, 0, &payload);
}

/// Puts a header block, in as many frames as `most` octets of payload for each ask for.
pub(super) fn put_headers(out: &mut Vec<u8>, stream: u32, block: &[u8], end_stream: bool, most: u32) {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut pieces = block.chunks(most.max(1)).peekable();
    let mut kind = Kind::Headers;
    let mut flags = if end_stream { END_STREAM } else { 0 };
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            flags |= END_HEADERS;
        }
        put(out, kind, flags, stream, piece);
        (kind, flags) = (Kind::Continuation, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        for kind in Kind::ALL {
            let head = Head { length: 0x01_02_03, kind, flags: 0x25, stream: 0x7fff_fffe };
            assert_eq!(Head::parse(head.octets()), head);
        }
        assert_eq!(Head::parse([0, 0, 0, 10, 0, 0, 0, 0, 0]).kind, Kind::Unknown);
    }

    #[test]
    fn the_reserved_bit_is_ignored() {
        assert_eq!(Head::parse([0, 0, 0, 0, 0, 0x80, 0, 0, 1]).stream, 1);
    }

    #[test]
    fn a_long_block_goes_on_in_continuations() {
        let mut out = Vec::new();
        put_headers(&mut out, 1, &[7; 25], true, 10);
        let first = Head::parse(out[..9].try_into().unwrap());
        assert_eq!((first.kind, first.flags, first.length), (Kind::Headers, END_STREAM, 10));
        let last = Head::parse(out[38..47].try_into().unwrap());
        assert_eq!((last.kind, last.flags, last.length), (Kind::Continuation, END_HEADERS, 5));
    }
}
