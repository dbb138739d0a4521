//! How connections end that were asked for, and how the proxy does.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use culvert_lab::{Behaviour, Pod, Server};
use culvert_sys::tcp;

use super::rig::{Rig, shared};
use crate::harness::cluster::{ECHO, next_launch};
use crate::harness::socks::{PLACES, SOCKS, answer, ask, asking, hello, to_address};
use crate::harness::talk::{Ending, SOON, assert_alive, read_to_end, reporting};

/// In the mesh and outside.
fn both(rig: &Rig) -> [&Pod; 2] {
    [&rig.cluster.server, &rig.cluster.outsider]
}

/// An application that does one thing with each connection, and how those end for it.
fn application(
    rig: &Rig,
    pod: &Pod,
    begin: impl Fn(&mut TcpStream) + Send + Sync + 'static,
) -> (Server, Receiver<Ending>) {
    let (behaviour, reports) = reporting(move |mut stream| {
        begin(&mut stream);
        read_to_end(&mut stream)
    });
    (rig.cluster.lab.serve(pod, 0, behaviour).unwrap(), reports)
}

#[test]
fn each_side_may_end_first() {
    let rig = shared();
    for pod in both(&rig) {
        let (server, heard) = application(&rig, pod, |stream| {
            stream.write_all(b"I only listen").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        let mut stream = rig.connected(&to_address((pod.ip4(), server.port())));
        assert_eq!(read_to_end(&mut stream), Ending::Complete(b"I only listen".to_vec()));
        stream.write_all(b"and I speak").unwrap();
        drop(stream);
        assert_eq!(heard.recv_timeout(SOON).unwrap(), Ending::Complete(b"and I speak".to_vec()));

        let mut stream = rig.connected(&to_address((pod.ip4(), ECHO)));
        stream.write_all(b"that is all").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&mut stream), Ending::Complete(b"that is all".to_vec()));
    }
}

#[test]
fn a_reset_stays_a_reset() {
    let rig = shared();
    for pod in both(&rig) {
        let server = rig.cluster.lab.serve(pod, 0, Behaviour::ResetAfter(4)).unwrap();
        let mut stream = rig.connected(&to_address((pod.ip4(), server.port())));
        stream.write_all(b"1234").unwrap();
        assert_eq!(read_to_end(&mut stream), Ending::Reset, "{}", pod.name());

        let (server, heard) = application(&rig, pod, |stream| stream.write_all(b"!").unwrap());
        let mut stream = rig.connected(&to_address((pod.ip4(), server.port())));
        stream.read_exact(&mut [0]).unwrap();
        tcp::reset_on_close(&stream).unwrap();
        drop(stream);
        assert_eq!(heard.recv_timeout(SOON).unwrap(), Ending::Reset, "{}", pod.name());
    }
}

/// How long the old proxy's connections may go on.
const GRACE: Duration = Duration::from_secs(8);

#[test]
fn a_proxy_that_is_asked_to_end_finishes_what_was_asked_for() {
    let rig = Rig::start("socks-drain").unwrap();
    let cluster = &rig.cluster;
    let next = cluster.lab.node_launch(&cluster.one).unwrap();
    rig.proxy.stop().unwrap();
    let launch = asking(next).env("CONNECTION_TERMINATION_DEADLINE", format!("{}s", GRACE.as_secs()));
    let proxy = cluster.lab.start_node_as(&cluster.one, launch).unwrap();
    let served = || cluster.client.listens(SOCKS).unwrap_or(false);
    cluster.lab.wait_until(SOON, "the client is served again", served).unwrap();
    let mut long = rig.connected(&to_address((cluster.server.ip4(), ECHO)));
    assert_alive(&mut long, b"before");
    let mut slow = hello(&cluster.client, PLACES[0], SOON).unwrap();
    let position = proxy.log_position();
    proxy.terminate().unwrap();
    proxy.wait_for_log_since(position, "draining", SOON).unwrap();
    let closed = || !cluster.client.listens(SOCKS).unwrap_or(true);
    cluster.lab.wait_until(SOON, "nobody listens any more", closed).unwrap();
    // One that has begun to ask is heard out.
    slow.write_all(&to_address((cluster.server.ip4(), ECHO))).unwrap();
    assert_eq!(answer(&mut slow).unwrap(), 0);
    assert_alive(&mut slow, b"heard out");
    assert_alive(&mut long, b"while it drains");
    let began = Instant::now();
    drop((long, slow));
    assert!(proxy.wait_for_exit(SOON).unwrap().success());
    assert!(began.elapsed() < GRACE, "a proxy without connections waited for its deadline");
}

#[test]
fn a_proxy_is_replaced_and_nobody_asks_in_vain() {
    let rig = Rig::start("socks-successor").unwrap();
    let cluster = &rig.cluster;
    let request = to_address((cluster.server.ip4(), ECHO));
    let call = || {
        let (code, mut stream) = ask(&cluster.client, PLACES[0], &request)?;
        stream.write_all(b"?")?;
        stream.read_exact(&mut [0])?;
        std::io::Result::Ok(code)
    };
    let replaced = AtomicBool::new(false);
    let codes = std::thread::scope(|scope| {
        let caller = scope.spawn(|| {
            let mut codes = Vec::new();
            while !replaced.load(Ordering::Relaxed) {
                codes.push(call().map_err(|error| error.to_string()));
            }
            codes
        });
        let next = asking(next_launch(&cluster.lab, &cluster.one));
        let started = cluster.lab.start_node_as(&cluster.one, next);
        let served = started.and_then(|next| next.wait_for_log("serving pod", SOON));
        let stopped = rig.proxy.stop();
        replaced.store(true, Ordering::Relaxed);
        assert!(served.is_ok() && stopped.unwrap().success(), "{served:?}");
        caller.join().unwrap()
    });
    assert!(codes.len() > 10 && codes.iter().all(|code| *code == Ok(0)), "{codes:?}");
    assert_eq!(call().unwrap(), 0);
}
