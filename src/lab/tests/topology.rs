//! The cluster itself: who reaches whom, what the wire sees, what can be broken.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use culvert_lab::{Behaviour, Error, Fate, Lab, Node, Pod, PodSpec, Quality, bulk, http, wait_until};

const SOON: Duration = Duration::from_secs(10);

/// Two nodes with one pod each.
struct Pair {
    lab: Lab,
    a: Node,
    b: Node,
    client: Pod,
    server: Pod,
}

fn pair(name: &str) -> Result<Pair, Error> {
    let lab = Lab::new(name)?;
    let (a, b) = (lab.node("a")?, lab.node("b")?);
    let client = lab.pod(&a, PodSpec::new("client"))?;
    let server = lab.pod(&b, PodSpec::new("server"))?;
    Ok(Pair { lab, a, b, client, server })
}

#[test]
fn pods_reach_each_other_across_nodes_in_both_families() {
    let Pair { lab, client, server, .. } = pair("reach").unwrap();
    let who = lab.serve(&server, 8080, Behaviour::WhoAmI).unwrap();
    for (to, from) in server.ips().into_iter().zip(client.ips()) {
        let answer = client.ask((to, who.port()), b"", SOON).unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (name, caller) = answer.trim().split_once(' ').unwrap();
        assert_eq!((name, caller.parse::<std::net::SocketAddr>().unwrap().ip()), ("server", from));
    }
    assert_eq!(who.accepted(), 2);
    assert_eq!(who.callers().iter().map(std::net::SocketAddr::ip).collect::<Vec<_>>(), client.ips());
}

#[test]
fn pods_reach_neighbours_on_their_node_and_every_node_reaches_control() {
    let Pair { lab, a, b, client, .. } = pair("neighbours").unwrap();
    let neighbour = lab.pod(&a, PodSpec::new("neighbour")).unwrap();
    lab.serve(&neighbour, 80, Behaviour::Echo).unwrap();
    for ip in neighbour.ips() {
        assert_eq!(client.ask((ip, 80), b"hi", SOON).unwrap(), b"hi");
    }
    let control = lab.control_address();
    let listener = culvert_lab::socket::listen(lab.control_netns(), control.port()).unwrap();
    for netns in [a.netns(), b.netns(), client.netns()] {
        culvert_lab::socket::connect(netns, control, SOON).unwrap();
        listener.accept().unwrap();
    }
}

#[test]
fn the_wire_sees_plaintext_in_both_families() {
    let Pair { lab, a, b, client, server } = pair("wire").unwrap();
    lab.serve(&server, 8080, Behaviour::Echo).unwrap();
    for (ip, marker) in server.ips().into_iter().zip(["marker-of-ipv4", "marker-of-ipv6"]) {
        let wire = lab.wire(&a, &b).unwrap();
        assert!(!wire.contains(marker.as_bytes()));
        client.ask((ip, 8080), marker.as_bytes(), SOON).unwrap();
        let capture = wire.stop().unwrap();
        assert!(capture.contains(marker.as_bytes()), "{ip}: {:?}", capture.packets());
        assert_eq!(capture.tcp_ports(), [8080]);
        assert_eq!(capture.tcp_bytes(), 2 * marker.len() as u64);
        capture.assert_lossless();
    }
}

#[test]
fn the_wire_between_nodes_does_not_see_traffic_within_a_node() {
    let Pair { lab, a, b, client, .. } = pair("within").unwrap();
    let neighbour = lab.pod(&a, PodSpec::new("neighbour")).unwrap();
    lab.serve(&neighbour, 80, Behaviour::Echo).unwrap();
    let (between, within) = (lab.wire(&a, &b).unwrap(), lab.wire_of_pod(&client).unwrap());
    client.ask((neighbour.ip4(), 80), b"marker", SOON).unwrap();
    assert!(!between.stop().unwrap().contains(b"marker"));
    assert!(within.stop().unwrap().contains(b"marker"));
}

#[test]
fn the_wire_loses_nothing_of_a_large_transfer() {
    const BYTES: u64 = 50_000_000;
    let Pair { lab, a, b, client, server } = pair("large").unwrap();
    lab.serve(&server, 8080, Behaviour::Sink).unwrap();
    let wire = lab.wire(&a, &b).unwrap();
    let mut stream = client.connect((server.ip6(), 8080), Duration::from_secs(60)).unwrap();
    let sent = bulk::send(&mut stream, BYTES).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer.parse(), Ok(sent));
    let capture = wire.stop().unwrap();
    capture.assert_lossless();
    assert!(capture.tcp_bytes() >= BYTES, "{} bytes", capture.tcp_bytes());
}

#[test]
fn labs_do_not_see_each_other() {
    thread::scope(|scope| {
        for name in ["one", "two", "three"] {
            scope.spawn(move || {
                let Pair { lab, client, server, .. } = pair(name).unwrap();
                let me = name.as_bytes().to_vec();
                let answer = Behaviour::custom(move |mut stream| stream.write_all(&me));
                lab.serve(&server, 8080, answer).unwrap();
                for ip in server.ips() {
                    assert_eq!(client.ask((ip, 8080), b"", SOON).unwrap(), name.as_bytes());
                }
            });
        }
    });
}

