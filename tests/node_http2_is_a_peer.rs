//! Node's HTTP/2, which is nghttp2, is served as a client of tunnels, with many streams on each.

use std::io::{self, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use culvert_lab::{Behaviour, Error, bulk, wait_until};
use serde_json::{Value, json};

use crate::harness::certificates::{Authority, Certificate};
use crate::harness::cluster::{BULK, Cluster, ECHO, SINK, SOURCE};
use crate::harness::node_http2::{Client, result};
use crate::harness::shared::Shared;
use crate::harness::talk::SOON;

pub(crate) struct Rig {
    pub(crate) cluster: Cluster,
    mesh: Authority,
}

impl Rig {
    pub(crate) fn start(name: &str) -> Result<Self, Error> {
        Ok(Self::within(Cluster::start(name)?))
    }

    fn within(cluster: Cluster) -> Self {
        let mesh = Authority::of_control(&cluster.lab);
        Self { cluster, mesh }
    }

    pub(crate) fn certificate(&self) -> Certificate {
        self.mesh.issue(self.cluster.lab.directory(), "spiffe://cluster.local/ns/default/sa/node")
    }

    /// Has the client in the pod outside the mesh do something with the server's tunnels.
    #[track_caller]
    fn run(&self, wish: Value) -> Value {
        self.client(&self.certificate()).run(wish)
    }

    fn client<'a>(&'a self, certificate: &'a Certificate) -> Client<'a> {
        let Cluster { lab, outsider, server, .. } = &self.cluster;
        Client { lab, from: outsider, server: (server.ip4(), 15008).into(), certificate }
    }

    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        (self.cluster.server.ip4(), port).into()
    }
}

fn rig() -> Arc<Rig> {
    static RIG: Shared<Rig> = Shared::new();
    RIG.take(|| Rig::start("node-http2"))
}

#[test]
fn many_streams_share_a_session() {
    let rig = rig();
    let result =
        rig.run(json!({ "does": "echo", "authority": rig.at(ECHO), "streams": 100, "bytes": 200_000 }));
    assert_eq!(result, json!({ "good": 100, "pong": "culverts" }));
}

#[test]
fn bulk_moves_both_ways_at_once() {
    let rig = rig();
    let result = rig.run(json!({ "does": "relay", "from": rig.at(SOURCE), "to": rig.at(SINK) }));
    assert_eq!(result, json!({ "answer": bulk::Digest::of_pattern(BULK).to_string() }));
}

#[test]
fn whatever_its_settings_are_it_is_served() {
    let rig = rig();
    for (settings, bytes) in [
        (json!({ "initialWindowSize": 1000 }), 300_000),
        (json!({ "initialWindowSize": i32::MAX, "maxFrameSize": 0x00ff_ffff }), 2_000_000),
        (json!({ "headerTableSize": 0, "maxFrameSize": 16_384 }), 300_000),
        (json!({ "headerTableSize": 65_536, "enablePush": false }), 300_000),
        (json!({ "maxConcurrentStreams": 0, "maxHeaderListSize": 65_536 }), 300_000),
    ] {
        let wish = json!({ "does": "echo", "authority": rig.at(ECHO), "streams": 5, "bytes": bytes });
        for padding in [false, true] {
            let mut wish = wish.clone();
            (wish["settings"], wish["padding"]) = (settings.clone(), padding.into());
            assert_eq!(rig.run(wish)["good"], 5, "{settings}, padding: {padding}");
        }
    }
}

#[test]
fn its_window_of_the_connection_may_be_wide() {
    let rig = rig();
    let result =
        rig.run(json!({ "does": "relay", "from": rig.at(SOURCE), "to": rig.at(SINK), "window": 64 << 20 }));
    assert_eq!(result, json!({ "answer": bulk::Digest::of_pattern(BULK).to_string() }));
}

#[test]
fn its_windows_may_change_while_bulk_moves() {
    let rig = rig();
    let result =
        rig.run(json!({ "does": "relay", "from": rig.at(SOURCE), "to": rig.at(SINK), "resize": true }));
    assert_eq!(result, json!({ "answer": bulk::Digest::of_pattern(BULK).to_string() }));
}

#[test]
fn an_application_that_ends_first_still_hears_the_rest() {
    let rig = rig();
    let (heard, hears) = mpsc::channel();
    let heard = Mutex::new(heard);
    let speak_first = move |mut stream: TcpStream| {
        stream.write_all(b"my last words")?;
        stream.shutdown(Shutdown::Write)?;
        let received = bulk::receive(&mut stream)?;
        heard.lock().unwrap().send(received.bytes).map_err(io::Error::other)
    };
    let server = rig.cluster.lab.serve(&rig.cluster.server, 0, Behaviour::custom(speak_first)).unwrap();
    let result =
        rig.run(json!({ "does": "speakLast", "authority": rig.at(server.port()), "bytes": 3_000_000 }));
    assert_eq!(result, json!({ "heard": "my last words", "code": 0 }));
    assert_eq!(hears.recv_timeout(SOON), Ok(3_000_000));
}

