//! Many connections at once: each is answered by the pod it was made to, with its own bytes.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use culvert_lab::{Behaviour, Pod};

use crate::harness::cluster::shared;
use crate::harness::talk::{Ending, SOON, assert_alive, exchange_on};

const CONNECTIONS: usize = 200;
/// More than one frame and one window update of a small peer; less than makes the test slow.
const LENGTH: usize = 20_000;

/// Says its pod's name and sends back what it was sent, once that is complete.
fn named_echo(pod: &Pod) -> Behaviour {
    let name = pod.name().to_owned();
    Behaviour::custom(move |mut stream: TcpStream| {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        stream.write_all(name.as_bytes())?;
        stream.write_all(&bytes)?;
        stream.shutdown(Shutdown::Write)
    })
}

/// One of the connections: from whom, to whom, and where that is.
struct Call<'c> {
    from: &'c Pod,
    to: &'c Pod,
    address: SocketAddr,
}

/// Every pod to every other, in both families.
fn calls<'c>(pods: &[&'c Pod], targets: &[(&'c Pod, u16)]) -> Vec<Call<'c>> {
    let mut calls = Vec::new();
    for from in pods {
        for (to, port) in targets.iter().filter(|(to, _)| to.name() != from.name()) {
            calls.extend(to.ips().map(|ip| Call { from, to, address: (ip, *port).into() }));
        }
    }
    calls
}

/// A text that names the connection and differs from all others in every part.
fn text_of(number: usize) -> Vec<u8> {
    format!("connection {number:03} ").into_bytes().into_iter().cycle().take(LENGTH + number).collect()
}

#[test]
fn two_hundred_connections_at_once_are_answered_correctly() {
    let cluster = shared();
    let pods = [&cluster.client, &cluster.neighbour, &cluster.server];
    let targets = pods.map(|pod| (pod, cluster.lab.serve(pod, 0, named_echo(pod)).unwrap().port()));
    let calls = calls(&pods, &targets);
    // All are open before the first one speaks.
    let open = Barrier::new(CONNECTIONS);
    thread::scope(|scope| {
        for (number, call) in calls.iter().cycle().take(CONNECTIONS).enumerate() {
            let open = &open;
            scope.spawn(move || {
                let stream = call.from.connect(call.address, SOON);
                open.wait();
                let text = text_of(number);
                let expected = [call.to.name().as_bytes(), &text].concat();
                let ending = exchange_on(stream.unwrap(), &text);
                assert!(
                    ending == Ending::Complete(expected),
                    "{number}: {} -> {}",
                    call.from.name(),
                    call.address
                );
            });
        }
    });
}

#[test]
fn a_stalled_connection_does_not_hold_up_the_others() {
    const TOO_MUCH: usize = 64 << 20;
    let cluster = shared();
    let silent = cluster.lab.serve(&cluster.server, 0, Behaviour::Silent).unwrap();
    let echo = cluster.lab.serve(&cluster.server, 0, named_echo(&cluster.server)).unwrap();
    let mut stalled = cluster.client.connect((cluster.server.ip4(), silent.port()), SOON).unwrap();
    let filled = fill(&mut stalled, TOO_MUCH);
    assert!(filled < TOO_MUCH, "somebody takes all that nobody reads");
    for number in 0..20 {
        let text = text_of(number);
        let stream = cluster.client.connect((cluster.server.ip4(), echo.port()), SOON).unwrap();
        let expected = [cluster.server.name().as_bytes(), &text].concat();
        assert!(exchange_on(stream, &text) == Ending::Complete(expected), "{number}");
    }
    silent.stop();
}

/// Fills every buffer on the way, until nothing more is taken; gives back how much was.
fn fill(stream: &mut TcpStream, limit: usize) -> usize {
    const QUIET: Duration = Duration::from_millis(500);
    stream.set_write_timeout(Some(QUIET)).unwrap();
    let (block, mut filled) = (vec![0; 256 * 1024], 0);
    while filled < limit {
        match stream.write(&block) {
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    filled
}

#[test]
fn small_pieces_that_nobody_reads_do_not_cost_the_others_their_tunnel() {
    const PIECES: usize = 60_000;
    /// Written faster, pieces are joined on the way.
    const PACE: Duration = Duration::from_micros(60);
    let cluster = shared();
    let silent = cluster.lab.serve(&cluster.server, 0, Behaviour::Silent).unwrap();
    let echo = cluster.lab.serve(&cluster.server, 0, Behaviour::Echo).unwrap();
    // On the same tunnel, and older.
    let mut other = cluster.client.connect((cluster.server.ip4(), echo.port()), SOON).unwrap();
    assert_alive(&mut other, b"before");
    let mut stalled = cluster.client.connect((cluster.server.ip4(), silent.port()), SOON).unwrap();
    // More than the application's socket holds, less than a tunnel lets a connection send.
    stalled.write_all(&vec![0; 3 << 20]).unwrap();
    stalled.set_nodelay(true).unwrap();
    stalled.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    for _ in 0..PIECES {
        let written = Instant::now();
        stalled.write_all(b"x").unwrap();
        while written.elapsed() < PACE {
            std::hint::spin_loop();
        }
    }
    assert_alive(&mut other, b"after");
    silent.stop();
}
