//! What the kernel knows of one TCP connection (`tcp_info`, linux/tcp.h).
//!
//! The structure has only ever grown at its end, and the kernel says how much of it there is: what an old kernel does not know is 0.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::time::Duration;

/// What the kernel knows of one TCP connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Info {
    /// `TCP_ESTABLISHED` and the like, by number.
    pub state: u8,
    /// Smoothed round trip time, in microseconds.
    pub rtt: u32,
    /// How much it varies, in microseconds.
    pub rtt_variation: u32,
    /// The shortest round trip of late, in microseconds.
    pub least_rtt: u32,
    /// Segments that were sent again, since the connection is there.
    pub retransmits: u32,
    /// Bytes that were sent again.
    pub bytes_retransmitted: u64,
    /// Segments the peer has not acknowledged.
    pub segments_unacknowledged: u32,
    /// Bytes the peer has not acknowledged.
    pub bytes_unacknowledged: u64,
    /// Bytes that were written and not sent yet.
    pub bytes_unsent: u32,
    /// What the peer is willing to take. 0 also where the kernel does not tell (before 5.4).
    pub peer_window: u32,
    /// How long sending has waited for the peer to take more, in microseconds.
    pub peer_limited: u64,
    /// How long there was something to send, in microseconds.
    pub busy: u64,
    /// How long nothing has come from the peer but acknowledgements, in milliseconds.
    pub quiet: u32,
    /// Bytes the peer has acknowledged.
    pub bytes_acknowledged: u64,
    /// Bytes the peer has sent.
    pub bytes_received: u64,
}

/// More than any kernel has today.
const MOST: usize = 512;

// Where things are in the structure.
const STATE: usize = 0;
const UNACKNOWLEDGED: usize = 24;
const LAST_DATA_RECEIVED: usize = 52;
const RTT: usize = 68;
const RTT_VARIATION: usize = 72;
const RETRANSMITS: usize = 100;
const BYTES_ACKNOWLEDGED: usize = 120;
const BYTES_RECEIVED: usize = 128;
const UNSENT: usize = 144;
const LEAST_RTT: usize = 148;
const BUSY: usize = 168;
const PEER_LIMITED: usize = 176;
const BYTES_SENT: usize = 200;
const BYTES_RETRANSMITTED: usize = 208;
const PEER_WINDOW: usize = 228;

/// Asks the kernel about a connection; also about one that is over, while its socket is open.
///
/// # Errors
/// When the descriptor is not a TCP socket.
#[expect(
    unsafe_code,
    reason = "getsockopt has no safe wrapper for a structure whose length the kernel chooses"
)]
pub fn info(socket: &impl AsFd) -> io::Result<Info> {
    let mut bytes = [0_u8; MOST];
    let mut length = MOST as nix::libc::socklen_t;
    // SAFETY: the descriptor is open for the call, and the kernel writes no more than `length` octets into `bytes`.
    let result = unsafe {
        nix::libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            nix::libc::IPPROTO_TCP,
            nix::libc::TCP_INFO,
            bytes.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Info::read(bytes.get(..length as usize).unwrap_or(&bytes)))
}

