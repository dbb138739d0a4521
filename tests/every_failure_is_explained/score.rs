//! The table: what was broken, who was expected to be named, and who was.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use culvert_lab::{Node, Pod, wait_for};
use serde_json::Value;

use crate::harness::talk::{Ending, exchange_on};
use crate::harness::v1::{list, of, read};

/// Longer than any deadline of a node after which a connection is given up.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// All answers so far.
#[derive(Default)]
pub(super) struct Score(Mutex<Vec<Row>>);

/// One question and its answer.
struct Row {
    fault: &'static str,
    asked: String,
    expected: &'static str,
    said: String,
    sentence: String,
    /// Who else was named before the last answer.
    meanwhile: Vec<String>,
}

/// Something that is broken on purpose, and who shall be named for it.
#[derive(Clone, Copy)]
pub(super) struct Fault<'s> {
    score: &'s Score,
    name: &'static str,
    expected: &'static str,
}

/// How a connection is recognised at a node.
#[derive(Debug, Clone)]
pub(super) enum Which {
    From(SocketAddr),
    Trace(String),
    /// By what it asks a tunnel's end for.
    Asking(SocketAddr),
}

/// A thing to break, and how to ask about it.
pub(super) type Case<'c> = (&'static str, &'static str, Box<dyn Fn(Fault<'_>) + Send + Sync + 'c>);

/// Something to break and ask about.
pub(super) fn case<'c>(
    name: &'static str,
    expected: &'static str,
    run: impl Fn(Fault<'_>) + Send + Sync + 'c,
) -> Case<'c> {
    (name, expected, Box::new(run))
}

impl Score {
    /// Breaks things at the same time; one that cannot be tried counts as an answer that is wrong.
    pub(super) fn run(&self, cases: &[Case<'_>]) {
        std::thread::scope(|scope| {
            for (name, expected, run) in cases {
                let fault = Fault { score: self, name, expected };
                scope.spawn(move || {
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(fault))) {
                        let text = panic.downcast_ref::<String>().cloned();
                        let text =
                            text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                        fault.note("-", "could not be asked", &text.unwrap_or_default(), Vec::new());
                    }
                });
            }
        });
    }

    /// The table, and how many questions there were and how many answers were right.
    pub(super) fn table(&self) -> (String, usize, usize) {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for row in &*rows {
            let mark = if row.is_right() { "  " } else { "! " };
            let _ = writeln!(
                text,
                "{mark}{:58} {:10} {:12} {:12} {}",
                row.fault, row.asked, row.expected, row.said, row.sentence
            );
            if !row.meanwhile.is_empty() {
                let _ = writeln!(text, "  (said before: {:?})", row.meanwhile);
            }
        }
        (text, rows.len(), rows.iter().filter(|row| row.is_right()).count())
    }

    /// Answers that wrong the mesh, or somebody of it for what others have done.
    pub(super) fn slander(&self) -> Vec<String> {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let said = |row: &Row, who: &str| row.said == who || row.meanwhile.iter().any(|it| it == who);
        let others = ["network", "firewall", "client", "server", "nobody"];
        let wronged = |row: &&Row| {
            let own = ["nodeMissing", "staleConfig", "policy"].iter().any(|who| said(row, who));
            said(row, "mesh") || (own && others.contains(&row.expected))
        };
        rows.iter()
            .filter(wronged)
            .map(|row| format!("{}: {} {:?}", row.fault, row.said, row.meanwhile))
            .collect()
    }
}

impl Row {
    fn is_right(&self) -> bool {
        self.said == self.expected && self.meanwhile.is_empty()
    }
}

