//! A server of tunnels that proves who it is and then breaks the rules of HTTP/2: the client of the connection is told by a reset,
//! and soon; other tunnels go on.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use culvert_lab::{Behaviour, Pod, PodSpec, Section};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::harness::certificates::Authority;
use crate::harness::cluster::{Cluster, ECHO};
use crate::harness::endpoint::Groups;
use crate::harness::frames::{Frame, flag, frame, kind, load, number, read_frame};
use crate::harness::talk::{Ending, SOON, assert_alive, exchange};

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

/// The header block of an answer with status 200, from the static table.
const OK: &[u8] = &[0x88];
/// And of one with status 100, which is none yet.
const CONTINUE: &[u8] = &[0x08, 3, b'1', b'0', b'0'];

/// How long the application may be left without word.
const PROMPTLY: Duration = Duration::from_secs(5);

/// The frames with which a client says that something is wrong.
const COMPLAINTS: [u8; 2] = [kind::GO_AWAY, kind::RESET];

/// What a server sends once it was asked for a stream, and what the client says to that.
struct Attack {
    name: &'static str,
    /// A complaint about the tunnel (GOAWAY) or the stream (RST_STREAM), and its code.
    complaint: (u8, u32),
    sends: fn(stream: u32) -> Vec<u8>,
}

const fn on_tunnel(name: &'static str, code: u32, sends: fn(u32) -> Vec<u8>) -> Attack {
    Attack { name, complaint: (kind::GO_AWAY, code), sends }
}

const fn on_stream(name: &'static str, code: u32, sends: fn(u32) -> Vec<u8>) -> Attack {
    Attack { name, complaint: (kind::RESET, code), sends }
}

fn answer(stream: u32) -> Vec<u8> {
    frame(kind::HEADERS, flag::END_HEADERS, stream, OK)
}

const ATTACKS: &[Attack] = &[
    on_tunnel("nonsense", FRAME_SIZE_ERROR, |_| vec![0xff; 4096]),
    on_tunnel("a header block that is nonsense", COMPRESSION_ERROR, |stream| {
        frame(kind::HEADERS, flag::END_HEADERS, stream, &[0xff; 20])
    }),
    on_tunnel("an answer nobody asked for", PROTOCOL_ERROR, |stream| answer(stream + 100)),
    on_tunnel("a promise", PROTOCOL_ERROR, |stream| {
        frame(kind::PUSH_PROMISE, flag::END_HEADERS, stream, &[0; 9])
    }),
    on_tunnel("CONTINUATION without end", ENHANCE_YOUR_CALM, |stream| {
        let more = frame(kind::CONTINUATION, 0, stream, &[0; 100]);
        [frame(kind::HEADERS, 0, stream, OK), more.repeat(5000)].concat()
    }),
    on_tunnel("interim answers without end", ENHANCE_YOUR_CALM, |stream| {
        frame(kind::HEADERS, flag::END_HEADERS, stream, CONTINUE).repeat(5000)
    }),
    on_tunnel("settings without end", ENHANCE_YOUR_CALM, |_| frame(kind::SETTINGS, 0, 0, &[]).repeat(5000)),
    on_tunnel("a window beyond 2^31-1", FLOW_CONTROL_ERROR, |_| {
        frame(kind::WINDOW_UPDATE, 0, 0, &i32::MAX.to_be_bytes())
    }),
    on_stream("DATA before the answer", PROTOCOL_ERROR, |stream| frame(kind::DATA, 0, stream, b"too soon")),
    on_stream("an answer that ends before it begins", PROTOCOL_ERROR, |stream| {
        frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, CONTINUE)
    }),
    on_stream("a window update by nothing", PROTOCOL_ERROR, |stream| {
        [answer(stream), frame(kind::WINDOW_UPDATE, 0, stream, &[0; 4])].concat()
    }),
    on_stream("headers after the answer", PROTOCOL_ERROR, |stream| [answer(stream), answer(stream)].concat()),
];

/// A cluster with a pod whose tunnels this test answers.
struct Rig {
    cluster: Cluster,
    hostile: Pod,
    attack: Arc<Mutex<Option<&'static Attack>>>,
    complaints: mpsc::Receiver<(u8, u32)>,
}

