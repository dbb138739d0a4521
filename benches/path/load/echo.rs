//! Requests and answers on connections that stay: one request at a time on each.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Instant;

use super::socket;
use super::tally::Tally;
use super::window::Window;

/// The largest request the server reads at once.
const BUFFER: usize = 64 * 1024;

pub(super) fn run(to: SocketAddr, connections: usize, size: usize, window: &Window) -> io::Result<Tally> {
    let streams = (0..connections).map(|_| socket::connect(to)).collect::<io::Result<Vec<_>>>()?;
    let mut sum = Tally::default();
    thread::scope(|scope| {
        let workers: Vec<_> =
            streams.into_iter().map(|stream| scope.spawn(move || work(stream, size, window))).collect();
        for worker in workers {
            sum.add(worker.join().map_err(|_| io::Error::other("a connection's thread panicked"))?);
        }
        Ok(sum)
    })
}

fn work(mut stream: TcpStream, size: usize, window: &Window) -> Tally {
    let mut tally = Tally::default();
    let (mut request, mut answer) = (vec![0_u8; size], vec![0; size]);
    loop {
        // No two requests in a row are the same.
        request[0] = request[0].wrapping_add(1);
        let began = Instant::now();
        match exchange(&mut stream, &request, &mut answer) {
            Ok(()) if tally.done(began, window) => {}
            Ok(()) => return tally,
            Err(error) => {
                tally.failed(error);
                return tally;
            }
        }
    }
}

/// Sends a request and expects it back.
pub(super) fn exchange(stream: &mut TcpStream, request: &[u8], answer: &mut [u8]) -> io::Result<()> {
    stream.write_all(request)?;
    stream.read_exact(answer)?;
    if request == answer {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is not the request"))
}

/// The server's side: sends back what comes, until the client ends.
pub(super) fn serve(mut stream: TcpStream) -> io::Result<()> {
    // The client is quiet for as long as it likes.
    stream.set_read_timeout(None)?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let arrived = stream.read(&mut buffer)?;
        if arrived == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..arrived])?;
    }
}