#[test]
fn a_stream_it_takes_back_is_reset_and_the_others_go_on() {
    let rig = rig();
    let (broken, breaks) = mpsc::channel();
    let broken = Mutex::new(broken);
    let echo = move |mut stream: TcpStream| {
        let heard = io::copy(&mut stream.try_clone()?, &mut stream)?;
        while heard == "before".len() as u64 {
            // Node ends a stream in order just before it takes it back; who goes on sending learns the truth.
            if let Err(error) = stream.write_all(b"still there?") {
                return broken.lock().unwrap().send(error.kind()).map_err(io::Error::other);
            }
        }
        stream.shutdown(Shutdown::Write)
    };
    let server = rig.cluster.lab.serve(&rig.cluster.server, 0, Behaviour::custom(echo)).unwrap();
    let result = rig.run(json!({ "does": "cancel", "authority": rig.at(server.port()) }));
    assert_eq!(result, json!({ "before": true, "after": true, "next": true }));
    let how = breaks.recv_timeout(SOON).unwrap();
    assert!([io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe].contains(&how), "{how}");
}

#[test]
fn a_reset_of_the_application_resets_the_stream_alone() {
    const CONNECT_ERROR: u32 = 10;
    let rig = rig();
    let server = rig.cluster.lab.serve(&rig.cluster.server, 0, Behaviour::ResetAfter(10)).unwrap();
    let result = rig.run(
        json!({ "does": "beReset", "authority": rig.at(server.port()), "bytes": 10, "other": rig.at(ECHO) }),
    );
    assert_eq!(result, json!({ "code": CONNECT_ERROR, "next": true }));
}

#[test]
fn what_it_may_not_ask_for_is_answered_with_a_status() {
    let rig = rig();
    let closed = rig.cluster.server.listen(0).unwrap().local_addr().unwrap();
    let connect = |to: SocketAddr| json!({ ":method": "CONNECT", ":authority": to });
    let requests = [
        connect(rig.at(ECHO)),
        connect(rig.at(closed.port())),
        connect((rig.cluster.outsider.ip4(), ECHO).into()),
        json!({ ":method": "GET", ":path": "/" }),
        json!({ ":method": "CONNECT", ":authority": "not an address" }),
    ];
    let result = rig.run(json!({ "does": "ask", "requests": requests }));
    assert_eq!(result, json!({ "statuses": [200, 503, 400, 400, 400] }));
}

#[test]
fn it_is_told_what_is_behind_the_tunnel_unless_that_is_switched_off() {
    let wish = |rig: &Rig| json!({ "does": "beTold", "authority": rig.at(ECHO) });
    let told = rig().run(wish(&rig()));
    assert_eq!(told["status"], 200);
    let baggage = told["baggage"].as_str().unwrap_or_else(|| panic!("{told}"));
    assert!(baggage.contains("k8s.namespace.name=default"), "{baggage}");
    let off = [("ENABLE_RESPONSE_BAGGAGE", "false")];
    let silent = Rig::within(Cluster::start_with("node-http2-silent", &off).unwrap());
    assert_eq!(silent.run(wish(&silent)), json!({ "status": 200, "baggage": null }));
}

#[test]
fn without_a_certificate_of_the_mesh_it_is_turned_away() {
    let rig = rig();
    let stranger = Authority::create(rig.cluster.lab.directory());
    let certificate = stranger.issue(rig.cluster.lab.directory(), &rig.cluster.client.identity());
    let wish = json!({ "does": "echo", "authority": rig.at(ECHO), "streams": 1, "bytes": 1000 });
    let result = rig.client(&certificate).run(wish);
    assert!(result["error"].as_str().is_some_and(|error| error.contains("unknown ca")), "{result}");
}

#[test]
fn a_proxy_that_drains_says_goaway_and_lets_streams_finish() {
    const GRACE: Duration = Duration::from_secs(8);
    let cluster = Cluster::without_mesh("node-http2-drain").unwrap();
    let lab = &cluster.lab;
    lab.enrol_all(&[&cluster.server]).unwrap();
    lab.start_control().unwrap();
    lab.start_agent(&cluster.two).unwrap();
    let launch = lab.node_launch(&cluster.two).unwrap();
    let launch = launch.env("CONNECTION_TERMINATION_DEADLINE", format!("{}s", GRACE.as_secs()));
    let proxy = lab.start_node_as(&cluster.two, launch).unwrap();
    let mesh = Authority::of_control(lab);
    let rig = Rig { cluster, mesh };
    wait_until(SOON, "the server is captured", || rig.cluster.server.listens(15008).unwrap()).unwrap();
    let certificate = rig.certificate();
    let client = rig.client(&certificate).start(json!({ "does": "beLeft", "authority": rig.at(ECHO) }));
    client.wait_for_log("\"open\":true", SOON).unwrap();
    proxy.terminate().unwrap();
    assert_eq!(
        result(&client),
        json!({
            "before": true, "code": 0, "after": true,
            "next": "ERR_HTTP2_GOAWAY_SESSION", "last": 0,
        })
    );
    assert!(proxy.wait_for_exit(GRACE).unwrap().success());
}
