//! A client of tunnels that sends what it likes, frame by frame, and says how that ended.
//!
//! What is written to an end that has closed meanwhile is not an error here: how it ended is read.

use std::io::{self, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use culvert_lab::Pod;
use rustls::{AlertDescription, ClientConnection, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::certificates::Certificate;
use super::endpoint::Groups;
use super::talk::SOON;
use super::tunnel::{client_config, peer_name};

/// How HTTP/2 begins (RFC 9113 §3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The types of frames (RFC 9113 §6).
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RESET: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PUSH_PROMISE: u8 = 5;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GO_AWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// Flags of frames. The first means something else for each type.
pub(crate) mod flag {
    pub(crate) const ACK: u8 = 1;
    pub(crate) const END_STREAM: u8 = 1;
    pub(crate) const END_HEADERS: u8 = 4;
}

/// A frame that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// How a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With a GOAWAY of this code, and in order for TLS.
    GoAway(u32),
    /// With a TLS alert.
    Alert(AlertDescription),
    /// In order for TLS, without a GOAWAY.
    Closed,
    /// By TCP alone.
    Cut,
    /// It did not, within the deadline.
    Open,
}

/// The client.
pub(crate) struct Rogue {
    tls: StreamOwned<ClientConnection, TcpStream>,
    input: Vec<u8>,
}

impl Rogue {
    /// Shakes hands with whoever is at `to`, and says nothing yet.
    #[track_caller]
    pub(crate) fn enter(from: &Pod, to: impl Into<SocketAddr>, with: &Certificate) -> Self {
        let (chain, key) = load(with);
        let tls = ClientConnection::new(client_config(chain, key, Groups::Classic), peer_name()).unwrap();
        let mut tls = StreamOwned::new(tls, from.connect(to, SOON).unwrap());
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock).unwrap();
        }
        Self { tls, input: Vec::new() }
    }

    /// Begins HTTP/2 as it should be.
    pub(crate) fn begin(&mut self) {
        self.send(PREFACE);
        self.frame(kind::SETTINGS, 0, 0, &[]);
    }

    /// Sends bytes through the tunnel.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.tls.write_all(bytes).and_then(|()| self.tls.flush());
    }

    /// Sends bytes beside TLS.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.tls.sock.write_all(bytes);
    }

    pub(crate) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.send(&frame(kind, flags, stream, payload));
    }

    /// Asks for a stream, and waits until it is there.
    #[track_caller]
    pub(crate) fn open(&mut self, stream: u32, authority: SocketAddr) {
        self.frame(kind::HEADERS, flag::END_HEADERS, stream, &connect(authority));
        let answer = self.wait_for(|frame| frame.kind == kind::HEADERS && frame.stream == stream);
        assert_eq!(status(&answer), 200);
    }

    /// Changes its keys, and wants the other end to do the same.
    pub(crate) fn update_keys(&mut self) {
        let updated = self.tls.conn.refresh_traffic_keys();
        updated.unwrap();
        let _ = self.tls.flush();
    }

    /// Says in TCP that it has sent all, and not in TLS.
    pub(crate) fn cut(&mut self) {
        let _ = self.tls.sock.shutdown(Shutdown::Write);
    }

    /// The next frame that is looked for.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, is_wanted: impl Fn(&Frame) -> bool) -> Frame {
        loop {
            let frame = self.next().unwrap_or_else(|end| panic!("{end:?}"));
            if is_wanted(&frame) {
                return frame;
            }
        }
    }

    /// The code with which a stream is reset.
    #[track_caller]
    pub(crate) fn reset_of(&mut self, stream: u32) -> u32 {
        let reset = self.wait_for(|frame| frame.kind == kind::RESET && frame.stream == stream);
        number(&reset.payload)
    }

    /// Whether the tunnel lives: a ping comes back.
    #[track_caller]
    pub(crate) fn assert_alive(&mut self) {
        self.frame(kind::PING, 0, 0, b"culverts");
        self.wait_for(|frame| frame.kind == kind::PING && frame.payload == b"culverts");
    }

    /// Reads until the tunnel has ended.
    pub(crate) fn end(&mut self, deadline: Duration) -> End {
        let _ = self.tls.sock.set_read_timeout(Some(deadline));
        let mut code = None;
        loop {
            match self.next() {
                Ok(frame) if frame.kind == kind::GO_AWAY => code = Some(number(&frame.payload[4..])),
                Ok(_) => {}
                Err(End::Closed) => return code.map_or(End::Closed, End::GoAway),
                Err(end) => return end,
            }
        }
    }

    /// The next frame, or how it all ended.
    fn next(&mut self) -> Result<Frame, End> {
        match read_frame(&mut self.tls, &mut self.input) {
            Ok(frame) => frame.ok_or(End::Closed),
            Err(error) => Err(End::of(&error)),
        }
    }
}

