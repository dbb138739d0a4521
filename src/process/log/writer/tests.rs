use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};

use super::Writer;

/// Takes what it is told to, call by call; everything when nothing was said.
#[derive(Default)]
struct Fickle {
    calls: VecDeque<Result<usize, ErrorKind>>,
    got: String,
}

impl Write for Fickle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let take = match self.calls.pop_front() {
            Some(Err(kind)) => return Err(kind.into()),
            Some(Ok(most)) => most.min(bytes.len()),
            None => bytes.len(),
        };
        self.got.push_str(std::str::from_utf8(&bytes[..take]).unwrap());
        Ok(take)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn writer(calls: impl Into<VecDeque<Result<usize, ErrorKind>>>) -> Writer<Fickle> {
    Writer { out: Fickle { calls: calls.into(), got: String::new() }, torn: false }
}

#[test]
fn what_is_taken_in_parts_arrives_whole() {
    let mut writer = writer([
        Ok(1),
        Err(ErrorKind::Interrupted),
        Ok(3),
        Err(ErrorKind::WouldBlock),
        Err(ErrorKind::WouldBlock),
        Ok(2),
    ]);
    assert_eq!(writer.write(b"one\ntwo\n"), Ok(()));
    assert_eq!(writer.out.got, "one\ntwo\n");
}

#[test]
fn lines_that_were_not_written_whole_are_counted() {
    assert_eq!(writer([Err(ErrorKind::BrokenPipe)]).write(b"one\ntwo\n"), Err(2));
    assert_eq!(writer([Ok(4), Err(ErrorKind::StorageFull)]).write(b"one\ntwo\n"), Err(1));
    assert_eq!(writer([Ok(5), Err(ErrorKind::StorageFull)]).write(b"one\ntwo\n"), Err(1));
    assert_eq!(writer([Ok(0)]).write(b"one\ntwo\n"), Err(2));
}

#[test]
fn what_follows_a_torn_line_begins_a_line() {
    let mut writer = writer([Ok(5), Err(ErrorKind::StorageFull), Err(ErrorKind::StorageFull)]);
    assert_eq!(writer.write(b"one\ntwo\n"), Err(1));
    assert_eq!(writer.write(b"three\n"), Err(1));
    assert_eq!(writer.write(b"four\n"), Ok(()));
    assert_eq!(writer.out.got, "one\nt\nfour\n");
}
