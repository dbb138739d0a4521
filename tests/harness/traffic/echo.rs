//! A server's side: says who it is, checks what comes, and can be killed.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use culvert_lab::{Behaviour, Pod, Server, wait_until};
use culvert_sys::tcp;

use super::dialogue::RESET;
use super::journal::Journal;
use super::line::{End, Line};
use super::pattern::{Direction, Pattern};
use super::words::{Header, LINE, answer, trailer};

/// Where it listens.
pub(crate) const PORT: u16 = 7070;
/// How often a caller that says nothing is asked whether it is there, as servers do: its reset can be lost like any packet.
const PROBE: Duration = Duration::from_secs(5);
/// A client that says nothing for as long is not one of ours.
const PATIENCE: Duration = Duration::from_secs(90);
const PIECE: usize = 64 * 1024;

/// What a server does wrong, to see that it is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    WrongName,
    WrongByte,
    EndsEarly,
    Hangs,
}

/// A server in a pod.
#[derive(Debug, Clone)]
pub(crate) struct Echo {
    inner: Arc<Inner>,
    server: Server,
}

#[derive(Debug)]
struct Inner {
    name: String,
    journal: Arc<Journal>,
    /// Whose connections may get here; anybody's, when nothing is said.
    welcome: Option<Vec<&'static str>>,
    flaw: Flaw,
    killed: AtomicBool,
    open: AtomicUsize,
}

impl Echo {
    /// Starts it.
    #[track_caller]
    pub(crate) fn start(
        pod: &Pod,
        journal: &Arc<Journal>,
        welcome: Option<Vec<&'static str>>,
        flaw: Flaw,
    ) -> Self {
        let (name, journal) = (pod.name().to_owned(), Arc::clone(journal));
        let (killed, open) = (AtomicBool::new(false), AtomicUsize::new(0));
        let inner = Arc::new(Inner { name, journal, welcome, flaw, killed, open });
        let serving = Arc::clone(&inner);
        let behaviour = Behaviour::custom(move |stream| {
            serving.open.fetch_add(1, Ordering::Relaxed);
            serving.serve(&stream);
            // The lab keeps another descriptor of it until this returns: the last one to go resets it, or ends it.
            serving.open.fetch_sub(1, Ordering::Relaxed);
            io::Result::Ok(())
        });
        let server = Server::start(pod, PORT, behaviour).unwrap();
        Self { inner, server }
    }

    /// Ends it as if it had crashed: whoever is connected is reset.
    #[track_caller]
    pub(crate) fn kill(&self) {
        self.inner.killed.store(true, Ordering::Relaxed);
        let is_alone = || self.inner.open.load(Ordering::Relaxed) == 0 && self.server.open() == 0;
        wait_until(Duration::from_secs(10), "a server has reset its connections", is_alone).unwrap();
        self.server.stop();
    }
}

impl Inner {
    fn serve(&self, stream: &TcpStream) {
        let line = Line { stream, deadline: Instant::now() + PATIENCE, over: &self.killed };
        let ready = Line::tick(stream).and_then(|()| tcp::probe_every(stream, PROBE));
        if ready.is_err() || self.killed.load(Ordering::Relaxed) {
            line.reset_on_close();
            return;
        }
        let mut first = [0; LINE];
        let Ok(length) = line.read_all(&mut first) else { return line.reset_on_close() };
        let Some(header) = Header::read(&first).filter(|_| length == LINE) else {
            self.violated("somebody", &format!("its header ended in order after {length} bytes"));
            return line.reset_on_close();
        };
        if self.welcome.as_ref().is_some_and(|welcome| !welcome.contains(&header.client.as_str())) {
            self.violated(&header.client, "it was let in");
        }
        let talked = thread::scope(|scope| {
            let sending = scope.spawn(|| self.send(line, &header));
            let received = self.receive(line, &header);
            let sent = sending.join().unwrap_or(Err(End::Over));
            // The kernel tells one of the two of a reset, and the other one that it is over.
            if let Ok(Some(missing)) = &received
                && sent != Err(RESET)
            {
                self.violated(&header.client, missing);
            }
            header.reset_after.is_none() && received == Ok(None) && sent.is_ok()
        });
        if talked && line.write(&trailer(header.privacy, header.nonce)).is_ok() {
            line.end_sending();
        } else {
            line.reset_on_close();
        }
    }

    fn send(&self, line: Line<'_>, header: &Header) -> Result<(), End> {
        if self.flaw == Flaw::Hangs {
            return line.pause(PATIENCE);
        }
        let name = if self.flaw == Flaw::WrongName { "impostor" } else { &self.name };
        line.write(&answer(header.privacy, header.nonce, name))?;
        let mut left = header.reset_after.map_or(header.down, |after| after.min(header.down));
        let mut pattern = Pattern::new(header.privacy, header.nonce, Direction::ToClient);
        while left > 0 {
            let piece = pattern.next(usize::try_from(left).map_or(PIECE, |left| left.min(PIECE)));
            match self.flaw {
                Flaw::WrongByte => line.write(&damaged(piece))?,
                Flaw::EndsEarly => {
                    line.write(&piece[..piece.len() - 1])?;
                    line.end_sending();
                    return Err(End::Over);
                }
                Flaw::None | Flaw::WrongName | Flaw::Hangs => line.write(piece)?,
            }
            left -= piece.len() as u64;
        }
        Ok(())
    }

    /// Reads to the end; says what is missing if that comes in order before all bytes have.
    fn receive(&self, line: Line<'_>, header: &Header) -> Result<Option<String>, End> {
        let mut pattern = Pattern::new(header.privacy, header.nonce, Direction::ToServer);
        let (mut read, mut buffer) = (0, vec![0; PIECE]);
        loop {
            let length = line.read(&mut buffer)?;
            if length == 0 {
                self.journal.count(|counts| counts.bytes += read);
                let missing = format!("it ended in order after {read} of {} bytes", header.up);
                return Ok((read != header.up).then_some(missing));
            }
            if let Err(place) = pattern.check(&buffer[..length]) {
                let place = read + place as u64;
                self.violated(&header.client, &format!("byte {place} is not the one that was sent"));
                return Err(End::Over);
            }
            read += length as u64;
        }
    }

    fn violated(&self, client: &str, what: &str) {
        self.journal.violated(format!("server {}, from {client}: {what}", self.name));
    }
}

fn damaged(piece: &[u8]) -> Vec<u8> {
    let mut bytes = piece.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes
}
