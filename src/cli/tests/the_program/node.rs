//! A node that says little, or nothing at all.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// A node that answers each request with what `answer` makes of its path, or not at all.
pub(crate) fn start(answer: fn(&str) -> Option<String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || serve(stream.unwrap(), answer));
        }
    });
    address
}

fn serve(mut stream: TcpStream, answer: fn(&str) -> Option<String>) {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(length) = stream.read(&mut piece)
        && length > 0
    {
        request.extend_from_slice(&piece[..length]);
        let text = String::from_utf8_lossy(&request).into_owned();
        if !text.contains("\r\n\r\n") {
            continue;
        }
        let path = text.split(' ').nth(1).unwrap_or_default();
        if let Some(body) = answer(path) {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = stream.write_all((head + &body).as_bytes());
        }
        request.clear();
    }
}

/// What a node says that has nothing to serve, and blames a policy for all connections but good ones.
pub(crate) fn well(path: &str) -> Option<String> {
    let culprit = if path.contains("good") { "nobody" } else { "policy" };
    let verdict = format!(r#"{{"culprit":"{culprit}","sentence":"so it is","evidence":[]}}"#);
    let why = format!(r#"{{"question":{{"about":"connection","id":"a"}},"steps":[],"verdict":{verdict}}}"#);
    let node = r#"{"name":"node-a","version":"0","network":"","started":"2026-03-01T12:00:00Z","ready":true,"pending":[],
        "xds":{"state":"up"},"ca":{"state":"up"},"workloads":0,"services":0,"policies":0,"logFilter":"info","droppedLogLines":0,
        "pods":0,"open":0,"tunnels":0}"#;
    Some(match path.split('?').next().unwrap_or_default() {
        path if path.ends_with("/why") => why,
        "/v1/node" => node.to_owned(),
        _ => r#"{"items":[]}"#.to_owned(),
    })
}