impl Info {
    /// Reads as much as there is.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let short =
            |at: usize| bytes.get(at..at + 4).and_then(|it| it.try_into().ok()).map_or(0, u32::from_ne_bytes);
        let long =
            |at: usize| bytes.get(at..at + 8).and_then(|it| it.try_into().ok()).map_or(0, u64::from_ne_bytes);
        let (acknowledged, again) = (long(BYTES_ACKNOWLEDGED), long(BYTES_RETRANSMITTED));
        Self {
            state: bytes.get(STATE).copied().unwrap_or_default(),
            rtt: short(RTT),
            rtt_variation: short(RTT_VARIATION),
            least_rtt: short(LEAST_RTT),
            retransmits: short(RETRANSMITS),
            bytes_retransmitted: again,
            segments_unacknowledged: short(UNACKNOWLEDGED),
            bytes_unacknowledged: long(BYTES_SENT).saturating_sub(again).saturating_sub(acknowledged),
            bytes_unsent: short(UNSENT),
            peer_window: short(PEER_WINDOW),
            peer_limited: long(PEER_LIMITED),
            busy: long(BUSY),
            quiet: short(LAST_DATA_RECEIVED),
            bytes_acknowledged: acknowledged,
            bytes_received: long(BYTES_RECEIVED),
        }
    }

    /// Smoothed round trip time; `None` before there was any.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        (self.rtt > 0).then(|| Duration::from_micros(self.rtt.into()))
    }

    /// The same, with only what was sent again since there were `before` retransmits.
    #[must_use]
    pub fn since(self, before: u32) -> Self {
        Self { retransmits: self.retransmits.saturating_sub(before), ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::sockets::state;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn bytes_that_have_moved_are_counted() {
        let (mut client, mut server) = pair();
        client.write_all(&[7; 5000]).unwrap();
        let mut heard = [0; 5000];
        server.read_exact(&mut heard).unwrap();
        server.write_all(b"yes").unwrap();
        client.read_exact(&mut heard[..3]).unwrap();
        // Data carries the acknowledgement of what came before it.
        let (near, far) = (info(&client).unwrap(), info(&server).unwrap());
        assert_eq!((near.state, far.state), (state::ESTABLISHED, state::ESTABLISHED));
        assert_eq!((near.bytes_received, far.bytes_received), (3, 5000));
        assert!((5000..=5001).contains(&near.bytes_acknowledged), "{near:?}");
        assert!(near.rtt > 0 && near.rtt < 1_000_000 && near.round_trip().is_some(), "{near:?}");
        assert_eq!((near.retransmits, near.bytes_unacknowledged, near.bytes_unsent), (0, 0, 0));
        assert!(near.peer_window > 0, "{near:?}");
    }

    #[test]
    fn what_a_peer_does_not_take_is_seen() {
        let (client, server) = pair();
        client.set_nonblocking(true).unwrap();
        while (&client).write(&[7; 64 * 1024]).is_ok() {}
        let near = info(&client).unwrap();
        assert!(near.bytes_unsent > 0, "{near:?}");
        drop(server);
    }

    #[test]
    fn a_connection_that_was_reset_can_still_be_asked_about() {
        let (mut client, mut server) = pair();
        client.write_all(b"hello").unwrap();
        server.read_exact(&mut [0; 5]).unwrap();
        crate::tcp::reset_on_close(&server).unwrap();
        drop(server);
        client.read(&mut [0; 1]).unwrap_err();
        let near = info(&client).unwrap();
        assert_eq!(near.state, state::CLOSE);
        assert!(near.rtt > 0, "{near:?}");
    }

    #[test]
    fn what_an_old_kernel_does_not_tell_is_nothing() {
        let mut whole = vec![0; 240];
        whole[STATE] = 1;
        for at in [RTT, RETRANSMITS, PEER_WINDOW] {
            whole[at..at + 4].copy_from_slice(&9_u32.to_ne_bytes());
        }
        let new = Info::read(&whole);
        assert_eq!((new.rtt, new.retransmits, new.peer_window), (9, 9, 9));
        // Linux 2.6.32 had 104 octets of it, 4.9 had 168.
        for length in [104, 168] {
            assert_eq!(Info::read(&whole[..length]), Info { peer_window: 0, ..new }, "{length}");
        }
        for length in 0..whole.len() {
            Info::read(&whole[..length]);
        }
        assert_eq!(Info::read(&[]), Info::default());
    }

    #[test]
    fn what_is_not_a_connection_is_an_error() {
        let (pipe, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        info(&pipe).unwrap_err();
    }

    #[test]
    fn only_what_was_sent_again_since_then_counts() {
        let info = Info { retransmits: 7, ..Info::default() };
        assert_eq!(
            (info.since(5).retransmits, info.since(0).retransmits, info.since(9).retransmits),
            (2, 7, 0)
        );
    }
}