/// The next frame, `None` at an orderly end; `input` is what was read of the one after it.
pub(crate) fn read_frame(from: &mut impl io::Read, input: &mut Vec<u8>) -> io::Result<Option<Frame>> {
    loop {
        if let Some(frame) = take(input) {
            return Ok(Some(frame));
        }
        let mut more = [0; 16_384];
        match from.read(&mut more)? {
            0 => return Ok(None),
            length => input.extend_from_slice(&more[..length]),
        }
    }
}

impl End {
    fn of(error: &io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
        match tls {
            Some(rustls::Error::AlertReceived(alert)) => Self::Alert(*alert),
            _ if error.kind() == io::ErrorKind::WouldBlock => Self::Open,
            _ => Self::Cut,
        }
    }
}

/// A certificate and its key, from their files.
#[track_caller]
pub(crate) fn load(from: &Certificate) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_file_iter(&from.chain).unwrap().collect::<Result<_, _>>().unwrap();
    (chain, PrivateKeyDer::from_pem_file(&from.key).unwrap())
}

/// A frame as it is sent.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The header block of a CONNECT (RFC 7541 §6.2.2: literals without indexing, names from the static table).
pub(crate) fn connect(authority: SocketAddr) -> Vec<u8> {
    const AUTHORITY: u8 = 1;
    const METHOD: u8 = 2;
    [literal(&[METHOD], b"CONNECT"), literal(&[AUTHORITY], authority.to_string().as_bytes())].concat()
}

/// A field whose name has no entry in a table.
pub(crate) fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    literal(&[&[0, length], name].concat(), value)
}

fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    [name, &length(value.len()), value].concat()
}

/// RFC 7541 §5.1, with a prefix of seven bits.
fn length(length: usize) -> Vec<u8> {
    const PREFIX: usize = 127;
    let Some(mut rest) = length.checked_sub(PREFIX) else { return vec![u8::try_from(length).unwrap()] };
    let mut octets = vec![127];
    while rest >= 128 {
        octets.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    octets.push(u8::try_from(rest).unwrap());
    octets
}

/// The status of an answer, which comes first in a header block. Before it the table may be set
/// to nothing.
pub(crate) fn status(answer: &Frame) -> u32 {
    let block = answer.payload.strip_prefix(&[0x20]).unwrap_or(&answer.payload);
    match block[..] {
        [0x88, ..] => 200,
        [0x8c, ..] => 400,
        // A literal with the name `:status`, not Huffman coded.
        [0x08 | 0x18 | 0x48, 3, a, b, c, ..] => {
            [a, b, c].iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
        }
        // The same, and 401 in Huffman's code (RFC 7541, appendix B).
        [0x08 | 0x18 | 0x48, 0x82, 0x68, 0x01, ..] => 401,
        ref other => panic!("no status is in {other:?}"),
    }
}

/// Takes a whole frame off the front.
fn take(input: &mut Vec<u8>) -> Option<Frame> {
    let &[l0, l1, l2, kind, flags, s0, s1, s2, s3] = input.first_chunk::<9>()?;
    let end = 9 + u32::from_be_bytes([0, l0, l1, l2]) as usize;
    let payload = input.get(9..end)?.to_vec();
    input.drain(..end);
    Some(Frame { kind, flags, stream: u32::from_be_bytes([s0, s1, s2, s3]), payload })
}

pub(crate) fn number(octets: &[u8]) -> u32 {
    u32::from_be_bytes(octets[..4].try_into().unwrap())
}

#[test]
fn lengths_are_coded_as_in_the_specification() {
    assert_eq!(length(10), [10]);
    assert_eq!(length(127), [127, 0]);
    assert_eq!(length(1337), [127, 0b1011_1010, 9]);
}