impl Rig {
    fn start() -> Self {
        let cluster = Cluster::start("hostile-servers").unwrap();
        let lab = &cluster.lab;
        let hostile = lab.pod(&cluster.two, PodSpec::new("hostile")).unwrap();
        let identity = "spiffe://cluster.local/ns/default/sa/hostile";
        let certificate = Authority::of_control(lab).issue(lab.directory(), identity);
        let (chain, key) = load(&certificate);
        let mut tls = ServerConfig::builder_with_provider(Groups::Classic.provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let (attack, (complain, complaints)) = (Arc::new(Mutex::new(None)), mpsc::channel());
        let (tls, complain, chosen) = (Arc::new(tls), Mutex::new(complain), Arc::clone(&attack));
        let serve = move |tcp: TcpStream| {
            let tls = ServerConnection::new(Arc::clone(&tls)).map_err(io::Error::other)?;
            let attack: &Attack = chosen.lock().unwrap().expect("an attack is chosen");
            let complaint = attack.run(StreamOwned::new(tls, tcp))?;
            complain.lock().unwrap().send(complaint).map_err(io::Error::other)
        };
        lab.serve(&hostile, 15008, Behaviour::custom(serve)).unwrap();
        let workload = format!(
            "- {{uid: Kubernetes//Pod/default/hostile-mesh, name: hostile-mesh, namespace: default, \
             serviceAccount: hostile, workloadIps: [\"{}\"], protocol: HBONE, services: {{}}}}\n",
            hostile.ip4()
        );
        lab.set(Section::Workloads, &workload).unwrap();
        Self { cluster, hostile, attack, complaints }
    }
}

impl Attack {
    /// Waits for a request, sends what it sends, and reads what the client says to it.
    fn run(&self, mut tls: StreamOwned<ServerConnection, TcpStream>) -> io::Result<(u8, u32)> {
        let mut input = vec![0; PREFACE_LENGTH];
        tls.read_exact(&mut input)?;
        input.clear();
        tls.write_all(&frame(kind::SETTINGS, 0, 0, &[]))?;
        tls.flush()?;
        let request = wait_for(&mut tls, &mut input, |frame| frame.kind == kind::HEADERS)?;
        // The client may have heard enough before it has heard all.
        let _ = tls.write_all(&(self.sends)(request.stream)).and_then(|()| tls.flush());
        let complaint = wait_for(&mut tls, &mut input, |frame| COMPLAINTS.contains(&frame.kind))?;
        // The next attack is to get a tunnel of its own.
        let leave = [request.stream.to_be_bytes(), [0; 4]].concat();
        let _ = tls.write_all(&frame(kind::GO_AWAY, 0, 0, &leave)).and_then(|()| tls.flush());
        let _ = io::copy(&mut tls, &mut io::sink());
        let code = &complaint.payload[complaint.payload.len() - 4..];
        Ok((complaint.kind, number(code)))
    }
}

/// Octets of what a client begins with (RFC 9113 §3.4).
const PREFACE_LENGTH: usize = 24;

fn wait_for(
    from: &mut impl io::Read,
    input: &mut Vec<u8>,
    is_wanted: impl Fn(&Frame) -> bool,
) -> io::Result<Frame> {
    loop {
        let frame = read_frame(from, input)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if is_wanted(&frame) {
            return Ok(frame);
        }
    }
}

#[test]
fn whatever_a_server_does_wrong_is_a_reset() {
    let rig = Rig::start();
    let Cluster { client, server, .. } = &rig.cluster;
    let mut bystander = client.connect((server.ip4(), ECHO), SOON).unwrap();
    for attack in ATTACKS {
        *rig.attack.lock().unwrap() = Some(attack);
        let begun = Instant::now();
        let ending = exchange(client, (rig.hostile.ip4(), ECHO), b"anybody?");
        assert_eq!(ending, Ending::Reset, "{}", attack.name);
        assert!(begun.elapsed() < PROMPTLY, "{}: {:?}", attack.name, begun.elapsed());
        let complaint = rig.complaints.recv_timeout(SOON);
        assert_eq!(complaint, Ok(attack.complaint), "{}", attack.name);
        assert_alive(&mut bystander, attack.name.as_bytes());
    }
}
