//! The servers of a service are replaced one after the other under load, and the newcomers get the addresses of those that have
//! gone: no connection fails, and each is answered by the one whose identity was proven to its client's proxy.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::RangeInclusive;
use std::thread;
use std::time::{Duration, Instant};

use culvert_lab::{
    Behaviour, Error, Lab, Node, Pod, PodSpec, Program, Server, Service, ServiceSpec, wait_until,
};

use crate::harness::cluster::lab;
use crate::harness::load::{Call, Load};
use crate::harness::talk::SOON;

const PORT: u16 = 80;
const TARGET: u16 = 8080;
/// New connections per second.
const RATE: u32 = 300;
/// Servers at any time.
const SERVERS: usize = 3;
/// Every so many calls take their time, so that there is something to drain.
const LONG_EVERY: u32 = 10;
const LONG: Duration = Duration::from_millis(300);

/// A server, and its application.
struct Member {
    pod: Pod,
    application: Server,
}

/// A captured client on one node, a service of three servers on the other.
struct Rig {
    lab: Lab,
    one: Node,
    two: Node,
    client: Pod,
    service: Service,
    members: Vec<Member>,
    made: usize,
    /// Every server there ever was: its name, and its identity.
    identities: BTreeMap<String, String>,
    proxy: Program,
    /// The service account of the `n`th server.
    account: fn(usize) -> String,
}

/// An application that says who it is and who called, after as many milliseconds as it is asked to take.
fn introduces_itself(name: String) -> Behaviour {
    let serve = move |mut stream: TcpStream| -> io::Result<()> {
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line)?;
        thread::sleep(Duration::from_millis(line.trim().parse().map_err(io::Error::other)?));
        writeln!(stream, "{name}")?;
        stream.shutdown(Shutdown::Write)?;
        io::copy(&mut stream, &mut io::sink()).map(drop)
    };
    Behaviour::custom(serve)
}

impl Rig {
    fn start(name: &str, account: fn(usize) -> String) -> Result<Self, Error> {
        let lab = lab(name)?;
        let (one, two) = (lab.node("one")?, lab.node("two")?);
        let client = lab.pod(&one, PodSpec::new("client").service_account("client"))?;
        let service = lab.service(ServiceSpec::new("shop").port(PORT, TARGET), &[])?;
        lab.enrol(&client)?;
        lab.start_mesh()?;
        let proxy = lab.proxy(&one).expect("it was just started");
        let (members, identities) = (Vec::new(), BTreeMap::new());
        let mut rig = Self { lab, one, two, client, service, members, made: 0, identities, proxy, account };
        for _ in 0..SERVERS {
            rig.join(None)?;
        }
        rig.publish()?;
        Ok(rig)
    }

    /// A new server, ready to serve, at a new address or at that of one that has gone; nobody is sent to it yet.
    fn join(&mut self, at: Option<&Pod>) -> Result<(), Error> {
        let spec = self.next();
        let pod = match at {
            Some(gone) => self.lab.successor(gone, spec)?,
            None => self.lab.pod(&self.two, spec)?,
        };
        self.serve(pod)
    }

    /// A new server on the client's own node.
    fn join_near(&mut self) -> Result<(), Error> {
        let spec = self.next();
        self.serve(self.lab.pod(&self.one, spec)?)
    }

    fn next(&mut self) -> PodSpec {
        let number = self.made;
        self.made += 1;
        PodSpec::new(&format!("server-{number}")).service_account(&(self.account)(number))
    }

    fn serve(&mut self, pod: Pod) -> Result<(), Error> {
        let application = self.lab.serve(&pod, TARGET, introduces_itself(pod.name().to_owned()))?;
        self.lab.enrol(&pod)?;
        self.identities.insert(pod.name().to_owned(), pod.identity());
        self.members.push(Member { pod, application });
        Ok(())
    }

    /// Has the service lead to the servers there are.
    fn publish(&self) -> Result<(), Error> {
        let pods: Vec<&Pod> = self.members.iter().map(|member| &member.pod).collect();
        self.lab.set_endpoints(&self.service, &pods)
    }

    fn load(&self) -> Load {
        let to = (self.service.ip4(), PORT).into();
        Load { from: self.client.clone(), to, rate: RATE, ask: how_long }
    }

    /// Replaces the oldest server, as a cluster does it in order: the next one is there and known before the old one is no
    /// longer sent anybody, and that one goes when it has nothing left to do.
    fn replace(&mut self, at: Option<&Pod>) -> Pod {
        self.join(at).unwrap();
        self.publish().unwrap();
        let Member { pod, application } = self.members.remove(0);
        self.publish().unwrap();
        wait_until_idle(&application);
        application.stop();
        self.lab.delete(&pod).unwrap();
        pod
    }

