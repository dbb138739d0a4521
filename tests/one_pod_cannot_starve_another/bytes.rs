//! Memory for bytes that nobody reads.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use culvert_lab::{Behaviour, Pod, bulk};
use culvert_sys::tcp;
use serde_json::Value;

use super::{hits, limit};
use crate::harness::cluster::{BULK, Cluster, ECHO};
use crate::harness::kernel::belongings;
use crate::harness::talk::{SOON, assert_alive, assert_echo};
use crate::harness::v1;

/// Bytes that nobody reads: connections whose other end takes nothing, each with more than the kernel keeps.
struct Unread {
    open: Vec<TcpStream>,
    reset: usize,
}

impl Unread {
    /// Opens so many connections to an application that takes nothing.
    fn begin(from: &Pod, to: SocketAddr, many: usize) -> Self {
        let open = |_| {
            let stream = from.connect(to, SOON).unwrap();
            stream.set_nonblocking(true).unwrap();
            // An end would be kept for whoever reads it, with all that came before.
            tcp::reset_on_close(&stream).unwrap();
            stream
        };
        Self { open: (0..many).map(open).collect(), reset: 0 }
    }

    /// Sends as much as goes, and says how much that is.
    fn go_on(&mut self) -> usize {
        let (piece, before, mut sent) = ([7; 64 * 1024], self.open.len(), 0);
        self.open.retain_mut(|stream| {
            let why = loop {
                match stream.write(&piece) {
                    Ok(written) => sent += written,
                    Err(why) => break why.kind(),
                }
            };
            let is_full = why == ErrorKind::WouldBlock;
            let is_reset = matches!(why, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
            assert!(is_full || is_reset, "{why:?}");
            is_full
        });
        self.reset += before - self.open.len();
        sent
    }
}

/// Something that is slow to read, from `one` pod to another; what came so far is given with the rest.
struct Slow {
    sending: JoinHandle<bulk::Digest>,
    reader: TcpStream,
    read: Vec<u8>,
}

impl Slow {
    fn begin(from: &Pod, to: &Pod) -> Self {
        const PORT: u16 = 7900;
        let listener = to.listen(PORT).unwrap();
        let mut sender = from.connect((to.ip4(), PORT), SOON).unwrap();
        let (reader, _) = listener.accept().unwrap();
        reader.set_read_timeout(Some(SOON)).unwrap();
        let sending = std::thread::spawn(move || {
            let sent = bulk::send(&mut sender, BULK).unwrap();
            sender.shutdown(Shutdown::Write).unwrap();
            sent
        });
        Self { sending, reader, read: Vec::new() }
    }

    /// Reads a little.
    fn go_on(&mut self) {
        let mut piece = [0; 4096];
        let length = self.reader.read(&mut piece).unwrap();
        assert_ne!(length, 0, "there is more to come");
        self.read.extend_from_slice(&piece[..length]);
    }

    fn reads_the_rest(mut self) {
        let received = bulk::receive(&mut self.read.chain(&mut self.reader)).unwrap();
        assert_eq!(received, self.sending.join().unwrap());
    }
}

#[test]
fn bytes_nobody_reads_take_no_memory_from_other_pods_and_peers() {
    const ENOUGH: usize = 5;
    const MEMORY: u64 = 4 << 20;
    let settings = [("CULVERT_MOST_BUFFERED_BYTES", "4194304"), ("HTTP2_STREAM_WINDOW_SIZE", "65536")];
    let cluster = Cluster::start_with("starve-bytes", &settings).unwrap();
    let Cluster { lab, one, two, client: attacked, neighbour: other, server: attacker, .. } = &cluster;
    let silent = lab.serve(attacked, 0, Behaviour::Silent).unwrap().port();
    let mut slow = Slow::begin(attacker, other);
    let mut honest = other.connect((attacked.ip4(), ECHO), SOON).unwrap();
    let mut unread = Unread::begin(attacker, (attacked.ip4(), silent).into(), 60);
    let others_go_on = || {
        let _ = unread.go_on();
        slow.go_on();
        assert_alive(&mut honest, b"of the same pod, and somebody else's");
        unread.reset >= ENOUGH
    };
    lab.wait_until(Duration::from_secs(60), "what has no place is reset", others_go_on).unwrap();
    for name in ["buffered_bytes", "buffered_bytes_of_a_pod", "buffered_bytes_of_a_peer"] {
        let shown = limit(one, name);
        let [most, in_use, highest] = ["most", "inUse", "highest"].map(|key| shown[key].as_u64().unwrap());
        assert!(0 < in_use && in_use <= highest && highest <= MEMORY && most <= MEMORY, "{shown}");
    }
    let shown = limit(one, "buffered_bytes_of_a_peer");
    assert!(shown["hits"].as_u64() >= Some(ENOUGH as u64), "{shown}");
    assert!(hits(one, "buffered_bytes_of_a_peer") >= ENOUGH as u64);
    let window = limit(one, "buffered_bytes_of_a_stream");
    assert_eq!((&window["most"], window["inUse"].as_u64()), (&65_536.into(), None), "{window}");
    assert!((1..=65_536).contains(&window["highest"].as_u64().unwrap()), "{window}");
    for (node, pod, reason, how) in [
        (one, attacked, "buffered_bytes_of_a_peer", None),
        (two, attacker, "server_broke", Some("overfull_at_peer")),
    ] {
        let ended = v1::list(node, &format!("refusals?{}&limit=100", v1::of(pod)));
        let told =
            |ended: &Value| ended["outcome"]["reason"] == reason && ended["outcome"]["how"].as_str() == how;
        assert!(ended.iter().any(told), "{reason}: {ended:?}");
    }
    assert!(v1::list(one, &format!("refusals?{}&limit=100", v1::of(other))).is_empty());
    slow.reads_the_rest();
    assert_alive(&mut honest, b"to the end");
    drop(unread);
    let is_over = || limit(one, "buffered_bytes")["inUse"] == 0;
    lab.wait_until(SOON, "no memory is held any more", is_over).unwrap();
    assert_echo(attacker, (attacked.ip4(), ECHO), b"after");
}

/// Of a connection without a tunnel nothing is kept: the kernel's window has the sender wait.
#[test]
fn bytes_nobody_reads_of_plain_connections_take_no_memory_at_all() {
    const MANY: usize = 300;
    // What tasks, sockets and records of so many connections may take.
    const EACH: u64 = 32 << 10;
    let cluster = Cluster::start("starve-plain").unwrap();
    let Cluster { lab, one, client: attacker, neighbour: victim, outsider, .. } = &cluster;
    let silent = lab.serve(outsider, 0, Behaviour::Silent).unwrap().port();
    let proxy = lab.proxy(one).unwrap();
    assert_echo(victim, (outsider.ip4(), ECHO), b"before");
    let before = belongings(&proxy).1;
    let mut unread = Unread::begin(attacker, (outsider.ip4(), silent).into(), MANY);
    let mut still = 0;
    let is_full = || {
        still = if unread.go_on() == 0 { still + 1 } else { 0 };
        still == 50
    };
    lab.wait_until(Duration::from_secs(60), "no more goes", is_full).unwrap();
    let taken = belongings(&proxy).1.saturating_sub(before);
    assert_eq!(unread.reset, 0, "a sender waits, and is not reset");
    assert!(taken < MANY as u64 * EACH, "{taken} bytes for {MANY} connections nobody reads");
    assert_echo(victim, (outsider.ip4(), ECHO), b"meanwhile");
}
