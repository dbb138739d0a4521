//! A client that hides nothing: requests as they are written, answers chunk by chunk.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use culvert_lab::PATIENCE;
use culvert_lab::api_server::ApiServer;
use serde_json::Value;

/// An answer of which the head has been read.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    stream: BufReader<TcpStream>,
}

/// What of a chunked body comes next.
#[derive(Debug, PartialEq)]
pub(crate) enum Chunk {
    Data(String),
    /// The last chunk, as it should be.
    End,
    /// The connection has ended before that.
    Broken,
}

/// Sends a request, with a body if there is one, and reads the head of the answer.
pub(crate) fn send(server: &ApiServer, request: &str, headers: &[&str], body: &str) -> Answer {
    send_to(server.address(), request, headers, body)
}

fn send_to(address: SocketAddr, request: &str, headers: &[&str], body: &str) -> Answer {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let extra: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    let head = format!("{request} HTTP/1.1\r\nHost: lab\r\n{extra}Content-Length: {length}\r\n\r\n");
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut stream = BufReader::new(stream);
    let status = line(&mut stream).split(' ').nth(1).unwrap().parse().unwrap();
    let mut headers = Vec::new();
    loop {
        let header = line(&mut stream);
        let Some((name, value)) = header.split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    Answer { status, headers, stream }
}

/// GETs an object or a list.
pub(crate) fn get(server: &ApiServer, path: &str) -> (u16, Value) {
    let mut answer = send(server, &format!("GET {path}"), &[], "");
    (answer.status, answer.json())
}

/// Starts a watch.
pub(crate) fn watch(server: &ApiServer, path: &str) -> Answer {
    let answer = send(server, &format!("GET {path}"), &[], "");
    assert_eq!(answer.status, 200, "{path}");
    answer
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body of an answer that says how long it is.
    pub(crate) fn text(&mut self) -> String {
        let mut body = vec![0; self.header("content-length").unwrap().parse().unwrap()];
        self.stream.read_exact(&mut body).unwrap();
        String::from_utf8(body).unwrap()
    }

    pub(crate) fn json(&mut self) -> Value {
        serde_json::from_str(&self.text()).unwrap()
    }

    /// The next chunk of a chunked body.
    pub(crate) fn chunk(&mut self) -> Chunk {
        assert_eq!(self.header("transfer-encoding"), Some("chunked"));
        let size = line(&mut self.stream);
        if size.is_empty() {
            return Chunk::Broken;
        }
        let mut data = vec![0; usize::from_str_radix(&size, 16).unwrap() + 2];
        self.stream.read_exact(&mut data).unwrap();
        assert!(data.ends_with(b"\r\n"));
        data.truncate(data.len() - 2);
        if data.is_empty() { Chunk::End } else { Chunk::Data(String::from_utf8(data).unwrap()) }
    }

    /// The next event of a watch: one line, in a chunk of its own.
    pub(crate) fn event(&mut self) -> (String, Value) {
        let Chunk::Data(text) = self.chunk() else { panic!("the watch has ended") };
        assert_eq!(text.find('\n'), Some(text.len() - 1), "{text:?}");
        let mut event: Value = serde_json::from_str(&text).unwrap();
        (event["type"].as_str().unwrap().to_owned(), event["object"].take())
    }

    /// The next event: its type and the object's name.
    pub(crate) fn named(&mut self) -> (String, String) {
        let (kind, object) = self.event();
        (kind, object["metadata"]["name"].as_str().unwrap_or_default().to_owned())
    }

    /// Whether nothing comes for a moment.
    pub(crate) fn is_silent(&mut self) -> bool {
        let socket = self.stream.get_ref();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let silent = self.stream.fill_buf().is_err();
        self.stream.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        silent
    }
}

/// A line without its end; empty when the connection has ended.
fn line(stream: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    match stream.read_line(&mut line) {
        Ok(_) => line.trim_end().to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => String::new(),
        Err(error) => panic!("the server says nothing: {error}"),
    }
}