#[test]
fn a_source_and_a_silent_application_do_as_they_say() {
    let Pair { lab, client, server, .. } = pair("applications").unwrap();
    lab.serve(&server, 1, Behaviour::Source(100_000)).unwrap();
    let mut stream = client.connect((server.ip4(), 1), SOON).unwrap();
    assert_eq!(bulk::receive(&mut stream).unwrap(), bulk::Digest::of_pattern(100_000));

    let silent = lab.serve(&server, 2, Behaviour::Silent).unwrap();
    let mut stream = client.connect((server.ip4(), 2), SOON).unwrap();
    wait_until(SOON, "the connection is accepted", || silent.open() == 1).unwrap();
    silent.stop();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    let refused = client.connect((server.ip4(), 2), SOON).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_reset_of_the_application_arrives_as_a_reset() {
    let Pair { lab, client, server, .. } = pair("reset").unwrap();
    lab.serve(&server, 8080, Behaviour::ResetAfter(5)).unwrap();
    let error = client.ask((server.ip4(), 8080), b"hello", SOON).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn faults_break_and_heal() {
    let Pair { lab, a, b, client, server } = pair("faults").unwrap();
    lab.serve(&server, 8080, Behaviour::Echo).unwrap();
    let attempts = || server.ips().map(|ip| client.ask((ip, 8080), b"x", Duration::from_millis(300)));
    let kinds = || attempts().map(|attempt| attempt.map_err(|error| error.kind()));

    let fault = lab.break_port(&a, 8080, Fate::Reset).unwrap();
    assert_eq!(kinds(), [Err(io::ErrorKind::ConnectionRefused), Err(io::ErrorKind::ConnectionRefused)]);
    fault.heal().unwrap();
    let fault = lab.break_port(&a, 8080, Fate::Dropped).unwrap();
    assert_eq!(kinds(), [Err(io::ErrorKind::TimedOut), Err(io::ErrorKind::TimedOut)]);
    drop(fault);
    let fault = lab.isolate(&b, &server).unwrap();
    assert_eq!(kinds(), [Err(io::ErrorKind::TimedOut), Err(io::ErrorKind::TimedOut)]);
    fault.heal().unwrap();
    let fault = lab.break_port(&b, 8080, Fate::Lossy(100)).unwrap();
    assert_eq!(kinds(), [Err(io::ErrorKind::TimedOut), Err(io::ErrorKind::TimedOut)]);
    fault.heal().unwrap();
    assert!(attempts().into_iter().all(|attempt| attempt.unwrap() == b"x"));
}

#[test]
fn the_kernel_is_asked_about_listeners_and_rules() {
    let Pair { lab, client, server, .. } = pair("kernel").unwrap();
    assert!(!server.listens(8080).unwrap());
    lab.serve(&server, 8080, Behaviour::Echo).unwrap();
    assert!(server.listens(8080).unwrap());
    assert!(!client.listens(8080).unwrap());
    assert!(!server.is_captured().unwrap());
}

#[test]
fn http_is_spoken_inside_a_pod() {
    let Pair { lab, server, .. } = pair("http").unwrap();
    let answer = Behaviour::custom(|mut stream| {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            request.extend(byte);
        }
        assert!(request.starts_with(b"GET /path HTTP/1.1\r\n"));
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    lab.serve(&server, 80, answer).unwrap();
    let answer = http::get(server.netns(), ([127, 0, 0, 1], 80), "/path").unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
}

#[test]
fn names_that_cannot_be_are_refused() {
    let lab = Lab::new("names").unwrap();
    assert!(matches!(lab.node("a-much-too-long-name"), Err(Error::Name { what: "node", .. })));
    let node = lab.node("a").unwrap();
    assert!(matches!(lab.pod(&node, PodSpec::new("A b")), Err(Error::Name { what: "pod", .. })));
}

#[test]
fn a_slow_wire_takes_its_time_and_loses_packets_but_no_bytes() {
    const BYTES: u64 = 2 << 20;
    let Pair { lab, a, b, client, server } = pair("slow").unwrap();
    lab.serve(&server, 80, Behaviour::Echo).unwrap();
    lab.serve(&server, 81, Behaviour::Source(BYTES)).unwrap();
    let mut before = client.connect((server.ip4(), 80), SOON).unwrap();
    let quality = Quality { round_trip: Duration::from_millis(40), loss_percent: 2 };
    let wire = lab.slow_wire(&a, &b, quality).unwrap();
    for ip in server.ips() {
        let begun = Instant::now();
        let mut stream = client.connect((ip, 81), SOON).unwrap();
        assert!(begun.elapsed() >= quality.round_trip, "{:?}", begun.elapsed());
        assert_eq!(bulk::receive(&mut stream).unwrap(), bulk::Digest::of_pattern(BYTES));
    }
    let (carried, lost) = (wire.carried(), wire.lost());
    assert!(lost * 100 > carried && lost * 100 < carried * 4, "carried {carried}, lost {lost}");
    before.write_all(b"as before").unwrap();
    let mut answer = [0; 9];
    before.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"as before");
}

#[test]
fn an_address_is_given_again_when_it_is_free_and_to_somebody_else() {
    let Pair { lab, client, server, .. } = pair("again").unwrap();
    assert!(matches!(
        lab.successor(&server, PodSpec::new("early")),
        Err(Error::AddressTaken { owner, .. }) if owner == "server"
    ));
    lab.serve(&server, 8080, Behaviour::WhoAmI).unwrap();
    assert!(client.ask((server.ip4(), 8080), b"", SOON).unwrap().starts_with(b"server "));
    lab.delete(&server).unwrap();
    let heir = lab.successor(&server, PodSpec::new("heir")).unwrap();
    assert_eq!((heir.ips(), heir.node()), (server.ips(), server.node()));
    assert_ne!(heir.uid(), server.uid());
    lab.serve(&heir, 8080, Behaviour::WhoAmI).unwrap();
    for ip in heir.ips() {
        assert!(client.ask((ip, 8080), b"", SOON).unwrap().starts_with(b"heir "));
    }
}
