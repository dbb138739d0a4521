//! What a watch says, line by line, and how it ends.
//!
//! Lines are read here rather than by the client library: that one passes over lines it cannot read, and with them over changes.

use futures::io::{AsyncBufReadExt as _, AsyncReadExt as _};
use kube::core::WatchEvent;
use tokio::time::{Instant, timeout_at};

use super::{Delta, Followed};
use crate::kubernetes::call::{LONGEST_ANSWER, Reader};
use crate::kubernetes::facts::Relevant;

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
    pub(super) async fn next<T: Followed>(&mut self, relevant: &Relevant) -> Result<Said<T>, End> {
        self.line.clear();
        self.line.shrink_to(USUAL_LINE);
        let mut limited = (&mut self.reader).take(LONGEST_LINE);
        let read = limited.read_until(b'\n', &mut self.line);
        match timeout_at(self.until, read).await {
            Err(_) => Err(End::Silent),
            Ok(Err(_)) => Err(End::Ended),
            Ok(Ok(_)) if self.line.ends_with(b"\n") => said(&self.line, relevant),
            // What the server has not finished it says again to the next watch.
            Ok(Ok(_)) if (self.line.len() as u64) < LONGEST_LINE => Err(End::Ended),
            Ok(Ok(_)) => Err(End::Garbage),
        }
    }
}

fn said<T: Followed>(line: &[u8], relevant: &Relevant) -> Result<Said<T>, End> {
    let event: WatchEvent<T::Wire> = serde_json::from_slice(line).map_err(|_| End::Garbage)?;
    let (delta, version) = match event {
        WatchEvent::Added(wire) | WatchEvent::Modified(wire) => {
            let version = T::version(&wire).to_owned();
            (T::of(wire, relevant).map(Delta::One), version)
        }
        WatchEvent::Deleted(wire) => {
            let version = T::version(&wire).to_owned();
            (T::of(wire, relevant).map(Delta::Gone), version)
        }
        WatchEvent::Bookmark(bookmark) => (None, bookmark.metadata.resource_version),
        WatchEvent::Error(status) if status.code == 410 => return Err(End::Expired),
        WatchEvent::Error(status) => return Err(End::Failed { message: status.message }),
    };
    if version.is_empty() { Err(End::Garbage) } else { Ok(Said { delta, version }) }
}
