//! Being an application: connecting, sending, and saying exactly how a connection ended.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use culvert_lab::{Behaviour, Pod, bulk};

/// How long an application waits for anything.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// How a connection ended for the one who read from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// An orderly end, after these bytes.
    Complete(Vec<u8>),
    /// A reset.
    Reset,
    /// The attempt to connect was refused.
    Refused,
    /// Anything else, a deadline included.
    Other(io::ErrorKind),
}

impl Ending {
    /// What an error says of the end.
    pub(crate) fn of(error: &io::Error) -> Self {
        let kind = error.kind();
        if kind == io::ErrorKind::ConnectionReset {
            Self::Reset
        } else if kind == io::ErrorKind::ConnectionRefused {
            Self::Refused
        } else {
            Self::Other(kind)
        }
    }
}

/// Reads until the end and says what that was.
pub(crate) fn read_to_end(stream: &mut TcpStream) -> Ending {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => Ending::Complete(bytes),
        Err(error) => Ending::of(&error),
    }
}

/// Connects, sends, ends the sending half, and reads to the end.
pub(crate) fn exchange(from: &Pod, to: impl Into<SocketAddr>, text: &[u8]) -> Ending {
    match from.connect(to, SOON) {
        Ok(stream) => exchange_on(stream, text),
        Err(error) => Ending::of(&error),
    }
}

/// [`exchange`] on a connection that is there already.
pub(crate) fn exchange_on(mut stream: TcpStream, text: &[u8]) -> Ending {
    // A reset may arrive at any point; reading reports it, once, unless writing did.
    if let Err(error) = stream.write_all(text)
        && error.kind() == io::ErrorKind::ConnectionReset
    {
        return Ending::Reset;
    }
    let _ = stream.shutdown(Shutdown::Write);
    read_to_end(&mut stream)
}

/// Fails unless an echo comes back whole.
#[track_caller]
pub(crate) fn assert_echo(from: &Pod, to: impl Into<SocketAddr>, text: &[u8]) {
    let to = to.into();
    let ending = exchange(from, to, text);
    assert_eq!(ending, Ending::Complete(text.to_vec()), "{} -> {to}", from.name());
}

/// Fails unless the connection is made and then reset without a byte.
#[track_caller]
pub(crate) fn assert_reset(from: &Pod, to: impl Into<SocketAddr>) {
    let to = to.into();
    assert_eq!(exchange(from, to, b"let me in"), Ending::Reset, "{} -> {to}", from.name());
}

/// Who answers, and as whom it sees the caller. Also gives the caller's own idea of its address.
#[track_caller]
pub(crate) fn who(stream: TcpStream) -> (String, SocketAddr, SocketAddr) {
    let own = stream.local_addr().unwrap();
    let Ending::Complete(line) = exchange_on(stream, b"") else { panic!("no answer to {own}") };
    let line = String::from_utf8(line).unwrap();
    let (name, seen) = line.trim_end().split_once(' ').unwrap_or_else(|| panic!("`{line}` is no answer"));
    (name.to_owned(), seen.parse().unwrap(), own)
}

/// Echoes a piece on an open connection.
#[track_caller]
pub(crate) fn assert_alive(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).unwrap();
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, text);
}

/// Sends bulk data to a sink and compares the digests.
#[track_caller]
pub(crate) fn assert_upload(from: &Pod, to: SocketAddr, bytes: u64) {
    let mut stream = from.connect(to, SOON).unwrap();
    let sent = bulk::send(&mut stream, bytes).unwrap();
    let Ending::Complete(answer) = exchange_on(stream, b"") else {
        panic!("the sink at {to} did not answer")
    };
    let received: bulk::Digest = String::from_utf8(answer).unwrap().parse().unwrap();
    assert_eq!(received, sent, "{} -> {to}", from.name());
}

/// Takes bulk data from a source and compares the digests.
#[track_caller]
pub(crate) fn assert_download(from: &Pod, to: SocketAddr, bytes: u64) {
    let mut stream = from.connect(to, SOON).unwrap();
    let received = bulk::receive(&mut stream).unwrap();
    assert_eq!(received, bulk::Digest::of_pattern(bytes), "{to} -> {}", from.name());
}

/// What an application does that serves each connection in some way, and what it made of each.
pub(crate) fn reporting<T: Send + 'static>(
    serve: impl Fn(TcpStream) -> T + Send + Sync + 'static,
) -> (Behaviour, Receiver<T>) {
    let (report, reports) = channel();
    let report = Mutex::new(report);
    let behaviour = Behaviour::custom(move |stream| {
        let made = serve(stream);
        // The test may have failed and gone.
        let _ = report.lock().unwrap().send(made);
        Ok(())
    });
    (behaviour, reports)
}

/// Sends bulk data to an echo and takes it back at the same time.
#[track_caller]
pub(crate) fn assert_both_ways(from: &Pod, to: SocketAddr, bytes: u64) {
    let mut stream = from.connect(to, SOON).unwrap();
    let mut sending = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        let sent = bulk::send(&mut sending, bytes);
        sending.shutdown(Shutdown::Write)?;
        sent
    });
    let received = bulk::receive(&mut stream).unwrap();
    assert_eq!(received, sender.join().unwrap().unwrap(), "{} <-> {to}", from.name());
}
