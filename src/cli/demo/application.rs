//! The application in the pods: a web server that says who it is and who called, and counts what it moved itself.
//!
//! It is what the nodes' numbers are compared with, so it knows nothing of the mesh.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use culvert_lab::{Behaviour, Lab, Pod};
use culvert_sys::tcp;

use super::Error;

/// The longest head of a request it reads.
const LONGEST_HEAD: usize = 16 * 1024;

/// A pod with the application running in it.
#[derive(Debug)]
pub(crate) struct Application {
    pub(crate) pod: Pod,
    port: u16,
    exchanges: Exchanges,
}

type Exchanges = Arc<Mutex<Vec<Exchange>>>;

/// A request and its answer, as the application saw them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exchange {
    pub(crate) caller: SocketAddr,
    pub(crate) request_bytes: usize,
    pub(crate) answer_bytes: usize,
}

impl Application {
    /// Starts it.
    pub(crate) fn start(lab: &Lab, pod: Pod, port: u16) -> Result<Self, Error> {
        let exchanges = Exchanges::default();
        let (name, ledger) = (pod.name().to_owned(), Arc::clone(&exchanges));
        lab.serve(&pod, port, Behaviour::custom(move |stream| serve(stream, &name, &ledger)))?;
        Ok(Self { pod, port, exchanges })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddrV4 {
        let ip: Ipv4Addr = self.pod.ip4();
        SocketAddrV4::new(ip, self.port)
    }

    /// All requests so far, in order.
    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        lock(&self.exchanges).clone()
    }
}

fn serve(mut stream: TcpStream, name: &str, ledger: &Mutex<Vec<Exchange>>) -> io::Result<()> {
    let caller = tcp::canonical(stream.peer_addr()?);
    let request = read_head(&mut stream)?;
    let answer = answer(name, caller, &request);
    let exchange = Exchange { caller, request_bytes: request.len(), answer_bytes: answer.len() };
    // Before the answer: whoever has it finds the exchange in the ledger.
    lock(ledger).push(exchange);
    stream.write_all(answer.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    // Closing before the caller has would reset a caller that still reads.
    io::copy(&mut stream, &mut io::sink()).map(|_| ())
}

fn read_head(stream: &mut impl io::Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
        if head.len() > LONGEST_HEAD {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the request never ends"));
        }
    }
    Ok(head)
}

/// Says who answers whom, and repeats what was asked for.
fn answer(name: &str, caller: SocketAddr, request: &[u8]) -> String {
    let first = String::from_utf8_lossy(request.split(|byte| *byte == b'\r').next().unwrap_or_default());
    let target = first.split(' ').nth(1).unwrap_or_default();
    let body = format!("{name} answers {caller}: {target}\n");
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn lock(exchanges: &Mutex<Vec<Exchange>>) -> MutexGuard<'_, Vec<Exchange>> {
    exchanges.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_names_both_ends_and_the_question() {
        let text =
            answer("web-1", "10.0.0.1:4000".parse().unwrap(), b"GET /x?y=z HTTP/1.1\r\nHost: w\r\n\r\n");
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "web-1 answers 10.0.0.1:4000: /x?y=z\n");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    }

    #[test]
    fn a_head_is_read_to_its_end_and_no_further() {
        let mut bytes: &[u8] = b"GET / HTTP/1.1\r\n\r\nrest";
        assert_eq!(read_head(&mut bytes).unwrap(), b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(bytes, b"rest");
        assert_eq!(read_head(&mut io::repeat(b'x')).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
