//! A quiet moment: everything becomes as it should be, and then nothing is as it should not be.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use culvert_lab::{Belongings, Capture, Container, Error, Pod, Protocol, Snapshot, Wire, wait_until};
use culvert_sys::netns::Netns;

use crate::harness::cluster::ECHO;
use crate::harness::talk::{Ending, exchange};

use super::world::World;

/// How long it may take until everything is as it should be.
const PATIENCE: Duration = Duration::from_secs(90);
/// How many looks are taken at once.
const EYES: usize = 4;
/// How many differences of a pod are shown.
const SHOWN: usize = 6;
/// What applications say. Only on the wire of pods that are not in the mesh may it be read.
const SECRET: &str = "said in confidence by ";
const NO_SECRET: &str = "said in public by ";

/// What a node and its pods look like when all is well, before anything has happened.
pub(super) struct Normal {
    host: Snapshot,
    member: Snapshot,
    outsider: Snapshot,
    belongings: [Belongings; 2],
}

impl Normal {
    /// Waits until the two pods that are always there are as they should be, and remembers what that looks like.
    #[track_caller]
    pub(super) fn of(world: &World) -> Self {
        let member = world.member.pod();
        let is_served = || [15001, 15006, 15008].iter().all(|port| member.listens(*port).unwrap());
        within(world, "the first pod is served", || member.is_captured().unwrap() && is_served());
        within(world, "the first pod is reached", || says(world.outsider.pod(), member.ip4(), NO_SECRET));
        let outsider = Snapshot::of_pod(world.outsider.pod()).unwrap();
        let member = Snapshot::of_pod(member).unwrap();
        assert_ne!(member, outsider, "the test sees no difference where there is one");
        let host = Snapshot::of_node(&world.node).unwrap();
        Self { host, member, outsider, belongings: belongings(world) }
    }

    /// Waits until everything is as it should be, and fails if it does not become so or anything is as it should not be.
    #[track_caller]
    pub(super) fn check(&self, world: &World) {
        if let Err(error) =
            wait_until(PATIENCE, "all pods are there", || world.kubelet.unsettled().is_empty())
        {
            panic!("{error:?}: {:#?}{}", world.kubelet.unsettled(), world.lab.evidence());
        }
        within(world, "the control plane knows all pods", || {
            world.is_published() || world.failure().is_some()
        });
        assert_eq!(world.failure(), None);
        world.kubelet.bury();
        let [enrolled, others] = world.pods();
        self.assert_become(world, &enrolled, true);
        self.assert_become(world, &others, false);
        assert_private(world, &enrolled, &others);
        self.assert_no_leak(world, [&enrolled, &others]);
        let (captured, exposed) = world.kubelet.births();
        assert!(exposed.is_empty(), "not captured when they began: {exposed:?}{}", world.lab.evidence());
        world.rest();
        println!(
            "quiet: {} pods in the mesh, {} not; {captured} were captured before they began",
            enrolled.len(),
            others.len()
        );
    }

    /// Waits until pods look as they should, and others are told what they should be told.
    #[track_caller]
    fn assert_become(&self, world: &World, pods: &[Container], is_enrolled: bool) {
        let wanted = if is_enrolled { &self.member } else { &self.outsider };
        let end = Instant::now() + PATIENCE;
        let late = Mutex::new(Vec::new());
        for_each(pods, |container| {
            let mut differences = Vec::new();
            let left = end.saturating_duration_since(Instant::now());
            let is_it = || {
                differences = differences_of(wanted, Snapshot::of_pod(container.pod()));
                differences.extend(world.cluster.misreport(container.pod(), is_enrolled));
                differences.is_empty()
            };
            if wait_until(left, "the pod is as it should be", is_it).is_err() {
                let all = differences.len();
                differences.truncate(SHOWN);
                late.lock()
                    .unwrap()
                    .push(format!("{}: {all} differences, {differences:#?}", container.pod().name()));
            }
        });
        let late = late.into_inner().unwrap();
        assert!(late.is_empty(), "not as they should be: {}{}", late.join("; "), world.lab.evidence());
    }

    /// Waits until the programs hold nothing they should not: what they are told to let go of goes soon, not at once.
    #[track_caller]
    fn assert_no_leak(&self, world: &World, [enrolled, others]: [&[Container]; 2]) {
        // Not everybody may look at process 1.
        let machine = Netns::of_process(1).ok();
        let hosts: Vec<&Netns> = machine.iter().chain([world.node.netns().as_ref()]).collect();
        let known = |pods: &[&[Container]]| -> BTreeSet<String> {
            let pods = pods.iter().copied().flatten().map(|container| container.pod().netns().id());
            pods.chain(hosts.iter().map(|host| host.id())).map(|id| id.to_string()).collect()
        };
        // The runtime tells the agent of all pods.
        let known = [known(&[enrolled, others]), known(&[enrolled])];
        let foreign = || {
            let all = belongings(world).into_iter().zip(&known);
            all.map(|(held, known)| held.namespaces.difference(known).cloned().collect())
                .collect::<Vec<Vec<_>>>()
        };
        let what = "no program holds a namespace of a pod that is gone or not in the mesh";
        if wait_until(PATIENCE, what, || foreign().iter().all(Vec::is_empty)).is_err() {
            panic!("held: {:?}{}", foreign(), world.lab.evidence());
        }
        let mut host = Vec::new();
        let as_it_was = || {
            host = differences_of(&self.host, Snapshot::of_node(&world.node));
            host.is_empty()
        };
        if wait_until(PATIENCE, "the node is as it was", as_it_was).is_err() {
            panic!("the node is not as it was: {host:#?}{}", world.lab.evidence());
        }
    }

