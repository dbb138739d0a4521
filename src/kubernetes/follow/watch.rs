//! What a watch says, line by line, and how it ends.
//!
//! Lines are read here rather than by the client library: that one passes over lines it cannot read, and with them over changes.

use futures::io::{AsyncBufReadExt as _, AsyncReadExt as _};
use kube::core::Status;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use super::Delta;
use crate::call::{LONGEST_ANSWER, Reader};

/// One object, and a little around it.
const LONGEST_LINE: u64 = LONGEST_ANSWER + 1024;

/// What is kept of the memory for a line.
const USUAL_LINE: usize = 64 << 10;

/// A watch that is open.
pub(super) struct Watch {
    reader: Reader,
    until: Instant,
    line: Vec<u8>,
}

/// One thing it says.
pub(super) struct Said<T> {
    /// What has changed, if anything.
    pub(super) delta: Option<Delta<T>>,
    /// All changes up to this version have been told.
    pub(super) version: String,
}

/// How it has ended.
#[derive(Debug)]
pub(super) enum End {
    /// By the server, or because the connection broke.
    Ended,
    /// It should have ended by itself.
    Silent,
    /// The server has forgotten what came after the version.
    Expired,
    /// It says something that cannot be understood.
    Garbage,
    /// The server says that something is wrong.
    Failed { message: String },
}

impl End {
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Silent => "silent",
            Self::Expired => "expired",
            Self::Garbage => "garbage",
            Self::Failed { .. } => "error",
        }
    }

    /// Whether another watch may go on where this one was.
    pub(super) fn leaves_nothing_out(&self) -> bool {
        match self {
            Self::Ended | Self::Silent => true,
            Self::Expired | Self::Garbage | Self::Failed { .. } => false,
        }
    }
}

impl Watch {
    pub(super) fn new(reader: Reader, until: Instant) -> Self {
        Self { reader, until, line: Vec::new() }
    }

    /// The next thing it says.
    pub(super) async fn next<W: DeserializeOwned, T>(
        &mut self,
        keep: impl Fn(W) -> Option<T>,
    ) -> Result<Said<T>, End> {
        self.line.clear();
        self.line.shrink_to(USUAL_LINE);
        let mut limited = (&mut self.reader).take(LONGEST_LINE);
        let read = limited.read_until(b'\n', &mut self.line);
        match timeout_at(self.until, read).await {
            Err(_) => Err(End::Silent),
            Ok(Err(_)) => Err(End::Ended),
            Ok(Ok(_)) if self.line.ends_with(b"\n") => said(&self.line, keep),
            // What the server has not finished it says again to the next watch.
            Ok(Ok(_)) if (self.line.len() as u64) < LONGEST_LINE => Err(End::Ended),
            Ok(Ok(_)) => Err(End::Garbage),
        }
    }
}

/// One line.
#[derive(Deserialize)]
struct Event<'l> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    object: &'l RawValue,
}

/// What is read of every object, whatever it is.
#[derive(Deserialize)]
struct Head {
    metadata: HeadMeta,
}

#[derive(Deserialize)]
struct HeadMeta {
    #[serde(rename = "resourceVersion")]
    version: String,
}

fn said<W: DeserializeOwned, T>(line: &[u8], keep: impl Fn(W) -> Option<T>) -> Result<Said<T>, End> {
    let event: Event<'_> = serde_json::from_slice(line).map_err(|_| End::Garbage)?;
    let kept = || read(event.object).map(&keep);
    let delta = match event.kind.as_str() {
        "ADDED" | "MODIFIED" => kept()?.map(Delta::One),
        "DELETED" => kept()?.map(Delta::Gone),
        "BOOKMARK" => None,
        "ERROR" => return Err(failed(read(event.object)?)),
        _ => return Err(End::Garbage),
    };
    let version = read::<Head>(event.object)?.metadata.version;
    if version.is_empty() { Err(End::Garbage) } else { Ok(Said { delta, version }) }
}

fn read<T: DeserializeOwned>(object: &RawValue) -> Result<T, End> {
    serde_json::from_str(object.get()).map_err(|_| End::Garbage)
}

fn failed(status: Status) -> End {
    if status.code == 410 { End::Expired } else { End::Failed { message: status.message } }
}
