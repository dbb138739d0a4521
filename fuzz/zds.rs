//! What agent and node say to each other about pods, in either direction.
//!
//! Bytes are a packet as it comes, with descriptors or without, whole or not; or what is put into one. What was read says what is in the
//! packet and can be said again; a namespace belongs to a pod, and whatever else came with a packet is dropped; kubelet is let in where
//! the packet says so and nowhere else; all that is said fits into what the other side reads; and only success is success.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::rc::Rc;

use culvert_proto::zds::{
    WorkloadInfo, WorkloadRequest, WorkloadResponse, ZdsHello, workload_request, workload_response,
};
use culvert_zds::{Lost, MOST_PROBE_PORTS, PACKET_LIMIT, Packet, Pod, Probes, Request};
use prost::Message as _;

use crate::input::Input;
use crate::memory::Bound;

/// The longest names Kubernetes has: of pods and accounts, and of namespaces.
const LONGEST: [usize; 2] = [253, 63];

/// The first byte decides who speaks, and whether he says it as it should be said.
pub fn run(data: &[u8]) {
    let bound = Bound::new((64 << 10) + 64 * data.len());
    let mut input = Input::new(data);
    match input.byte() % 4 {
        0 => node_reads(&mut input),
        1 => agent_reads(&mut input),
        2 => agent_says(&mut input),
        _ => node_says(&mut input),
    }
    bound.check();
}

/// A descriptor, which counts those that are open.
#[derive(Debug)]
struct Descriptor(Rc<Cell<usize>>);

impl Descriptor {
    fn open(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

fn node_reads(input: &mut Input<'_>) {
    let (lost, count) = (lost(input), usize::from(input.byte() % 4));
    let bytes = input.take(PACKET_LIMIT);
    let open = Rc::default();
    let descriptors = (0..count).map(|_| Descriptor::open(&open)).collect();
    let read = Request::read(Packet { bytes, descriptors, lost });
    let Ok(request) = read else {
        assert_eq!(open.get(), 0, "what came with it is open still");
        return;
    };
    let is_add = matches!(request, Request::Add { .. });
    assert_eq!(lost, Lost::Nothing, "it is not whole");
    assert_eq!((open.get(), count), (usize::from(is_add), usize::from(is_add)));
    is_what_it_says(&request, bytes);
    let said = request.encode();
    let descriptors = is_add.then(|| Descriptor::open(&open)).into_iter().collect();
    let again = Request::read(Packet { bytes: &said, descriptors, lost }).expect("it was said by us");
    assert_eq!(sayable(request), sayable(again));
    assert_eq!(open.get(), 0, "it is over");
}

/// A request is what the message says.
fn is_what_it_says<D>(request: &Request<D>, bytes: &[u8]) {
    use workload_request::Payload;
    let payload = WorkloadRequest::decode(bytes).expect("it was read").payload.expect("it was something");
    match (request, payload) {
        (Request::Add { uid, pod, .. }, Payload::Add(add)) => {
            assert_eq!(*uid, add.uid);
            is_pod(pod, &add.workload_info.expect("it is known who it is"));
        }
        (Request::Keep { uid }, Payload::Keep(keep)) => assert_eq!(*uid, keep.uid),
        (Request::Delete { uid }, Payload::Del(delete)) => assert_eq!(*uid, delete.uid),
        (Request::SnapshotSent, Payload::SnapshotSent(_)) => {}
        (_, other) => panic!("it is something else: {other:?}"),
    }
}

fn is_pod(pod: &Pod, info: &WorkloadInfo) {
    let names = (&pod.name, &pod.namespace, &pod.service_account);
    assert_eq!(names, (&info.name, &info.namespace, &info.service_account));
    let Probes { ports, from } = &pod.probes;
    for port in ports {
        assert!(*port != 0 && info.probe_ports.contains(&u32::from(*port)), "nobody said {port}");
    }
    let octets = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let said: Vec<_> = from.iter().map(octets).collect();
    let usable = info.host_addresses.iter().filter(|bytes| matches!(bytes.len(), 4 | 16));
    assert!(said.iter().eq(usable), "{from:?} are others");
    let senseless = |port: &&u32| !(1..=65_535).contains(*port);
    let left_out = info.probe_ports.iter().filter(senseless).count() + info.host_addresses.len() - from.len();
    assert_eq!(pod.left_out, left_out);
}

/// A request without its descriptor, as much of it as one packet may say.
fn sayable<D>(request: Request<D>) -> Request<()> {
    match request {
        Request::Add { uid, mut pod, netns: _ } => {
            pod.probes = first(&pod.probes);
            pod.left_out = 0;
            Request::Add { uid, pod, netns: () }
        }
        Request::Keep { uid } => Request::Keep { uid },
        Request::Delete { uid } => Request::Delete { uid },
        Request::SnapshotSent => Request::SnapshotSent,
    }
}

/// The lowest ports, and the first addresses.
fn first(probes: &Probes) -> Probes {
    let Probes { ports, from } = probes;
    let (ports, from) = (ports.iter().take(MOST_PROBE_PORTS), from.iter().take(4));
    Probes { ports: ports.copied().collect(), from: from.copied().collect() }
}

fn agent_says(input: &mut Input<'_>) {
    let choice = input.byte();
    let uid = text(input, LONGEST[0]);
    let (request, expected) = match choice % 4 {
        0 => (Request::Keep { uid: uid.clone() }, Request::Keep { uid }),
        1 => (Request::Delete { uid: uid.clone() }, Request::Delete { uid }),
        2 => (Request::SnapshotSent, Request::SnapshotSent),
        _ => {
            let [name, service_account] = [0, 1].map(|_| text(input, LONGEST[0]));
            let namespace = text(input, LONGEST[1]);
            let probes = probes(input);
            let pod = Pod { name, namespace, service_account, probes, left_out: 0 };
            let told = Pod { probes: first(&pod.probes), ..pod.clone() };
            assert_eq!(pod.probes.are_too_many(), told != pod);
            let uid = || uid.clone();
            (Request::Add { uid: uid(), pod, netns: () }, Request::Add { uid: uid(), pod: told, netns: () })
        }
    };
    let bytes = request.encode();
    assert!(bytes.len() <= PACKET_LIMIT, "{} bytes", bytes.len());
    let is_add = matches!(request, Request::Add { .. });
    let descriptors = vec![(); usize::from(is_add)];
    assert_eq!(Request::read(Packet { bytes: &bytes, descriptors, lost: Lost::Nothing }), Ok(expected));
}

fn probes(input: &mut Input<'_>) -> Probes {
    let count = input.byte();
    let number = |input: &mut Input<'_>| u16::try_from(input.number()).expect("it is two bytes");
    let ports: BTreeSet<u16> = (0..count % 64).map(|_| number(input)).filter(|port| *port != 0).collect();
    let from = (0..count / 32).map(|_| match input.byte() {
        last if last < 128 => IpAddr::from([10, 0, 0, last]),
        last => IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)]),
    });
    Probes { ports, from: from.collect() }
}

