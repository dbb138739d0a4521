//! Bulk streams: as many bytes as the path carries, counted at the client, and in all at both ends.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::pattern::Pattern;
use super::tally::Tally;
use super::window::Window;
use super::{Direction, SINK, SOURCE, Speed, socket};

/// The size of reads.
const BUFFER: usize = 256 * 1024;
/// What the sender's count takes at the end of a download, and the receiver's in the answer to an upload.
const COUNT: usize = 8;

/// Some streams in one direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streams {
    pub(super) direction: Direction,
    pub(super) count: usize,
    pub(super) speed: Speed,
}

/// Runs streams until the window closes and the last byte has arrived.
pub(super) fn run(server: IpAddr, streams: Streams, window: &Window) -> io::Result<Tally> {
    let port = if streams.direction == Direction::Up { SINK } else { SOURCE };
    let open = |_| socket::connect(SocketAddr::new(server, port));
    let connections = (0..streams.count).map(open).collect::<io::Result<Vec<_>>>()?;
    let mut sum = Tally::default();
    thread::scope(|scope| {
        let start = |stream| scope.spawn(move || work(stream, streams, window));
        let workers: Vec<_> = connections.into_iter().map(start).collect();
        for worker in workers {
            sum.add(worker.join().map_err(|_| io::Error::other("a stream's thread panicked"))?);
        }
        Ok(sum)
    })
}

fn work(stream: TcpStream, streams: Streams, window: &Window) -> Tally {
    let mut tally = Tally::default();
    let result = match streams.direction {
        Direction::Up => upload(stream, streams.speed, window, &mut tally),
        Direction::Down => download(stream, streams.speed, window, &mut tally),
    };
    if let Err(error) = result {
        tally.failed(error);
    }
    tally
}

fn upload(mut stream: TcpStream, speed: Speed, window: &Window, tally: &mut Tally) -> io::Result<()> {
    let sent = send(&mut stream, speed, |bytes, moment| {
        tally.moved(bytes, window, moment);
        !window.is_over(moment)
    })?;
    stream.shutdown(Shutdown::Write)?;
    let mut count = [0; COUNT];
    stream.read_exact(&mut count)?;
    compare(sent, u64::from_be_bytes(count))
}

/// Sends the pattern as fast as it may, until `go_on`, which is told of each write, says no; tells how much that was.
fn send(
    stream: &mut TcpStream,
    speed: Speed,
    mut go_on: impl FnMut(usize, Instant) -> bool,
) -> io::Result<u64> {
    let (began, mut pattern) = (Instant::now(), Pattern::default());
    loop {
        let next = pattern.next();
        let written = stream.write(&next[..next.len().min(speed.portion())])?;
        pattern.advance(written);
        if !go_on(written, Instant::now()) {
            return Ok(pattern.position());
        }
        let due = began + speed.time_for(pattern.position());
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

/// Asks for data for as long as the window is open. The request ends there, as that of a client that has no more to say.
fn download(mut stream: TcpStream, speed: Speed, window: &Window, tally: &mut Tally) -> io::Result<()> {
    let length = u32::try_from(window.left().as_millis()).unwrap_or(u32::MAX);
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(&speed.0.to_be_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let (mut buffer, mut last) = (vec![0; BUFFER], [0; COUNT]);
    let (mut pattern, mut ended) = (Pattern::default(), false);
    loop {
        let arrived = stream.read(&mut buffer)?;
        if arrived == 0 {
            break;
        }
        tally.moved(arrived, window, Instant::now());
        keep_last(&mut last, &buffer[..arrived]);
        // The count at the end is no pattern: the last pieces are compared by it alone.
        ended = ended || arrived < 2 * COUNT + 64;
        if ended {
            pattern.advance(arrived);
        } else {
            pattern.check(&buffer[..arrived])?;
        }
    }
    compare(pattern.position(), u64::from_be_bytes(last).saturating_add(COUNT as u64))
}

/// Keeps the last bytes of what has arrived so far.
fn keep_last(last: &mut [u8; COUNT], arrived: &[u8]) {
    if let Some(tail) = arrived.last_chunk() {
        *last = *tail;
    } else {
        last.rotate_left(arrived.len());
        last[COUNT - arrived.len()..].copy_from_slice(arrived);
    }
}

fn compare(here: u64, there: u64) -> io::Result<()> {
    if here == there {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("{here} bytes here, {there} at the server")))
}

/// The server's side of an upload.
pub(super) fn sink(mut stream: TcpStream) -> io::Result<()> {
    let (mut buffer, mut pattern) = (vec![0; BUFFER], Pattern::default());
    loop {
        let arrived = stream.read(&mut buffer)?;
        if arrived == 0 {
            break;
        }
        pattern.check(&buffer[..arrived])?;
    }
    stream.write_all(&pattern.position().to_be_bytes())
}

/// The server's side of a download: sends for as long as the client asks.
pub(super) fn source(mut stream: TcpStream) -> io::Result<()> {
    let (mut length, mut speed) = ([0; 4], [0; 4]);
    stream.read_exact(&mut length)?;
    stream.read_exact(&mut speed)?;
    let until = Instant::now() + Duration::from_millis(u32::from_be_bytes(length).into());
    let speed = Speed(u32::from_be_bytes(speed));
    let sent = send(&mut stream, speed, |_, moment| moment < until)?;
    stream.write_all(&sent.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_kept_over_short_reads() {
        let mut last = [0; COUNT];
        keep_last(&mut last, b"0123456789");
        assert_eq!(&last, b"23456789");
        keep_last(&mut last, b"ab");
        assert_eq!(&last, b"456789ab");
        keep_last(&mut last, b"");
        assert_eq!(&last, b"456789ab");
    }
}
