//! Those who look: each asks a node for the same again and again, as fast as it answers, and gives way to everybody else.
//!
//! What comes is counted and thrown away. Who looks at a real node is mostly on another machine; what his tools do with what they
//! read is not the node's, and not measured.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use culvert_sys::netns::Netns;
use culvert_sys::priority;

use super::scene::METRICS;
use crate::path::error::{Doing as _, Error};
use crate::path::turns::steady::Ends;

const ADMIN: u16 = 15000;
/// What each of the two reads, in turn.
const READERS: [&[Look]; 2] = [
    &[Look { port: ADMIN, path: "/config_dump" }],
    &[Look { port: METRICS, path: "/metrics" }, Look { port: ADMIN, path: "/v1/connections?limit=1000" }],
];
/// How much is taken at a time.
const PORTION: usize = 64 * 1024;
/// How often a reader that waits looks whether it is over.
const GLANCE: Duration = Duration::from_millis(50);
/// What has not come in this time will not come.
const PATIENCE: Duration = Duration::from_secs(60);
/// So much of an answer has all of its head.
const HEAD: usize = 512;
/// How an answer begins, in small letters, and the last of its chunks.
const BEGIN: &str = "http/1.1 200 ";
const END: &[u8] = b"0\r\n\r\n";

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Look {
    port: u16,
    pub(super) path: &'static str,
}

/// An answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) bytes: u64,
    pub(super) took: Duration,
}

/// All that was read.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) answers: BTreeMap<Look, Vec<Answer>>,
    /// With those of answers that were not read to their end.
    pub(super) bytes: u64,
    pub(super) failures: u64,
    pub(super) first_failure: Option<String>,
}

/// Has all of them read while something else is done.
pub(super) fn beside<T>(netns: &Netns, work: impl FnOnce() -> T) -> Result<(T, Seen), Error> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let over = &over;
        let _ends = Ends(over);
        let start = |looks: &'static [Look]| scope.spawn(move || netns.run(|| read_all(looks, over)));
        let readers = READERS.map(start);
        let done = work();
        over.store(true, Ordering::Relaxed);
        let mut sum = Seen::default();
        for reader in readers {
            let seen = reader.join().unwrap_or_else(|_| Err(io::Error::other("a reader's thread panicked")));
            sum.add(seen.and_then(|seen| seen).doing(|| "look at a node".into())?);
        }
        Ok((done, sum))
    })
}

/// Reads everything once, with nothing beside it.
pub(super) fn each_once(netns: &Netns) -> Result<BTreeMap<Look, Answer>, Error> {
    let never = AtomicBool::new(false);
    let read = |look: &Look| {
        let read = netns.run(|| read(*look, &mut 0, &never)).and_then(|read| read);
        let answer = read.and_then(|answer| answer.ok_or_else(|| io::Error::other("interrupted")));
        Ok((*look, answer.doing(|| format!("read {}", look.path))?))
    };
    READERS.iter().copied().flatten().map(read).collect()
}

fn read_all(looks: &'static [Look], over: &AtomicBool) -> io::Result<Seen> {
    priority::give_way()?;
    let mut seen = Seen::default();
    for look in looks.iter().cycle() {
        match read(*look, &mut seen.bytes, over) {
            Ok(Some(answer)) => seen.answers.entry(*look).or_default().push(answer),
            Ok(None) => break,
            Err(error) => {
                seen.failed(&error);
                thread::sleep(GLANCE);
            }
        }
        if over.load(Ordering::Relaxed) {
            break;
        }
    }
    Ok(seen)
}

/// Reads one answer to its end; `None` when it is over before.
fn read(look: Look, bytes: &mut u64, over: &AtomicBool) -> io::Result<Option<Answer>> {
    let began = Instant::now();
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, look.port));
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(GLANCE))?;
    let Look { path, .. } = look;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n")?;
    let (mut portion, mut whole) = (vec![0; PORTION], Whole::default());
    while !over.load(Ordering::Relaxed) {
        match stream.read(&mut portion) {
            Ok(0) => return whole.end(began.elapsed()).map(Some),
            Ok(count) => {
                *bytes += count as u64;
                whole.take(&portion[..count]);
            }
            // Nothing yet.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && began.elapsed() < PATIENCE => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// What tells whether an answer is whole: how it begins and ends.
#[derive(Debug, Default)]
struct Whole {
    bytes: u64,
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Whole {
    fn take(&mut self, portion: &[u8]) {
        self.bytes += portion.len() as u64;
        let missing = HEAD.saturating_sub(self.head.len()).min(portion.len());
        self.head.extend_from_slice(&portion[..missing]);
        self.tail.extend_from_slice(&portion[portion.len().saturating_sub(END.len())..]);
        self.tail.drain(..self.tail.len().saturating_sub(END.len()));
    }

    /// What it was, if it was an answer, and came to its end.
    fn end(&self, took: Duration) -> io::Result<Answer> {
        let head = String::from_utf8_lossy(&self.head).to_ascii_lowercase();
        let is_chunked = head.contains("transfer-encoding: chunked");
        if head.starts_with(BEGIN) && (!is_chunked || self.tail == END) {
            return Ok(Answer { bytes: self.bytes, took });
        }
        let said = head.lines().next().unwrap_or_default();
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} bytes that begin with `{said}`", self.bytes),
        ))
    }
}

impl Seen {
    fn failed(&mut self, error: &io::Error) {
        self.failures += 1;
        self.first_failure.get_or_insert_with(|| error.to_string());
    }

    pub(super) fn add(&mut self, other: Self) {
        for (look, mut answers) in other.answers {
            self.answers.entry(look).or_default().append(&mut answers);
        }
        self.bytes += other.bytes;
        self.failures += other.failures;
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(portions: &[&[u8]]) -> Option<u64> {
        let mut whole = Whole::default();
        portions.iter().for_each(|portion| whole.take(portion));
        whole.end(Duration::ZERO).ok().map(|answer| answer.bytes)
    }

    #[test]
    fn an_answer_that_was_cut_off_is_none() {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(end(&[head, b"3\r\nabc\r\n0", b"\r\n", b"\r\n"]), Some(60));
        assert_eq!(end(&[head, b"3\r\nabc\r\n"]), None);
        assert_eq!(end(&[b"HTTP/1.1 2", b"00 OK\r\n\r\n{}"]), Some(21));
        assert_eq!(end(&[b"HTTP/1.1 503 Service Unavailable\r\n\r\n"]), None);
        assert_eq!(end(&[]), None);
    }
}