    /// The ends of the connections of which the client's proxy says that they are over: the client's port, and whom it has
    /// proven to be at the other end.
    #[track_caller]
    fn proven(&self, at_least: usize) -> Vec<(u16, String)> {
        let over = |line: &&str| line.contains("connection complete");
        let all = || self.proxy.log_text().lines().filter(over).count() >= at_least;
        self.lab.wait_until(SOON, "all connections are logged", all).unwrap();
        let end = |line: &str| {
            let from: SocketAddr = field(line, "src.addr").unwrap().parse().unwrap();
            let name = field(line, "dst.workload").unwrap();
            let identity = self.identities.get(name).map(String::as_str);
            assert_eq!(field(line, "dst.identity"), identity, "{line}");
            (from.port(), name.to_owned())
        };
        self.proxy.log_text().lines().filter(over).map(end).collect()
    }
}

fn how_long(number: u32) -> String {
    let long = if number.is_multiple_of(LONG_EVERY) { LONG } else { Duration::ZERO };
    format!("{}\n", long.as_millis())
}

/// The value of a field of a log line.
fn field<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let (_, rest) = line.split_once(&format!("{name}="))?;
    Some(rest.split([' ', '\t']).next()?.trim_matches('"'))
}

/// Waits until an application has had nothing to do for a moment: somebody may still be on the way to it.
fn wait_until_idle(application: &Server) {
    const MOMENT: Duration = Duration::from_millis(800);
    let (mut accepted, mut since) = (application.accepted(), Instant::now());
    let idle = || {
        if application.open() > 0 || application.accepted() != accepted {
            (accepted, since) = (application.accepted(), Instant::now());
        }
        since.elapsed() > MOMENT
    };
    wait_until(SOON, "the server is idle", idle).unwrap();
}

/// Asserts that nobody was let down, that the load was what it should be, and that each was answered by the one that was proven
/// to be there.
#[track_caller]
fn assert_nobody_was_let_down(rig: &Rig, calls: &[Call], took: Duration) {
    let failed: Vec<&Call> = calls.iter().filter(|call| call.answer().is_none()).collect();
    assert!(failed.is_empty(), "{} of {}: {failed:#?}\n{}", failed.len(), calls.len(), rig.lab.evidence());
    let planned = took.as_secs_f64() * f64::from(RATE);
    assert!(calls.len() as f64 > 0.9 * planned, "{} calls in {took:?}", calls.len());
    let slowest = calls.iter().max_by_key(|call| call.took).unwrap();
    assert!(slowest.took < Duration::from_secs(5), "{slowest:?}");
    assert_answered_by_those_proven(rig, calls);
    let answered: BTreeSet<&str> = calls.iter().filter_map(Call::answer).collect();
    let all: BTreeSet<&str> = rig.identities.keys().map(String::as_str).collect();
    assert_eq!(answered, all);
}

#[track_caller]
fn assert_answered_by_those_proven(rig: &Rig, calls: &[Call]) {
    let answered = calls.iter().filter_map(|call| Some((call.port?, call.answer()?.to_owned())));
    let mut answered: Vec<_> = answered.collect();
    answered.sort_unstable();
    let mixed_up = || {
        let mut proven = rig.proven(answered.len());
        proven.sort_unstable();
        // Those that got no answer are among the proven only.
        let mut proven = proven.into_iter();
        let mixed_up = answered.iter().filter(|end| !proven.any(|one| one == **end));
        mixed_up.cloned().collect::<Vec<_>>()
    };
    // Connections without an answer are logged as well: there may be enough lines before the last one has come.
    let _ = wait_until(SOON, "all connections are logged", || mixed_up().is_empty());
    let mixed_up = mixed_up();
    assert!(mixed_up.is_empty(), "answered by somebody else than was proven: {mixed_up:?}");
}

fn replace_all(mut rig: Rig) {
    const ROUNDS: usize = 6;
    let mut addresses = BTreeSet::new();
    let mut took = Duration::ZERO;
    let calls = rig.load().meanwhile(|begun| {
        let mut free = None;
        for _ in 0..ROUNDS {
            let gone = rig.replace(free.as_ref());
            addresses.insert(gone.ip4());
            free = Some(gone);
        }
        took = begun.elapsed();
    });
    assert_eq!(rig.made, SERVERS + ROUNDS);
    assert!(addresses.len() <= SERVERS + 1, "addresses are given again: {addresses:?}");
    assert_nobody_was_let_down(&rig, &calls, took);
}

#[test]
fn no_connection_fails_and_none_reaches_somebody_else_at_an_old_address() {
    replace_all(Rig::start("replaced", |number| format!("account-{number}")).unwrap());
}

/// As in a Deployment: the newcomers are who the old ones were, save for their uids.
#[test]
fn no_connection_fails_when_the_newcomers_have_the_old_identity() {
    replace_all(Rig::start("replaced-same", |_| "shop".into()).unwrap());
}

/// How long the mesh state does not know that a server is gone.
const LAG: Duration = Duration::from_secs(1);

/// The time in which something is killed.
fn death(begun: Instant, kill: impl FnOnce()) -> RangeInclusive<Duration> {
    let from = begun.elapsed();
    kill();
    from..=begun.elapsed()
}

