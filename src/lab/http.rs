//! A small HTTP/1.1 client, enough to ask the programs about themselves from inside a namespace.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use culvert_sys::netns::Netns;

use crate::socket;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const LONGEST_ANSWER: u64 = 256 << 20;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body, transfer coding removed.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Asks for a path.
///
/// # Errors
/// When nobody answers within ten seconds, or what comes is not HTTP (`InvalidData`).
pub fn get(netns: &Netns, server: impl Into<SocketAddr>, path: &str) -> io::Result<Answer> {
    request(netns, server, "GET", path)
}

/// Sends a request without a body.
///
/// # Errors
/// When nobody answers within ten seconds, or what comes is not HTTP (`InvalidData`).
pub fn request(netns: &Netns, server: impl Into<SocketAddr>, method: &str, path: &str) -> io::Result<Answer> {
    let server = server.into();
    let mut stream = socket::connect(netns, server, DEADLINE)?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
    parse(&answer)
}

fn parse(answer: &[u8]) -> io::Result<Answer> {
    let (head, body) = split(answer, b"\r\n\r\n").ok_or_else(|| invalid("the header never ends"))?;
    let head = std::str::from_utf8(head).map_err(|_| invalid("the header is not text"))?.to_ascii_lowercase();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(status).ok_or_else(|| invalid("the first line has no status"))?;
    let header = |name: &str| head.split("\r\n").find_map(|line| line.strip_prefix(name)).map(str::trim);
    let body = match (header("transfer-encoding:"), header("content-length:")) {
        (Some("chunked"), _) => unchunk(body)?,
        (Some(_), _) => return Err(invalid("the transfer coding is unknown")),
        (None, Some(length)) => {
            let length = length.parse().map_err(|_| invalid("the length is not a number"))?;
            body.get(..length).ok_or_else(|| invalid("the body is cut off"))?.to_vec()
        }
        (None, None) => body.to_vec(),
    };
    Ok(Answer { status, body })
}

fn status(line: &str) -> Option<u16> {
    let (version, rest) = line.split_once(' ')?;
    version.strip_prefix("http/1.")?;
    rest.split(' ').next()?.parse().ok()
}

/// Joins the chunks of a body (RFC 9112, section 7.1); trailers are ignored.
fn unchunk(mut rest: &[u8]) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let (line, after) = split(rest, b"\r\n").ok_or_else(|| invalid("a chunk has no size"))?;
        let size = std::str::from_utf8(line).ok().and_then(|line| line.split(';').next());
        let size = size.and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        let size = size.ok_or_else(|| invalid("the size of a chunk is not a number"))?;
        if size == 0 {
            return Ok(body);
        }
        let chunk = after.get(..size).ok_or_else(|| invalid("a chunk is cut off"))?;
        body.extend_from_slice(chunk);
        rest = after[size..].strip_prefix(b"\r\n").ok_or_else(|| invalid("a chunk has no end"))?;
    }
}

fn split<'b>(bytes: &'b [u8], separator: &[u8]) -> Option<(&'b [u8], &'b [u8])> {
    let at = bytes.windows(separator.len()).position(|window| window == separator)?;
    Some((&bytes[..at], &bytes[at + separator.len()..]))
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: &str, expected: Option<(u16, &str)>) {
        let parsed = parse(answer.as_bytes()).ok().map(|answer| (answer.status, answer.text()));
        assert_eq!(parsed, expected.map(|(status, body)| (status, body.to_owned())), "{answer}");
    }

    #[test]
    fn bodies_end_with_the_length_the_chunks_or_the_connection() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready", Some((200, "ready")));
        check("HTTP/1.0 500 Oh\r\n\r\nno", Some((500, "no")));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        check(&format!("{chunked}3\r\nrea\r\n2;x=y\r\ndy\r\n0\r\n\r\n"), Some((200, "ready")));
        check(&format!("{chunked}fffff\r\nrea"), None);
        check(&format!("{chunked}3\r\nrea"), None);
    }

    #[test]
    fn what_is_not_http_is_refused() {
        for answer in ["", "hello", "\r\n\r\n", "SSH-2.0-x\r\n\r\n", "HTTP/1.1 abc\r\n\r\n"] {
            check(answer, None);
        }
        check("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nready", None);
    }
}
