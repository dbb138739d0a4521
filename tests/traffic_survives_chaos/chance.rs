//! What happens when, at random. The same seed gives the same plan: how long anything takes has no part in it.

use std::ops::Range;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::harness::traffic::town::{OURS, PARTS, Part, Welcome};

/// A node: the first or the second.
pub(super) type Side = usize;

/// Something that is broken for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A program is killed at once, and started again at the end.
    Kill(Part),
    /// A program stands still.
    Pause(Part),
    /// Of what a node sends to the other, so many percent are lost; all of it, with 100.
    Lossy(Side, u8),
    /// Of what a node sends to the other, so many percent come twice.
    Doubled(Side, u8),
    /// A node sends to the other so many kilobits in a second.
    Narrow(Side, u32),
    /// The wire between the nodes is down, at that end.
    Unplugged(Side),
    /// Packets between the nodes may be so large at most.
    SmallPackets(u32),
    /// The node's proxy may open so few files more.
    FewFiles(Side, u32),
    /// The node's proxy may have so few kilobytes more, and is started again at the end if that has ended it.
    LittleMemory(Side, u32),
    /// The clock of a program of ours is wrong by so many hours.
    Clock(Part, i32),
    /// The node's proxy is started anew, and the disk its log goes to is full.
    FullDisk(Side),
    /// A program of ours is started anew, and the disk it keeps its files on is full.
    NoRoom(Part),
    /// The waypoint's certificate is revoked.
    Revoked,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Break(Fault, Duration),
    Decide(Welcome),
    ChangeTenant,
}

/// What happens, and when.
pub(super) type Plan = Vec<(Duration, Step)>;

/// So many things are broken at a time, at most.
const AT_ONCE: usize = 3;
/// The longest time between two steps, in milliseconds.
const PAUSE: u64 = 500;

/// Draws a plan.
pub(super) fn plan(seed: u64, length: Duration) -> Plan {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut now, mut plan, mut broken) = (Duration::ZERO, Plan::new(), Vec::<(Duration, Fault)>::new());
    loop {
        now += Duration::from_millis(random.random_range(20..PAUSE));
        if now > length {
            return plan;
        }
        broken.retain(|(until, _)| *until > now);
        let step = match random.random_range(0..10) {
            0 => Step::ChangeTenant,
            1 => {
                Step::Decide(*[Welcome::Allowed, Welcome::Denied].choose(&mut random).expect("there are two"))
            }
            _ => {
                let fault = any_fault(&mut random);
                Step::Break(fault, Duration::from_millis(random.random_range(fault.lengths())))
            }
        };
        if let Step::Break(fault, duration) = step {
            if broken.len() >= AT_ONCE || broken.iter().any(|(_, other)| other.subject() == fault.subject()) {
                continue;
            }
            broken.push((now + duration, fault));
        }
        plan.push((now, step));
    }
}

fn any_fault(random: &mut StdRng) -> Fault {
    let side = random.random_range(0..2);
    let part = |random: &mut StdRng| *PARTS.choose(random).expect("there are some");
    let of_ours = |random: &mut StdRng| *OURS.choose(random).expect("there are some");
    match random.random_range(0..29) {
        0..4 => Fault::Kill(part(random)),
        4..7 => Fault::Pause(part(random)),
        7..9 => Fault::Lossy(side, random.random_range(1..30)),
        9..12 => Fault::Lossy(side, 100),
        12..14 => Fault::Doubled(side, random.random_range(1..50)),
        14..16 => Fault::Narrow(side, random.random_range(500..20_000)),
        16 => Fault::Unplugged(side),
        17..19 => Fault::SmallPackets(random.random_range(1280..1500)),
        19..21 => Fault::FewFiles(side, random.random_range(0..16)),
        21 => Fault::LittleMemory(side, random.random_range(0..4096)),
        22..24 => Fault::Clock(of_ours(random), wrong_by(random)),
        24 => Fault::FullDisk(side),
        25..27 => Fault::NoRoom(of_ours(random)),
        _ => Fault::Revoked,
    }
}

/// Hours, at least one.
fn wrong_by(random: &mut StdRng) -> i32 {
    let hours = random.random_range(1..72);
    if random.random_bool(0.5) { hours } else { -hours }
}

/// What is broken: one fault at a time has to do with it.
#[derive(Debug, PartialEq, Eq)]
enum Subject {
    Program(Part),
    Clock(Part),
    Certificate,
    Wire(Side),
    WholeWire,
}

impl Fault {
    /// How long it lasts, in milliseconds: no shorter than it takes until programs can have noticed.
    fn lengths(self) -> Range<u64> {
        match self {
            Self::Clock(..) | Self::NoRoom(_) | Self::Revoked => 2000..5000,
            Self::Kill(_)
            | Self::Pause(_)
            | Self::Lossy(..)
            | Self::Doubled(..)
            | Self::Narrow(..)
            | Self::Unplugged(_)
            | Self::SmallPackets(_)
            | Self::FewFiles(..)
            | Self::LittleMemory(..)
            | Self::FullDisk(_) => 100..3000,
        }
    }

    /// What it is called in tables.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Kill(_) => "killed",
            Self::Pause(_) => "stopped",
            Self::Lossy(_, 100) => "blackhole",
            Self::Lossy(..) => "loss",
            Self::Doubled(..) => "duplicates",
            Self::Narrow(..) => "rate",
            Self::Unplugged(_) => "link down",
            Self::SmallPackets(_) => "MTU",
            Self::FewFiles(..) => "descriptors",
            Self::LittleMemory(..) => "memory",
            Self::Clock(..) => "clock",
            Self::FullDisk(_) => "log disk full",
            Self::NoRoom(_) => "state disk full",
            Self::Revoked => "revoked",
        }
    }

    fn subject(self) -> Subject {
        match self {
            Self::Kill(part) | Self::Pause(part) | Self::NoRoom(part) => Subject::Program(part),
            Self::FewFiles(side, _) | Self::LittleMemory(side, _) | Self::FullDisk(side) => {
                Subject::Program(Part::Node(side))
            }
            Self::Clock(part, _) => Subject::Clock(part),
            Self::Revoked => Subject::Certificate,
            Self::Lossy(side, _) | Self::Doubled(side, _) | Self::Narrow(side, _) => Subject::Wire(side),
            Self::Unplugged(_) | Self::SmallPackets(_) => Subject::WholeWire,
        }
    }
}

impl Step {
    /// What it is called in tables.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Break(fault, _) => fault.kind(),
            Self::Decide(_) => "policy",
            Self::ChangeTenant => "address reused",
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_plan_and_all_kinds_happen() {
    let minutes = Duration::from_secs(600);
    assert_eq!(plan(1, minutes), plan(1, minutes));
    assert_ne!(plan(1, minutes), plan(2, minutes));
    let kinds: std::collections::BTreeSet<_> = plan(1, minutes).iter().map(|(_, step)| step.kind()).collect();
    assert_eq!(kinds.len(), 16, "{kinds:?}");
}
