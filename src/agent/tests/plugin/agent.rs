//! An agent with the manners a test wants.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// How the agent behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Manners {
    /// Says hello, and answers all questions with this status and body.
    Answers(u16, &'static str),
    /// Accepts and says nothing.
    Silent,
    /// Closes each connection.
    Closes,
    /// Says hello, takes the question, and closes.
    DiesAsked,
    /// Is an HTTP server that has never heard of all this.
    Elsewhere,
    /// Has left its socket behind.
    Gone,
}

type Requests = Arc<Mutex<Vec<(String, Value)>>>;

/// The agent, until it is dropped.
pub(crate) struct Agent {
    path: PathBuf,
    requests: Requests,
    over: Arc<AtomicBool>,
}

impl Agent {
    pub(crate) fn at(path: &Path, manners: Manners) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let agent = Self { path: path.to_owned(), requests: Requests::default(), over: Arc::default() };
        if matches!(manners, Manners::Gone) {
            return agent;
        }
        let (requests, over) = (Arc::clone(&agent.requests), Arc::clone(&agent.over));
        thread::spawn(move || {
            // Held, so that they stay open.
            let mut silent = Vec::new();
            while let Ok((stream, _)) = listener.accept() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                match manners {
                    Manners::Silent => silent.push(stream),
                    Manners::Closes | Manners::Gone => {}
                    Manners::Answers(..) | Manners::DiesAsked | Manners::Elsewhere => {
                        // The plugin may go away at any time.
                        let _ = serve(&stream, manners, &requests);
                    }
                }
            }
        });
        agent
    }

    pub(crate) fn requests(&self) -> Vec<(String, Value)> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn take_requests(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = UnixStream::connect(&self.path);
        let _ = fs::remove_file(&self.path);
    }
}

fn serve(stream: &UnixStream, manners: Manners, requests: &Requests) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = Vec::new();
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            head.push(line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let path = head[0].split(' ').nth(1).unwrap().to_owned();
        let (status, answer) = match manners {
            Manners::Elsewhere => (404, "not found"),
            _ if path == "/v1/hello" => (200, ""),
            Manners::Answers(status, answer) => {
                requests.lock().unwrap().push((path, serde_json::from_slice(&body).unwrap()));
                (status, answer)
            }
            Manners::Silent | Manners::Closes | Manners::DiesAsked | Manners::Gone => return Ok(()),
        };
        write!(&mut &*stream, "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{answer}", answer.len())?;
    }
}
