//! Envoy as waypoint: it reads the HTTP, answers some of it itself, and sends the rest on in tunnels of its own.

use std::io::{self, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;

use culvert_lab::{Behaviour, Error, Pod, PodSpec, Section, Server, Service, ServiceSpec, bulk, wait_for};
use culvert_sys::tcp;

use crate::harness::cluster::{BULK, Cluster};
use crate::harness::envoy::serve_tunnels;
use crate::harness::shared::Shared;
use crate::harness::talk::{SOON, assert_reset};

use super::{behind, certificate, only};

/// A web server behind Envoy.
struct Rig {
    cluster: Cluster,
    gate: Pod,
    shop: Service,
    web: Server,
    /// A line for each CONNECT.
    log: PathBuf,
}

const CONFIGURATION: &str = include_str!("../peers/envoy/waypoint.yaml");

impl Rig {
    fn start(name: &str) -> Result<Self, Error> {
        let cluster = Cluster::start(name)?;
        let Cluster { lab, server, .. } = &cluster;
        let web = lab.serve(server, 0, Behaviour::custom(serve_http))?;
        let gate = lab.pod(&cluster.one, PodSpec::new("gate").service_account("gate").takes_tunnels())?;
        let gates = lab.service(ServiceSpec::new("gate").port(15008, 15008), &[&gate])?;
        let shop = ServiceSpec::new("shop").port(80, web.port()).mesh_keys(&behind(&gates));
        let shop = lab.service(shop, &[server])?;
        lab.set(Section::Policies, &only("gate", server))?;
        let log = lab.directory().join("gate-access.log");
        let values = [
            ("NAME", "the gate"),
            ("SERVER", &*server.ip4().to_string()),
            ("PORT", &*web.port().to_string()),
            ("PEER", &*server.identity()),
            ("LOG", &*log.display().to_string()),
        ];
        serve_tunnels(lab, &gate, &certificate(&cluster, "gate"), CONFIGURATION, &values);
        Ok(Self { cluster, gate, shop, web, log })
    }

    fn call(&self) -> TcpStream {
        self.cluster.client.connect((self.shop.ip4(), 80), SOON).unwrap()
    }
}

fn rig() -> Arc<Rig> {
    static RIG: Shared<Rig> = Shared::new();
    RIG.take(|| Rig::start("waypoint-envoy"))
}

/// Answers one request: `/bulk` with bulk data, anything else with who asked for what.
fn serve_http(stream: TcpStream) -> io::Result<()> {
    let caller = tcp::canonical(stream.peer_addr()?).ip();
    let head = read_head(&mut BufReader::new(&stream))?;
    let path = head.split(' ').nth(1).unwrap_or_default();
    let text = format!("{caller} wants {path}");
    let length = if path == "/bulk" { BULK } else { text.len() as u64 };
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    (&stream).write_all(head.as_bytes())?;
    if path == "/bulk" {
        bulk::send(&mut &stream, BULK).map(drop)
    } else {
        (&stream).write_all(text.as_bytes())
    }
}

/// Up to and with the empty line.
fn read_head(stream: &mut impl io::BufRead) -> io::Result<String> {
    let mut head = String::new();
    while stream.read_line(&mut head)? > 2 {}
    Ok(head)
}

/// Asks for a path; gives the head of the answer, and what bounds its body.
#[track_caller]
fn ask<'s>(stream: &'s TcpStream, path: &str) -> (String, io::Take<BufReader<&'s TcpStream>>) {
    let mut writer = stream;
    write!(writer, "GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n").unwrap();
    let mut reader = BufReader::new(stream);
    let head = read_head(&mut reader).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.unwrap_or_else(|| panic!("no length: {head}")).parse().unwrap();
    (head, reader.take(length))
}

#[track_caller]
fn assert_answer(stream: &TcpStream, path: &str, status: &str, text: &str) {
    let (head, mut body) = ask(stream, path);
    assert!(head.starts_with(&format!("http/1.1 {status} ")), "{path}: {head}");
    assert!(head.contains("\r\nx-waypoint: the gate\r\n"), "{path}: {head}");
    let mut said = String::new();
    body.read_to_string(&mut said).unwrap();
    assert_eq!(said, text, "{path}");
}

#[test]
fn it_answers_some_requests_itself_and_passes_on_the_others() {
    // The server counts: nobody else calls this one.
    let rig = Rig::start("waypoint-envoy-http").unwrap();
    let stream = rig.call();
    assert_answer(&stream, "/blocked", "403", "not here\n");
    assert_eq!(rig.web.accepted(), 0);
    for path in ["/", "/a/longer/path"] {
        assert_answer(&stream, path, "200", &format!("{} wants {path}", rig.gate.ip4()));
    }
    assert_eq!(rig.web.accepted(), 2);
    assert_answer(&stream, "/blocked", "403", "not here\n");
    assert_eq!(rig.web.accepted(), 2);
}

#[test]
fn bulk_comes_back_through_both_tunnels() {
    let rig = rig();
    let stream = rig.call();
    let (_, mut body) = ask(&stream, "/bulk");
    assert_eq!(bulk::receive(&mut body).unwrap(), bulk::Digest::of_pattern(BULK));
}

#[test]
fn it_is_told_who_calls_whom() {
    let rig = rig();
    let stream = rig.call();
    let from = stream.local_addr().unwrap();
    assert_answer(&stream, "/blocked", "403", "not here\n");
    let forwarded = format!("forwarded=for=\"{from}\";host={} ", rig.shop.hostname());
    // Envoy logs a CONNECT when it is over.
    drop(stream);
    let line = wait_for(SOON, "Envoy logs the connection", || {
        let text = std::fs::read_to_string(&rig.log).unwrap_or_default();
        text.lines().find(|line| line.contains(&forwarded)).map(str::to_owned)
    });
    let line = line.unwrap();
    for part in [
        format!("authority={}:80 ", rig.shop.ip4()),
        format!("peer={} ", rig.cluster.client.identity()),
        "k8s.namespace.name=default".to_owned(),
    ] {
        assert!(line.contains(&part), "`{part}` is not in: {line}");
    }
}

#[test]
fn there_is_no_way_around_it() {
    let rig = rig();
    assert_reset(&rig.cluster.client, (rig.cluster.server.ip4(), rig.web.port()));
}