    /// With no pods left but the first two, the programs have what they had at the beginning.
    #[track_caller]
    pub(super) fn check_end(&self, world: &World) {
        self.check(world);
        // Connections to the control plane, and those that are kept for a while: a few, not one for each pod there ever was.
        const SLACK: usize = 12;
        let grown = || {
            let now = belongings(world);
            let pairs = self.belongings.iter().zip(&now);
            pairs.map(|(then, now)| (now.open_files(), then.open_files() + SLACK)).collect::<Vec<_>>()
        };
        let what = "open files are as few as at the beginning";
        if wait_until(PATIENCE, what, || grown().iter().all(|(now, most)| now <= most)).is_err() {
            panic!("{:?} then, {:?} now", self.belongings, belongings(world));
        }
    }
}

/// Every pod that is in the mesh talks to the next one, and nobody can read it; the others talk to one that is not, and everybody
/// can.
#[track_caller]
fn assert_private(world: &World, enrolled: &[Container], others: &[Container]) {
    let next = enrolled.iter().cycle().skip(1);
    let pairs: Vec<_> = enrolled.iter().zip(next).filter(|(from, to)| from.id() != to.id()).collect();
    // Until here nothing was said on how soon everything works; from here on it must, at once.
    for_each(&pairs, |(from, to)| {
        let what = format!("{} reaches {}", from.pod().name(), to.pod().name());
        within(world, &what, || to.pod().ips().into_iter().all(|ip| says(from.pod(), ip, NO_SECRET)));
    });
    let wire = Wire::of_host(world.node.netns()).unwrap();
    let failed = Mutex::new(Vec::new());
    let say = |from: &Container, to: &Container, text: &str| {
        for ip in to.pod().ips() {
            let ending = exchange(from.pod(), (ip, ECHO), line(from.pod(), text).as_bytes());
            if ending != Ending::Complete(line(from.pod(), text).into()) {
                let (from, to) = (from.pod().name(), to.pod().name());
                failed.lock().unwrap().push(format!("{from} -> {to} {ip}: {ending:?}"));
            }
        }
    };
    for_each(&pairs, |(from, to)| say(from, to, SECRET));
    for_each(others, |from| say(from, &world.outsider, NO_SECRET));
    let capture = wire.stop().unwrap();
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{failed:#?}{}", world.lab.evidence());
    capture.assert_lossless();
    assert_read(&capture, enrolled, others, &world.outsider);
}

/// Judges what could be read.
#[track_caller]
fn assert_read(capture: &Capture, enrolled: &[Container], others: &[Container], outsider: &Container) {
    let said = |container: &&Container, text: &str| capture.contains(line(container.pod(), text).as_bytes());
    if capture.contains(SECRET.as_bytes()) {
        let heard = enrolled.iter().filter(|container| said(container, SECRET));
        panic!("sent in clear by {:?}", heard.map(|container| container.pod().name()).collect::<Vec<_>>());
    }
    let unheard = others.iter().filter(|from| from.id() != outsider.id() && !said(from, NO_SECRET));
    let unheard: Vec<_> = unheard.map(|container| container.pod().name()).collect();
    assert!(unheard.is_empty(), "not in the mesh, and not read on the wire: {unheard:?}");
    let members: BTreeSet<_> = enrolled.iter().flat_map(|container| container.pod().ips()).collect();
    let between = |packet: &&culvert_lab::Packet| {
        let ends = [packet.source, packet.destination];
        packet.protocol == Protocol::Tcp && ends.iter().all(|end| members.contains(&end.ip()))
    };
    let tunnel = |end: &SocketAddr| end.port() == 15008;
    let outside = capture.packets().iter().filter(between);
    let outside: Vec<_> =
        outside.filter(|packet| ![packet.source, packet.destination].iter().any(tunnel)).collect();
    assert!(outside.is_empty(), "outside of tunnels: {:?}", &outside[..outside.len().min(9)]);
}

fn line(from: &Pod, text: &str) -> String {
    format!("{text}{}.", from.name())
}

fn says(from: &Pod, to: impl Into<IpAddr>, text: &str) -> bool {
    let text = line(from, text);
    exchange(from, (to.into(), ECHO), text.as_bytes()) == Ending::Complete(text.into())
}

/// What is not as it should be. That it could not be looked at is one such thing: rules may be changing.
fn differences_of(wanted: &Snapshot, now: Result<Snapshot, Error>) -> Vec<String> {
    now.map_or_else(|error| vec![format!("{error:?}")], |now| wanted.differences(&now))
}

fn belongings(world: &World) -> [Belongings; 2] {
    world.programs().map(|program| Belongings::of(&program).unwrap())
}

#[track_caller]
fn within(world: &World, what: &str, condition: impl FnMut() -> bool) {
    world.lab.wait_until(PATIENCE, what, condition).unwrap();
}

/// Looks at all, several at once.
fn for_each<T: Sync>(all: &[T], look: impl Fn(&T) + Sync) {
    thread::scope(|scope| {
        for eye in 0..EYES {
            let look = &look;
            scope.spawn(move || all.iter().skip(eye).step_by(EYES).for_each(look));
        }
    });
}
