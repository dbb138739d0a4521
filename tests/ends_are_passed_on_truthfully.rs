//! How a connection ends on one side is how it ends on the other: FIN stays FIN, a reset stays a reset, and data that was
//! cut off never looks complete.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use culvert_lab::{Behaviour, Pod, Server, bulk};
use culvert_sys::tcp;

use crate::harness::cluster::{Cluster, ECHO, shared};
use crate::harness::talk::{Ending, SOON, assert_alive, exchange, exchange_on, read_to_end, reporting};

/// Who can talk to whom: through a tunnel to the other node and on the same one, and in plaintext out of the mesh and
/// into it.
fn pairs(cluster: &Cluster) -> [(&Pod, &Pod); 4] {
    [
        (&cluster.client, &cluster.server),
        (&cluster.client, &cluster.neighbour),
        (&cluster.client, &cluster.outsider),
        (&cluster.outsider, &cluster.client),
    ]
}

/// An application that does one thing with a connection, and what it made of each.
fn application<T: Send + 'static>(
    cluster: &Cluster,
    pod: &Pod,
    serve: impl Fn(TcpStream) -> T + Send + Sync + 'static,
) -> (Server, Receiver<T>) {
    let (behaviour, reports) = reporting(serve);
    (cluster.lab.serve(pod, 0, behaviour).unwrap(), reports)
}

fn address(pod: &Pod, server: &Server) -> SocketAddr {
    (pod.ip4(), server.port()).into()
}

#[test]
fn the_client_may_end_first_and_go_on_reading() {
    const ANSWER: u64 = 300_000;
    let cluster = shared();
    for (from, to) in pairs(&cluster) {
        let (server, _) = application(&cluster, to, |mut stream| {
            let question = read_to_end(&mut stream);
            bulk::send(&mut stream, ANSWER).unwrap();
            question
        });
        let mut stream = from.connect(address(to, &server), SOON).unwrap();
        stream.write_all(b"that is all I have to say").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let answer = bulk::receive(&mut stream).unwrap();
        assert_eq!(answer, bulk::Digest::of_pattern(ANSWER), "{} -> {}", from.name(), to.name());
    }
}

#[test]
fn the_server_may_end_first_and_go_on_reading() {
    const SPEECH: u64 = 300_000;
    let cluster = shared();
    for (from, to) in pairs(&cluster) {
        let (server, heard) = application(&cluster, to, |mut stream| {
            stream.write_all(b"I only listen").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            bulk::receive(&mut stream).map_err(|error| error.kind())
        });
        let mut stream = from.connect(address(to, &server), SOON).unwrap();
        assert_eq!(read_to_end(&mut stream), Ending::Complete(b"I only listen".to_vec()));
        let sent = bulk::send(&mut stream, SPEECH).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(heard.recv_timeout(SOON).unwrap(), Ok(sent), "{} -> {}", from.name(), to.name());
    }
}

#[test]
fn a_reset_of_the_server_reaches_the_client() {
    let cluster = shared();
    for (from, to) in pairs(&cluster) {
        let server = cluster.lab.serve(to, 0, Behaviour::ResetAfter(4)).unwrap();
        let mut stream = from.connect(address(to, &server), SOON).unwrap();
        stream.write_all(b"1234").unwrap();
        assert_eq!(read_to_end(&mut stream), Ending::Reset, "{} -> {}", from.name(), to.name());
    }
}

#[test]
fn a_reset_of_the_client_reaches_the_server() {
    let cluster = shared();
    for (from, to) in pairs(&cluster) {
        let (server, endings) = application(&cluster, to, |mut stream| {
            stream.write_all(b"!").unwrap();
            read_to_end(&mut stream)
        });
        let mut stream = from.connect(address(to, &server), SOON).unwrap();
        stream.read_exact(&mut [0]).unwrap();
        tcp::reset_on_close(&stream).unwrap();
        drop(stream);
        assert_eq!(endings.recv_timeout(SOON).unwrap(), Ending::Reset, "{} -> {}", from.name(), to.name());
    }
}

#[test]
fn a_reset_of_the_server_after_the_clients_end_is_still_a_reset() {
    let cluster = shared();
    for (from, to) in pairs(&cluster) {
        let (server, _) = application(&cluster, to, |mut stream| {
            assert_eq!(read_to_end(&mut stream), Ending::Complete(b"question".to_vec()));
            stream.write_all(b"half an ans").unwrap();
            tcp::reset_on_close(&stream).unwrap();
        });
        let stream = from.connect(address(to, &server), SOON).unwrap();
        assert_eq!(exchange_on(stream, b"question"), Ending::Reset, "{} -> {}", from.name(), to.name());
    }
}

#[test]
fn a_reset_of_the_client_after_the_servers_end_is_still_a_reset() {
    let cluster = shared();
    for (from, to) in pairs(&cluster) {
        let (server, endings) = application(&cluster, to, |mut stream| {
            stream.shutdown(Shutdown::Write).unwrap();
            read_to_end(&mut stream)
        });
        let mut stream = from.connect(address(to, &server), SOON).unwrap();
        assert_eq!(read_to_end(&mut stream), Ending::Complete(Vec::new()));
        stream.write_all(b"half a sent").unwrap();
        tcp::reset_on_close(&stream).unwrap();
        drop(stream);
        assert_eq!(endings.recv_timeout(SOON).unwrap(), Ending::Reset, "{} -> {}", from.name(), to.name());
    }
}

