//! Nobody waits for whoever reads the log: a container runtime that has stopped reading, or has gone, costs lines, which are
//! counted, and nothing else.

use std::io::{BufRead as _, BufReader, PipeReader, pipe};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use culvert_lab::{Program, http};
use serde_json::Value;

use crate::harness::cluster::{Cluster, ECHO};
use crate::harness::metrics::counter;
use crate::harness::talk::{SOON, assert_echo};

/// Who is web.default.svc.cluster.local?
const QUERY: &[u8] =
    b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x03web\x07default\x03svc\x07cluster\x05local\0\0\x01\0\x01";
/// What waits to be written, at most.
const QUEUE: usize = 10_000;
/// How long a node may take to end after its connections.
const PARTING: Duration = Duration::from_secs(4);

/// A cluster whose first node writes its log to a pipe, as JSON.
struct Rig {
    cluster: Cluster,
    proxy: Program,
    pipe: PipeReader,
}

fn rig(name: &str) -> Rig {
    let cluster = Cluster::without_mesh(name).unwrap();
    let lab = &cluster.lab;
    lab.enrol_all(&[&cluster.client, &cluster.neighbour, &cluster.server]).unwrap();
    lab.start_control().unwrap();
    lab.start_agent(&cluster.one).unwrap();
    lab.start_agent(&cluster.two).unwrap();
    let (reader, writer) = pipe().unwrap();
    let launch =
        lab.node_launch(&cluster.one).unwrap().env("LOG_FORMAT", "json").env("RUST_LOG", "info,dns=debug");
    let proxy = lab.start_node_as(&cluster.one, launch.stdout(writer)).unwrap();
    lab.start_node(&cluster.two).unwrap();
    lab.wait_until(SOON, "the pods are captured", || {
        cluster.client.is_captured().unwrap() && cluster.server.is_captured().unwrap()
    })
    .unwrap();
    Rig { cluster, proxy, pipe: reader }
}

impl Rig {
    /// Makes connections, four at a time, and asserts that each is served.
    fn connect(&self, times: usize) {
        let (to, slowest) = ((self.cluster.outsider.ip4(), ECHO), Mutex::new(Duration::ZERO));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..times / 4 {
                        let begun = Instant::now();
                        assert_echo(&self.cluster.client, to, b"not held up");
                        let mut slowest = slowest.lock().unwrap();
                        *slowest = slowest.max(begun.elapsed());
                    }
                });
            }
        });
        let slowest = slowest.into_inner().unwrap();
        assert!(slowest < Duration::from_secs(5), "one of {times} connections took {slowest:?}");
    }

    /// Asks for the address of a service so many times: a line each.
    fn ask(&self, times: usize) {
        let socket = self.cluster.client.udp(([10, 96, 0, 10], 53), SOON).unwrap();
        let mut answer = [0; 512];
        for _ in 0..times {
            socket.send(QUERY).unwrap();
            let length = socket.recv(&mut answer).unwrap();
            let [_, _, flags, code, _, _, _, answers, ..] = answer[..length] else { panic!("{answer:?}") };
            assert_eq!((flags & 0x80, code & 0x0f, answers), (0x80, 0, 1), "{answer:?}");
        }
    }

    fn assert_ready(&self) {
        let answer = http::get(self.cluster.one.netns(), ([127, 0, 0, 1], 15021), "/healthz/ready").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Asks the node to end, and asserts that it does, and soon.
    fn end(&self) {
        let begun = Instant::now();
        let status = self.proxy.stop().unwrap();
        assert!(status.success(), "{status}: {}", self.proxy.log_text());
        assert!(begun.elapsed() < PARTING, "it took {:?} to end", begun.elapsed());
    }
}

/// Reads lines until one of them is wanted; gives that one and how many there were about connections and queries.
fn read_until(lines: &Receiver<Value>, wanted: impl Fn(&Value) -> bool) -> (Value, usize) {
    let mut logged = 0;
    loop {
        let line = lines
            .recv_timeout(SOON)
            .unwrap_or_else(|error| panic!("{error} after {logged} connections and queries"));
        logged += usize::from(line["scope"] == "access" || line["scope"] == "dns");
        if wanted(&line) {
            return (line, logged);
        }
    }
}

/// All lines that come, each a JSON object.
fn lines(pipe: PipeReader) -> Receiver<Value> {
    let (send, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            let line = line.unwrap();
            let value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            if send.send(value).is_err() {
                return;
            }
        }
    });
    lines
}

#[test]
fn connections_go_on_and_what_was_lost_is_told_when_somebody_reads_again() {
    let rig = rig("log-stuck");
    let connections = 2_000;
    rig.connect(connections / 2);
    // More than fit into the pipe and the queue.
    rig.ask(QUEUE);
    rig.connect(connections / 2);
    rig.assert_ready();
    let times = connections + QUEUE;
    let Rig { cluster, proxy, pipe } = rig;
    let lines = lines(pipe);
    let told =
        |line: &Value| line["message"].as_str().is_some_and(|text| text.starts_with("log lines were lost"));
    let (line, logged) = read_until(&lines, told);
    assert_eq!(line["level"], "warn", "{line}");
    let lost = usize::try_from(line["lines"].as_u64().unwrap()).unwrap();
    // A line of something else may be lost as well.
    let (least, most) = (times - logged, times - logged + 50);
    let counted = usize::try_from(counter(&cluster.one, "culvert_log_lines_dropped_total", &[])).unwrap();
    assert_eq!(counted, lost, "{line}");
    assert!(logged >= QUEUE && (least..=most).contains(&lost), "{logged} of {times} logged, {line}");

    let stream = cluster.client.connect((cluster.outsider.ip4(), ECHO), SOON).unwrap();
    let own = stream.local_addr().unwrap().to_string();
    drop(stream);
    read_until(&lines, |line| line["message"] == "connection complete" && line["src.addr"] == own.as_str());
    assert!(proxy.stop().unwrap().success());
    assert_eq!(lines.iter().filter(told).count(), 0, "one gap is told of once");
}

#[test]
fn a_node_ends_while_its_log_is_stuck() {
    let rig = rig("log-stuck-end");
    rig.ask(1_000);
    rig.end();
}

#[test]
fn a_node_lives_on_when_nobody_is_there_to_read() {
    let mut rig = rig("log-closed");
    let (unused, _) = pipe().unwrap();
    drop(std::mem::replace(&mut rig.pipe, unused));
    rig.connect(400);
    rig.assert_ready();
    assert!(rig.proxy.is_running());
    let count = |name| counter(&rig.cluster.one, name, &[]);
    let counted =
        || count("culvert_log_lines_dropped_total") >= 400 && count("culvert_log_write_errors_total") > 0;
    rig.cluster.lab.wait_until(SOON, "the lines that nobody took are counted", counted).unwrap();
    rig.end();
}