fn agent_reads(input: &mut Input<'_>) {
    let (lost, count) = (lost(input), usize::from(input.byte() % 3));
    let bytes = input.take(PACKET_LIMIT);
    let packet = || Packet { bytes, descriptors: vec![(); count], lost };
    let is_plain = lost == Lost::Nothing && count == 0;
    if culvert_zds::introduced(packet()).is_ok() {
        let hello = ZdsHello::decode(bytes).expect("it was read");
        assert!(is_plain && hello.version == 1, "{hello:?}");
    }
    let Ok(answer) = culvert_zds::answered(packet()) else { return };
    assert!(is_plain, "there is more to it");
    let payload = WorkloadResponse::decode(bytes).expect("it was read").payload;
    let Some(workload_response::Payload::Ack(ack)) = payload else { panic!("it is no answer") };
    assert_eq!(answer.err().unwrap_or_default(), ack.error);
}

fn node_says(input: &mut Input<'_>) {
    let hello = Packet { bytes: &culvert_zds::hello(), descriptors: Vec::<()>::new(), lost: Lost::Nothing };
    assert_eq!(culvert_zds::introduced(hello), Ok(()));
    let done = match input.byte() % 4 {
        0 => Ok(()),
        times => Err(text(input, usize::MAX).repeat(usize::from(times))),
    };
    let bytes = culvert_zds::answer(done.clone());
    assert!(bytes.len() <= PACKET_LIMIT, "{} bytes", bytes.len());
    let packet = Packet { bytes: &bytes, descriptors: Vec::<()>::new(), lost: Lost::Nothing };
    match (done, culvert_zds::answered(packet).expect("it is an answer")) {
        (Ok(()), Ok(())) => {}
        (Err(why), Err(said)) => {
            assert!(!said.is_empty() && (why.is_empty() || why.starts_with(&said)), "{said}");
            assert!(said.len() > 900 || why.is_empty() || said == why, "more would have fit");
        }
        (done, said) => panic!("{said:?} is what became of {done:?}"),
    }
}

fn lost(input: &mut Input<'_>) -> Lost {
    match input.byte() {
        0..224 => Lost::Nothing,
        224..240 => Lost::Bytes,
        _ => Lost::Descriptors,
    }
}

/// What the input has as text, cut between characters.
fn text(input: &mut Input<'_>, most: usize) -> String {
    let length = input.number();
    let mut text = String::from_utf8_lossy(input.take(length.min(most))).into_owned();
    while text.len() > most {
        text.pop();
    }
    text
}
