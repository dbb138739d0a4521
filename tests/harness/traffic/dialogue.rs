//! A client's side of a connection, and what has to be said of how it went.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::line::{End, Line};
use super::pattern::{Direction, Pattern};
use super::words::{Header, LINE, read_answer, trailer};

/// How a client behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Sends and reads at the same time, then ends its half.
    AtOnce,
    /// Rests this long in the middle of sending and before it reads.
    Slow(Duration),
    /// Resets the connection after having sent so many bytes.
    Leaves(u64),
}

/// What is to be said.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) header: Header,
    pub(crate) manner: Manner,
}

/// How a connection went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As planned: all bytes, or the reset that was asked for. By whom it was answered.
    AsPlanned(String),
    /// It ended before anybody answered.
    Unanswered(End),
    /// It ended too early, and said so.
    Broken(String, End),
    /// Something that must not happen, by whom it was answered, if it was.
    Wrong(Option<String>, String),
}

/// Pieces that are written at once: larger than any frame or record in between.
const PIECE: usize = 64 * 1024;
pub(super) const RESET: End = End::Broken(std::io::ErrorKind::ConnectionReset);
/// A thread that sends does little.
const STACK: usize = 256 * 1024;

/// Speaks as planned.
pub(crate) fn speak(stream: &TcpStream, plan: &Plan, deadline: Instant) -> Outcome {
    let over = AtomicBool::new(false);
    let line = Line { stream, deadline, over: &over };
    if Line::tick(stream).is_err() {
        return Outcome::Unanswered(End::Over);
    }
    let (mut name, mut left) = (None, 0);
    let heard = thread::scope(|scope| {
        let sending = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || send(line, plan));
        let sending = sending.expect("a thread can be started");
        let heard = listen(line, plan, &mut name, &mut left);
        over.store(heard.is_err(), Ordering::Relaxed);
        match sending.join() {
            // The kernel tells one of the two of a reset, and the other one that it is over.
            Ok(Err(end)) if end == RESET && matches!(heard, Err(Heard::Ended(_))) => Err(Heard::End(end)),
            Ok(_) | Err(_) => heard,
        }
    });
    judge(line, plan, heard, name)
}

/// Sends what is planned.
fn send(line: Line<'_>, plan: &Plan) -> Result<(), End> {
    let sent = (|| {
        line.write(&plan.header.line())?;
        let (mut left, mut pattern) = (plan.header.up, plan.up());
        if let Manner::Leaves(after) = plan.manner {
            left = left.min(after);
        }
        while left > 0 {
            if let Manner::Slow(rest) = plan.manner
                && left <= plan.header.up / 2
                && left + PIECE as u64 > plan.header.up / 2
            {
                line.pause(rest)?;
            }
            let piece = pattern.next(usize::try_from(left).map_or(PIECE, |left| left.min(PIECE)));
            line.write(piece)?;
            left -= piece.len() as u64;
        }
        Ok::<_, End>(())
    })();
    match (sent, plan.manner) {
        (Ok(()), Manner::Leaves(_)) => {
            line.reset_on_close();
            line.over.store(true, Ordering::Relaxed);
        }
        (Ok(()), Manner::AtOnce | Manner::Slow(_)) => line.end_sending(),
        (Err(_), _) => {}
    }
    sent
}

/// Why listening ended before all had come.
enum Heard {
    End(End),
    /// In order, but too early.
    Ended(String),
    Wrong(String),
}

impl From<End> for Heard {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

/// Reads the answer, the bytes, the trailer and the end.
fn listen(line: Line<'_>, plan: &Plan, name: &mut Option<String>, read: &mut u64) -> Result<(), Heard> {
    let mut first = [0; LINE];
    let length = line.read_all(&mut first)?;
    if length < LINE {
        return Err(Heard::Ended(format!("it ended in order after {length} bytes of the answer")));
    }
    let Some((nonce, said)) = read_answer(&first) else {
        return Err(Heard::Wrong(format!("`{}` is no answer", first.escape_ascii())));
    };
    *name = Some(said);
    if nonce != plan.header.nonce {
        return Err(Heard::Wrong(format!("the answer is to connection {nonce:016x}")));
    }
    if let Manner::Slow(rest) = plan.manner {
        line.pause(rest)?;
    }
    let (mut pattern, mut buffer) = (plan.down(), vec![0; PIECE]);
    while *read < plan.header.down {
        let most = usize::try_from(plan.header.down - *read).map_or(PIECE, |left| left.min(PIECE));
        let length = line.read(&mut buffer[..most])?;
        if length == 0 {
            return Err(Heard::Ended(format!(
                "it ended in order after {read} of {} bytes",
                plan.header.down
            )));
        }
        if let Err(place) = pattern.check(&buffer[..length]) {
            return Err(Heard::Wrong(format!("byte {} is not the one that was sent", *read + place as u64)));
        }
        *read += length as u64;
    }
    let mut last = [0; LINE];
    let length = line.read_all(&mut last)?;
    if length < LINE {
        return Err(Heard::Ended(format!("it ended in order after {length} bytes of the trailer")));
    }
    if last != trailer(plan.header.privacy, plan.header.nonce)[..] {
        return Err(Heard::Wrong("the trailer is not the one that was sent".to_owned()));
    }
    if line.read(&mut last)? > 0 {
        return Err(Heard::Wrong("there are more bytes than were sent".to_owned()));
    }
    Ok(())
}

fn judge(line: Line<'_>, plan: &Plan, heard: Result<(), Heard>, name: Option<String>) -> Outcome {
    let end = match heard {
        Ok(()) => return Outcome::AsPlanned(name.unwrap_or_default()),
        Err(Heard::Ended(what) | Heard::Wrong(what)) => {
            line.reset_on_close();
            return Outcome::Wrong(name, what);
        }
        Err(Heard::End(end)) => end,
    };
    line.reset_on_close();
    let is_reset = end == RESET;
    match (end, name) {
        (End::Late, name) => Outcome::Wrong(name, "it hung beyond its deadline".to_owned()),
        (End::Over, name) if matches!(plan.manner, Manner::Leaves(_)) => {
            Outcome::AsPlanned(name.unwrap_or_default())
        }
        (_, Some(name)) if is_reset && plan.header.reset_after.is_some() => Outcome::AsPlanned(name),
        (end, Some(name)) => Outcome::Broken(name, end),
        (end, None) => Outcome::Unanswered(end),
    }
}

impl Plan {
    fn up(&self) -> Pattern {
        Pattern::new(self.header.privacy, self.header.nonce, Direction::ToServer)
    }

    fn down(&self) -> Pattern {
        Pattern::new(self.header.privacy, self.header.nonce, Direction::ToClient)
    }
}