/// Asserts that only those were let down who were there when somebody died.
#[track_caller]
fn assert_only_witnesses_were_let_down(rig: &Rig, calls: &[Call], deaths: &[RangeInclusive<Duration>]) {
    let saw = |call: &Call, death: &RangeInclusive<Duration>| {
        call.at <= *death.end() && call.at + call.took >= *death.start()
    };
    let witness = |call: &&Call| deaths.iter().any(|death| saw(call, death));
    let failed: Vec<&Call> = calls.iter().filter(|call| call.answer().is_none()).collect();
    let (witnesses, others): (Vec<&Call>, Vec<&Call>) = failed.into_iter().partition(witness);
    assert!(others.is_empty(), "deaths at {deaths:?}, let down: {others:#?}\n{}", rig.lab.evidence());
    assert!(!witnesses.is_empty(), "nobody was there when a server died");
    assert_answered_by_those_proven(rig, calls);
}

#[test]
fn a_server_that_is_killed_costs_only_the_connections_it_has() {
    let mut rig = Rig::start("killed", |number| format!("account-{number}")).unwrap();
    let mut deaths = Vec::new();
    let calls = rig.load().meanwhile(|begun| {
        for _ in 0..SERVERS {
            let Member { pod, application } = rig.members.remove(0);
            wait_until(SOON, "the server has something to do", || application.open() > 0).unwrap();
            deaths.push(death(begun, || application.stop()));
            // Meanwhile a third of the calls is sent to it first.
            thread::sleep(LAG);
            rig.publish().unwrap();
            rig.lab.delete(&pod).unwrap();
            rig.join(Some(&pod)).unwrap();
            rig.publish().unwrap();
        }
    });
    assert_only_witnesses_were_let_down(&rig, &calls, &deaths);
}

/// The servers behind it live on, and nobody tells the mesh anything.
#[test]
fn a_proxy_that_is_killed_costs_only_the_connections_it_carries() {
    let mut rig = Rig::start("killed-proxy", |number| format!("account-{number}")).unwrap();
    rig.lab.delete(&rig.members.remove(0).pod).unwrap();
    rig.join_near().unwrap();
    rig.publish().unwrap();
    let (far, near) = (&rig.members[0], &rig.members[2]);
    let mut deaths = Vec::new();
    let calls = rig.load().meanwhile(|begun| {
        wait_until(SOON, "the server has something to do", || far.application.open() > 0).unwrap();
        let proxy = rig.lab.proxy(&rig.two).unwrap();
        let kill = || assert!(!proxy.kill_hard().unwrap().success());
        deaths.push(death(begun, kill));
        thread::sleep(LAG);
        rig.lab.start_node(&rig.two).unwrap();
        let accepted = far.application.accepted();
        let served = || far.application.accepted() > accepted;
        wait_until(Duration::from_secs(60), "the far server is called again", served).unwrap();
    });
    assert_only_witnesses_were_let_down(&rig, &calls, &deaths);
    assert!(near.application.accepted() > RATE.into(), "nobody turned to the near server");
}

/// Nothing says so: what is sent to it disappears, on tunnels that are there and on new ones.
#[test]
fn a_pod_that_vanishes_costs_the_connections_it_has_and_those_of_a_moment() {
    /// How long a client's proxy may take to find out.
    const NOTICE: Duration = Duration::from_secs(2);
    let mut rig = Rig::start("vanished", |number| format!("account-{number}")).unwrap();
    let (mut fault, mut died) = (None, Duration::ZERO);
    let load = Load { rate: 30, ..rig.load() };
    let calls = load.meanwhile(|begun| {
        thread::sleep(LAG);
        let Member { pod, .. } = rig.members.remove(0);
        fault = Some(rig.lab.isolate(&rig.two, &pod).unwrap());
        died = begun.elapsed();
        thread::sleep(NOTICE + LAG);
        rig.publish().unwrap();
    });
    let failed = calls.iter().filter(|call| call.answer().is_none());
    let late: Vec<_> = failed.filter(|call| call.at > died + NOTICE).collect();
    assert!(
        late.is_empty(),
        "{} of {} were let down later than {NOTICE:?} after the end",
        late.len(),
        calls.len()
    );
    let slowest = calls.iter().filter(|call| call.at > died + NOTICE).max_by_key(|call| call.took).unwrap();
    assert!(slowest.took < Duration::from_secs(5), "{slowest:?}");
    assert_answered_by_those_proven(&rig, &calls);
}

/// As in a StatefulSet whose addresses are fixed: nothing tells the one that comes from the one that has gone.
#[test]
fn no_connection_fails_when_servers_come_back_under_their_names_and_addresses() {
    let mut rig = Rig::start("back", |number| format!("account-{number}")).unwrap();
    let calls = rig.load().meanwhile(|_| {
        for number in 0..SERVERS {
            let Member { pod, application } = rig.members.remove(0);
            rig.publish().unwrap();
            wait_until_idle(&application);
            application.stop();
            rig.lab.delete(&pod).unwrap();
            rig.made = number;
            rig.join(Some(&pod)).unwrap();
            rig.publish().unwrap();
        }
    });
    let failed: Vec<_> = calls.iter().filter(|call| call.answer().is_none()).collect();
    assert!(failed.is_empty(), "{} of {}: {failed:#?}", failed.len(), calls.len());
}
