//! Frames of HTTP/2 as an attacker writes them, and what he looks for in those that come (RFC 9113).

use std::net::SocketAddr;

const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_HEADERS: u8 = 4;
/// `SETTINGS_INITIAL_WINDOW_SIZE`, and the largest window there is.
const INITIAL_WINDOW: u16 = 4;
const LARGEST: u32 = 0x7fff_ffff;
/// The window there is without a word.
const FIRST: u32 = 65_535;
const CANCEL: u32 = 8;
/// `:status: 200` in the static table of HPACK (RFC 7541, appendix A).
const OK: u8 = 0x88;

/// Something that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// A stream was opened.
    Opened,
    /// A stream was refused, or ended.
    Refused,
    /// The tunnel takes no more streams.
    GoAway,
    /// Anything else.
    Other,
}

/// How a client begins that lets the other side send as much as it likes.
pub(super) fn preface() -> Vec<u8> {
    let mut window = INITIAL_WINDOW.to_be_bytes().to_vec();
    window.extend(LARGEST.to_be_bytes());
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    add(&mut bytes, (SETTINGS, 0, 0), &window);
    add(&mut bytes, (WINDOW_UPDATE, 0, 0), &(LARGEST - FIRST).to_be_bytes());
    bytes
}

/// Asks for a stream.
pub(super) fn connect(bytes: &mut Vec<u8>, stream: u32, authority: SocketAddr) {
    // Names of the static table, 2 is `:method` and 1 is `:authority`; values as they are, and no entries for later.
    let authority = authority.to_string();
    let mut fields = vec![0x02, 7];
    fields.extend(b"CONNECT");
    fields.extend([0x01, u8::try_from(authority.len()).expect("an address and a port are short")]);
    fields.extend(authority.as_bytes());
    add(bytes, (HEADERS, END_HEADERS, stream), &fields);
}

/// Sends bytes on a stream.
pub(super) fn data(bytes: &mut Vec<u8>, stream: u32, payload: &[u8]) {
    add(bytes, (DATA, 0, stream), payload);
}

/// Ends a stream.
pub(super) fn reset(bytes: &mut Vec<u8>, stream: u32) {
    add(bytes, (RESET, 0, stream), &CANCEL.to_be_bytes());
}

fn add(bytes: &mut Vec<u8>, (kind, flags, stream): (u8, u8, u32), payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("an attacker's frames are short");
    bytes.extend(&length.to_be_bytes()[1..]);
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
}

/// Takes the first frame out of what has arrived, once all of it is there.
pub(super) fn take(input: &mut Vec<u8>) -> Option<Came> {
    let head: &[u8; HEAD] = input.first_chunk()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let kind = head[3];
    let first = input.get(HEAD..HEAD + length)?.first().copied();
    let came = match kind {
        HEADERS if first == Some(OK) => Came::Opened,
        HEADERS | RESET => Came::Refused,
        GO_AWAY => Came::GoAway,
        _ => Came::Other,
    };
    input.drain(..HEAD + length);
    Some(came)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_for_a_stream_is_as_the_rfcs_have_it() {
        let mut bytes = Vec::new();
        connect(&mut bytes, 3, "10.0.0.1:80".parse().unwrap());
        assert_eq!(bytes, b"\0\0\x16\x01\x04\0\0\0\x03\x02\x07CONNECT\x01\x0b10.0.0.1:80");
    }

    #[test]
    fn what_comes_in_pieces_is_taken_frame_by_frame() {
        let mut input = vec![0, 0, 1, HEADERS, END_HEADERS, 0, 0, 0];
        assert_eq!(take(&mut input), None);
        input.extend([1, OK]);
        reset(&mut input, 3);
        add(&mut input, (GO_AWAY, 0, 0), &[0; 8]);
        data(&mut input, 1, b"abc");
        let all: Vec<_> = std::iter::from_fn(|| take(&mut input)).collect();
        assert_eq!(all, [Came::Opened, Came::Refused, Came::GoAway, Came::Other]);
        assert!(input.is_empty());
    }
}