impl Fault<'_> {
    /// Asks a node why a connection that is over ended as it did; gives what it says.
    #[track_caller]
    pub(super) fn ended(&self, node: &Node, pod: &Pod, which: &Which) -> Value {
        let record = find(node, pod, "recent", which);
        let why = why(node, &record);
        self.note_verdict(node, &why, Vec::new());
        why
    }

    /// The same at both ends, told apart by where they are.
    #[track_caller]
    pub(super) fn ended_at_both(&self, [one, other]: [(&Node, &Pod); 2], from: SocketAddr) {
        let which = Which::From(from);
        self.ended(one.0, one.1, &which);
        let there = find(one.0, one.1, "recent", &which);
        self.ended(other.0, other.1, &trace(&there));
    }

    /// Asks about one that lives, until the answer is what it should be; nobody else may be named meanwhile.
    #[track_caller]
    pub(super) fn live(&self, node: &Node, pod: &Pod, which: &Which) -> Which {
        let record = find(node, pod, "connections", which);
        let begun = Instant::now();
        let mut meanwhile = Vec::new();
        loop {
            let why = why(node, &record);
            let said = why["verdict"]["culprit"].as_str().unwrap_or_default().to_owned();
            if said == self.expected || begun.elapsed() > Duration::from_secs(12) {
                self.note_verdict(node, &why, meanwhile);
                return trace(&record);
            }
            if !["nobody", "unknown"].contains(&said.as_str()) && !meanwhile.contains(&said) {
                meanwhile.push(said);
            }
            // A question a moment later is another one.
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The same at both ends.
    #[track_caller]
    pub(super) fn live_at_both(&self, [one, other]: [(&Node, &Pod); 2], from: SocketAddr) {
        let trace = self.live(one.0, one.1, &Which::From(from));
        self.live(other.0, other.1, &trace);
    }

    /// Asks a node what would become of a connection, and gives what it says.
    #[track_caller]
    pub(super) fn would(&self, node: &Node, source: &str, destination: &str) -> Value {
        let why = read(node, &format!("why?source={source}&destination={destination}"));
        self.note_verdict(node, &why, Vec::new());
        why
    }

    fn note_verdict(&self, node: &Node, why: &Value, meanwhile: Vec<String>) {
        let verdict = &why["verdict"];
        let text = |key: &str| verdict[key].as_str().unwrap_or_default().to_owned();
        let evidence = verdict["evidence"][0].as_str().unwrap_or_default();
        let sentence = format!("{} [{evidence}]", text("sentence"));
        self.note(node.name(), &text("culprit"), &sentence, meanwhile);
    }

    fn note(&self, asked: &str, said: &str, sentence: &str, meanwhile: Vec<String>) {
        let (asked, said, sentence) = (asked.to_owned(), said.to_owned(), sentence.to_owned());
        let row = Row { fault: self.name, asked, expected: self.expected, said, sentence, meanwhile };
        self.score.0.lock().unwrap_or_else(PoisonError::into_inner).push(row);
    }
}

/// Waits until both ends know of a connection.
#[track_caller]
pub(super) fn known_at_both([one, other]: [(&Node, &Pod); 2], from: SocketAddr) {
    let there = find(one.0, one.1, "connections", &Which::From(from));
    find(other.0, other.1, "connections", &trace(&there));
}

/// Who the same connection is at the other node.
fn trace(record: &Value) -> Which {
    Which::Trace(record["trace"].as_str().unwrap_or_default().to_owned())
}

/// Waits for a connection in one of a node's lists.
#[track_caller]
fn find(node: &Node, pod: &Pod, path: &str, which: &Which) -> Value {
    let is_it = |record: &Value| match which {
        Which::From(from) => record["source"]["address"] == from.to_string(),
        Which::Asking(authority) => record["authority"] == authority.to_string(),
        Which::Trace(trace) => record["trace"] == trace.as_str(),
    };
    let what = format!("{which:?} of {} is in {path} of {}", pod.name(), node.name());
    let look = || list(node, &format!("{path}?{}&limit=500", of(pod))).into_iter().find(is_it);
    wait_for(PATIENCE, &what, look).unwrap_or_else(|error| {
        let all: Vec<_> = list(node, &format!("{path}?{}&limit=500", of(pod)))
            .iter()
            .map(|it| format!("{} {} {}", it["source"]["address"], it["stage"], it["originalDestination"]))
            .collect();
        panic!("{error}: there are {all:?}")
    })
}

#[track_caller]
fn why(node: &Node, record: &Value) -> Value {
    read(node, &format!("connections/{}/why", record["id"].as_str().unwrap()))
}

/// A port of the caller's that nobody has used: below those the kernel chooses.
pub(super) fn fresh_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Calls, says something, and reads to the end, whatever that is; gives where the call came from.
pub(super) fn call(from: &Pod, to: impl Into<SocketAddr>) -> (SocketAddr, Ending) {
    let port = fresh_port();
    let ending = match from.connect_from(port, to, PATIENCE) {
        Ok(stream) => exchange_on(stream, b"let me in"),
        Err(error) => Ending::of(&error),
    };
    ((from.ip4(), port).into(), ending)
}

/// [`call`], for one that must not succeed.
#[track_caller]
pub(super) fn fail(from: &Pod, to: impl Into<SocketAddr>) -> SocketAddr {
    let (own, ending) = call(from, to);
    assert!(!matches!(ending, Ending::Complete(ref bytes) if bytes == b"let me in"), "it was not broken");
    own
}

/// A connection that stays.
#[track_caller]
pub(super) fn open(from: &Pod, to: impl Into<SocketAddr>) -> (SocketAddr, std::net::TcpStream) {
    let port = fresh_port();
    let stream = from.connect_from(port, to, PATIENCE).unwrap();
    ((from.ip4(), port).into(), stream)
}
