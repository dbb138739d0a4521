use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::super::writer;
use super::{MAX_BYTES, MAX_LINES, Queue};

const SOON: Duration = Duration::from_secs(20);

fn tell(lines: u64) -> String {
    format!("lost {lines}\n")
}

/// A stdout that takes a piece when it is allowed to, and hands it on.
struct Gate {
    allowed: Receiver<Result<(), io::ErrorKind>>,
    taken: Sender<String>,
}

impl io::Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A test that ended allows everything.
        self.allowed.recv().unwrap_or(Ok(()))?;
        let _ = self.taken.send(String::from_utf8(bytes.to_vec()).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Rig {
    queue: Arc<Queue>,
    allow: Sender<Result<(), io::ErrorKind>>,
    taken: Receiver<String>,
}

fn rig() -> Rig {
    let queue = Arc::new(Queue::new(tell));
    let ((allow, allowed), (give, taken)) = (channel(), channel());
    writer::spawn(Arc::clone(&queue), Gate { allowed, taken: give }).unwrap();
    Rig { queue, allow, taken }
}

impl Rig {
    /// All that is written until nothing more comes, with the pipe open.
    fn read_all(self) -> (Arc<Queue>, String) {
        drop(self.allow);
        self.queue.flush(SOON);
        (self.queue, self.taken.try_iter().collect())
    }
}

fn numbers(text: &str) -> Vec<usize> {
    text.lines().filter_map(|line| line.trim().parse().ok()).collect()
}

#[test]
fn lines_come_out_in_order_and_together() {
    let rig = rig();
    for n in 0..MAX_LINES {
        rig.queue.push(format!("{n}\n").as_bytes());
    }
    let (queue, text) = rig.read_all();
    assert_eq!(numbers(&text), (0..MAX_LINES).collect::<Vec<_>>());
    assert_eq!((queue.lost(), queue.errors()), (0, 0));
}

#[test]
fn nobody_waits_for_a_stuck_pipe_and_what_is_lost_is_told_once() {
    let rig = rig();
    let extra = 2_500;
    for n in 0..MAX_LINES + extra {
        rig.queue.push(format!("{n}\n").as_bytes());
    }
    assert_eq!(rig.queue.lost(), extra as u64);
    let (queue, text) = rig.read_all();
    assert_eq!(numbers(&text), (0..MAX_LINES).collect::<Vec<_>>());
    assert!(text.ends_with(&format!("lost {extra}\n")), "{}", &text[text.len() - 40..]);
    assert_eq!(text.matches("lost").count(), 1);
    assert_eq!(queue.lost(), extra as u64);
}

#[test]
fn a_line_after_a_gap_comes_after_the_line_about_it() {
    let rig = rig();
    let line = vec![b'x'; MAX_BYTES / 8];
    for _ in 0..9 {
        rig.queue.push(&line);
    }
    // The ninth did not fit; half of all must be written before the next is taken.
    for _ in 0..3 {
        rig.allow.send(Ok(())).unwrap();
        rig.taken.recv_timeout(SOON).unwrap();
    }
    rig.queue.push(b"in the gap\n");
    assert_eq!(rig.queue.lost(), 2);
    for _ in 0..3 {
        rig.allow.send(Ok(())).unwrap();
        rig.taken.recv_timeout(SOON).unwrap();
    }
    wait(|| rig.queue.lock().bytes <= MAX_BYTES / 2 - 100);
    rig.queue.push(b"after\n");
    let (_, text) = rig.read_all();
    assert!(text.ends_with("lost 2\nafter\n"), "{}", &text[text.len() - 40..]);
}

#[test]
fn what_waits_is_bounded_in_bytes() {
    let rig = rig();
    let line = vec![b'x'; 50_000];
    for _ in 0..1_000 {
        rig.queue.push(&line);
    }
    let state = rig.queue.lock();
    assert!(state.bytes <= MAX_BYTES, "{}", state.bytes);
    let held: usize = state.pieces.iter().map(|piece| piece.bytes.capacity()).sum();
    assert!(held <= 2 * MAX_BYTES, "{held}");
    drop(state);
    assert_eq!(rig.queue.lost(), 1_000 - (MAX_BYTES / line.len()) as u64);
    rig.queue.push(&vec![b'x'; 2 * MAX_BYTES]);
    rig.read_all();
}

#[test]
fn a_closed_stdout_loses_lines_and_is_tried_again_only_for_new_ones() {
    let rig = rig();
    for n in 1..=3_u64 {
        rig.queue.push(b"lost\n");
        rig.allow.send(Err(io::ErrorKind::BrokenPipe)).unwrap();
        // The line about those before is tried first.
        if n > 1 {
            rig.allow.send(Err(io::ErrorKind::BrokenPipe)).unwrap();
        }
        wait(|| rig.queue.lost() == n && rig.queue.lock().bytes == 0);
        assert_eq!(rig.queue.errors(), 2 * n - 1);
    }
    rig.queue.push(b"heard\n");
    let (queue, text) = rig.read_all();
    assert_eq!(text, "lost 3\nheard\n");
    assert_eq!(queue.lost(), 3);
}

#[test]
fn a_flush_waits_for_all_lines_but_not_for_a_stuck_pipe() {
    let rig = rig();
    rig.queue.push(b"one\n");
    let begun = Instant::now();
    rig.queue.flush(Duration::from_millis(50));
    assert!(begun.elapsed() >= Duration::from_millis(50));
    assert!(begun.elapsed() < SOON);
    let (_, text) = rig.read_all();
    assert_eq!(text, "one\n");
}

#[test]
fn lines_of_many_threads_stay_whole() {
    let rig = rig();
    rig.allow.send(Ok(())).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let queue = &rig.queue;
            scope.spawn(move || {
                (0..2_000).for_each(|n| queue.push(format!("{thread} {n:060}\n").as_bytes()));
            });
        }
    });
    let (_, text) = rig.read_all();
    for thread in 0..4 {
        let of: Vec<usize> = text
            .lines()
            .map(|line| line.split_once(' ').unwrap())
            .filter(|(who, _)| who.parse() == Ok(thread))
            .map(|(_, n)| n.parse().unwrap())
            .collect();
        assert_eq!(of, (0..2_000).collect::<Vec<_>>());
    }
}

fn wait(done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < SOON, "it did not happen");
        std::thread::yield_now();
    }
}