#[test]
fn a_reset_in_the_middle_of_bulk_data_stops_the_sender() {
    let cluster = shared();
    for (from, to) in pairs(&cluster) {
        let server = cluster.lab.serve(to, 0, Behaviour::ResetAfter(100_000)).unwrap();
        let mut stream = from.connect(address(to, &server), SOON).unwrap();
        let error = bulk::send(&mut stream, 1 << 30).unwrap_err();
        let kinds = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
        assert!(kinds.contains(&error.kind()), "{} -> {}: {error}", from.name(), to.name());
    }
}

#[test]
fn a_closed_port_is_a_reset_not_an_empty_answer() {
    let cluster = shared();
    for (from, to) in pairs(&cluster) {
        let closed = to.listen(0).unwrap().local_addr().unwrap().port();
        assert_eq!(
            exchange(from, (to.ip4(), closed), b"anybody?"),
            Ending::Reset,
            "{} -> {}",
            from.name(),
            to.name()
        );
    }
}

#[test]
fn a_crash_of_the_far_proxy_is_an_error_not_an_end() {
    let cluster = Cluster::without_mesh("far-crash").unwrap();
    let lab = &cluster.lab;
    lab.enrol_all(&[&cluster.client, &cluster.server]).unwrap();
    lab.start_control().unwrap();
    lab.start_agent(&cluster.one).unwrap();
    lab.start_agent(&cluster.two).unwrap();
    lab.start_node(&cluster.one).unwrap();
    let far = lab.start_node(&cluster.two).unwrap();
    let silent = lab.serve(&cluster.server, 0, Behaviour::Silent).unwrap();
    let mut idle = cluster.client.connect((cluster.server.ip4(), ECHO), SOON).unwrap();
    assert_alive(&mut idle, b"so far, so good");
    let mut telling = cluster.client.connect((cluster.server.ip4(), silent.port()), SOON).unwrap();
    telling.write_all(b"the beginning of").unwrap();
    // An end here would be taken for an empty answer.
    let mut asking = cluster.client.connect((cluster.server.ip4(), silent.port()), SOON).unwrap();
    asking.write_all(b"a question").unwrap();
    asking.shutdown(Shutdown::Write).unwrap();
    lab.wait_until(SOON, "the server has all connections", || silent.accepted() == 2).unwrap();
    let (hearing, endings) = application(&cluster, &cluster.server, |mut stream| {
        stream.read_exact(&mut [0; 4]).and_then(|()| stream.write_all(b"!")).unwrap();
        read_to_end(&mut stream)
    });
    let mut saying = cluster.client.connect(address(&cluster.server, &hearing), SOON).unwrap();
    saying.write_all(b"half").and_then(|()| saying.read_exact(&mut [0])).unwrap();
    far.kill_hard().unwrap();
    assert_eq!(endings.recv_timeout(SOON).unwrap(), Ending::Reset, "what was said is no whole request");
    for (what, stream) in [("idle", &mut idle), ("telling", &mut telling), ("asking", &mut asking)] {
        assert_eq!(read_to_end(stream), Ending::Reset, "{what}");
    }
    // The near proxy is alive and says the truth about new connections too.
    assert_eq!(exchange(&cluster.client, (cluster.server.ip4(), ECHO), b"hello?"), Ending::Reset);
}

/// Nobody says that a machine has lost its power: those who wait for it find out.
#[test]
fn a_far_pod_that_vanishes_is_an_error_at_both_ends_within_half_a_minute() {
    const HALF_A_MINUTE: Duration = Duration::from_secs(30);
    const PRECISION: Duration = Duration::from_secs(3);
    let cluster = Cluster::start("vanishes").unwrap();
    let (server, reports) = application(&cluster, &cluster.server, |mut stream| {
        stream.set_read_timeout(Some(HALF_A_MINUTE + PRECISION)).unwrap();
        stream.write_all(b"hello").unwrap();
        read_to_end(&mut stream)
    });
    let deadline = HALF_A_MINUTE + PRECISION;
    let mut stream = cluster.client.connect(address(&cluster.server, &server), deadline).unwrap();
    stream.read_exact(&mut [0; 5]).unwrap();
    let begun = Instant::now();
    let _fault = cluster.lab.isolate(&cluster.two, &cluster.server).unwrap();
    assert_eq!(read_to_end(&mut stream), Ending::Reset);
    assert_eq!(reports.recv_timeout(PRECISION).unwrap(), Ending::Reset);
    assert!(begun.elapsed() < deadline, "{:?}", begun.elapsed());
}

/// What a server does that refuses a request before it has read all of it.
#[test]
fn an_early_answer_arrives_whole_before_the_reset() {
    const ANSWER: &[u8] = &[b'a'; 300];
    let cluster = shared();
    for (from, to) in pairs(&cluster) {
        let (server, _) = application(&cluster, to, |mut stream| {
            stream.read_exact(&mut [0]).unwrap();
            // Closing with the rest of the request unread resets the connection.
            stream.write_all(ANSWER).unwrap();
        });
        for _ in 0..10 {
            let mut stream = from.connect(address(to, &server), SOON).unwrap();
            stream.write_all(&[b'q'; 100]).unwrap();
            let mut answer = Vec::new();
            let ending = stream.read_to_end(&mut answer).map_err(|error| error.kind());
            let way = format!("{} -> {}", from.name(), to.name());
            assert_eq!(ending, Err(io::ErrorKind::ConnectionReset), "{way}");
            assert_eq!(answer, ANSWER, "{way}");
        }
    }
}
