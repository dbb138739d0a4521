//! Who calls whom: clients that draw what they do from a seed, and judge each connection.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use culvert_lab::Pod;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::dialogue::{Manner, Outcome, Plan, speak};
use super::town::{Aim, Town};
use super::words::Header;

/// When a connection must have ended, whatever happens to it: later than a tunnel of which nothing comes is given up (30 s), and
/// what was on its way is sent again.
pub(crate) const DEADLINE: Duration = Duration::from_secs(45);

/// Whom everybody may want.
pub(crate) const AIMS: [Aim; 11] = [
    Aim::Shop,
    Aim::Inn,
    Aim::Mill,
    Aim::Tenant,
    Aim::Resident("alice"),
    Aim::Resident("shop-0"),
    Aim::Resident("shop-1"),
    Aim::Resident("vault"),
    Aim::Resident("street"),
    Aim::Resident("mallory"),
    Aim::Resident("mill"),
];

/// Those who call, as often as they are named here.
const CALLERS: [&str; 9] = ["alice", "alice", "bob", "bob", "mallory", "street", "shop-0", "shop-1", "vault"];

/// Whether a client can get there at all: not to itself, and to a service only from within the mesh.
pub(crate) fn is_sensible(client: &str, aim: Aim) -> bool {
    match aim {
        Aim::Resident(name) => name != client,
        Aim::Tenant => true,
        Aim::Shop | Aim::Inn => client != "street" && !client.starts_with("shop"),
        Aim::Mill => client != "street" && client != "mill",
    }
}

/// How much is said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// The longest pause between two connections of a caller.
    pub(crate) pause: Duration,
    /// The most bytes of a connection in one direction.
    pub(crate) most: u64,
    /// The longest rest of a slow client.
    pub(crate) rest: Duration,
}

/// Calls made on and on.
pub(crate) struct Callers<'t> {
    town: &'t Town,
    pace: Pace,
    over: AtomicBool,
    nonces: AtomicU64,
}

impl<'t> Callers<'t> {
    pub(crate) fn new(town: &'t Town, pace: Pace) -> Self {
        Self { town, pace, over: AtomicBool::new(false), nonces: AtomicU64::new(1) }
    }

    /// Calls for as long as something happens; what is open then comes to its own end.
    pub(crate) fn meanwhile<T>(&self, seed: u64, happen: impl FnOnce() -> T) -> T {
        thread::scope(|scope| {
            for (number, name) in CALLERS.into_iter().enumerate() {
                scope.spawn(move || self.call_on_and_on(name, seed.wrapping_add(number as u64)));
            }
            let _over = Over(&self.over);
            happen()
        })
    }

    fn call_on_and_on(&self, client: &'static str, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        while !self.over.load(Ordering::Relaxed) {
            let aim = *AIMS.choose(&mut random).expect("there are some");
            let (family, plan) = (random.random_range(0..2), self.plan(client, aim, &mut random));
            if is_sensible(client, aim) {
                self.call(client, (aim, family), &plan, DEADLINE);
            }
            let pause = self.pace.pause.as_secs_f64() * random.random_range(0.0..1.0);
            // What makes the pace: nothing is waited for here.
            thread::sleep(Duration::from_secs_f64(pause));
        }
    }

    fn plan(&self, client: &str, aim: Aim, random: &mut StdRng) -> Plan {
        let most = self.pace.most;
        let mut length = || match random.random_range(0..20) {
            0..2 => 0,
            2..12 => random.random_range(1..2000),
            12..19 => random.random_range(2000..100_000),
            _ => random.random_range(100_000..most),
        };
        let (up, down) = (length(), length());
        let (manner, reset_after) = match random.random_range(0..12) {
            0 => (Manner::Leaves(random.random_range(0..=up)), None),
            1 => (Manner::AtOnce, Some(random.random_range(0..=down))),
            2 => (Manner::Slow(self.pace.rest.mul_f64(random.random_range(0.0..1.0))), None),
            _ => (Manner::AtOnce, None),
        };
        self.planned(client, aim, (up, down), (manner, reset_after))
    }

    fn planned(
        &self,
        client: &str,
        aim: Aim,
        (up, down): (u64, u64),
        (manner, reset_after): (Manner, Option<u64>),
    ) -> Plan {
        let (privacy, nonce) = (Town::privacy(client, aim), self.nonces.fetch_add(1, Ordering::Relaxed));
        Plan { header: Header { privacy, nonce, client: client.to_owned(), up, down, reset_after }, manner }
    }

    /// Whether a short exchange goes as it should, within a time.
    pub(crate) fn try_once(&self, client: &str, aim: Aim, family: usize, within: Duration) -> Outcome {
        let plan = self.planned(client, aim, (300, 300), (Manner::AtOnce, None));
        self.call(client, (aim, family), &plan, within)
    }

    fn call(&self, client: &str, (aim, family): (Aim, usize), plan: &Plan, within: Duration) -> Outcome {
        let (begun, journal) = (self.town.begin(), &self.town.journal);
        let pod: &Pod = self.town.resident(client);
        let to = self.town.addresses(aim)[family];
        let outcome = match pod.connect(to, within) {
            Ok(stream) => speak(&stream, plan, begun.at + within),
            Err(error) => Outcome::Unanswered(super::line::End::Broken(error.kind())),
        };
        let name = match &outcome {
            Outcome::AsPlanned(name) | Outcome::Broken(name, _) | Outcome::Wrong(Some(name), _) => Some(name),
            Outcome::Wrong(None, _) | Outcome::Unanswered(_) => None,
        };
        let told = || format!("{client} to {aim:?} at {to}, {plan:?}, begun {:?} ago", begun.at.elapsed());
        // One that left at once was answered by nobody.
        if let Some(name) = name.filter(|name| !name.is_empty())
            && let Err(why) = self.town.may_answer(client, aim, begun, name)
        {
            journal.violated(format!("{}: {why}", told()));
        }
        // Where there is no tunnel, nothing asks whether the other end is still there: on the way to an address that is nobody's for a
        // while, and for who is outside of the mesh. A reset that is lost is not sent again (RFC 9293), and a pod that is gone says nothing.
        let may_hang =
            client == "street" || aim == Aim::Tenant && !matches!(outcome, Outcome::Wrong(Some(_), _));
        if let Outcome::Wrong(_, what) = &outcome
            && within >= DEADLINE
            && !(may_hang && what.contains("hung"))
        {
            journal.violated(format!("{}: {what}", told()));
        }
        journal.took(begun.at.elapsed());
        journal.count(|counts| {
            counts.made += 1;
            match &outcome {
                Outcome::AsPlanned(_) => {
                    counts.whole += 1;
                    counts.bytes += plan.header.down;
                }
                Outcome::Unanswered(_) => counts.refused += 1,
                Outcome::Broken(..) | Outcome::Wrong(..) => counts.broken += 1,
            }
        });
        outcome
    }
}

/// Has the callers end, also when a check fails.
struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
