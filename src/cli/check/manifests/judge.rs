//! What there is to say about manifests: pure functions of what was read, and of what was derived from it.

use super::world::World;
use crate::check::finding::{Check, Finding};

mod enrolment;
mod entries;
mod hosts;
mod identities;
mod network;
mod policies;
mod ports;
pub(super) mod reading;
mod sidecars;
mod waypoints;
mod words;

/// All checks of manifests, in the order in which a person would look.
pub(super) const CHECKS: [&Check; 22] = [
    &reading::MANIFESTS,
    &reading::FILE,
    &reading::OBJECT,
    &reading::TWICE,
    &enrolment::KNOWN,
    &words::VALUE,
    &words::MISPLACED,
    &enrolment::NEVER,
    &sidecars::TRAFFIC,
    &sidecars::BY_HAND,
    &policies::UNDERSTOOD,
    &policies::SELECTS,
    &policies::ENFORCED,
    &policies::OVERRULED,
    &policies::PLAINTEXT,
    &identities::TRUST_DOMAIN,
    &identities::ACCOUNT,
    &waypoints::WAYPOINT,
    &entries::UNDERSTOOD,
    &hosts::ONCE,
    &network::TUNNELS,
    &ports::NAMED,
];

/// Judges everything.
pub(super) fn all(world: &World<'_>) -> Vec<Finding> {
    let judges = [
        reading::judge,
        enrolment::judge,
        words::judge,
        sidecars::judge,
        policies::judge,
        identities::judge,
        waypoints::judge,
        entries::judge,
        hosts::judge,
        network::judge,
        ports::judge,
    ];
    judges.iter().flat_map(|judge| judge(world)).collect()
}
