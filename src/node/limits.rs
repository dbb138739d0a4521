//! Limits: what there may be only so much of. Each has a name, by which it is counted, shown and told of.
//!
//! In goes what is begun, and what is over; out comes a place for it, or [`Exceeded`]: the reason why not, with what to do. What is in
//! use is counted by guards ([`Held`]), so that nothing is forgotten however it ends. What becomes of who got no place is for who has
//! asked. Deliberately absent: limits of protocols and of parsers, which are nobody's to share (`culvert_core`).

mod bytes;
mod company;
mod counts;
mod crowd;
mod exceeded;
mod memory;
mod outputs;
mod place;
mod pod;
mod room;
mod shares;
mod table;
mod turnstile;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::proxy::PodInfo;
use crate::stream::quiet;
use bytes::Memory;
use company::Company;
use outputs::Outputs;
use room::Room;

pub(crate) use bytes::{Account, Buffered};
pub(crate) use counts::{describe_metrics, has, hit, hit_as_wished, may_be_logged};
pub(crate) use exceeded::Exceeded;
pub(crate) use outputs::Output;
pub(crate) use place::{By, OfPeer, Peer, Place};
pub(crate) use pod::{Held, OfPod};
pub(crate) use table::{Facts, HANDSHAKES, HANDSHAKES_OF_SOURCE, Limit};
pub(crate) use turnstile::Turnstile;

/// The limits of a node, and what its pods have. All handles see the same.
#[derive(Debug, Clone)]
pub(crate) struct OfNode(Arc<Node>);

/// What can be set.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Config {
    /// Connections a pod may have, whatever others have.
    pub(crate) most_connections: Option<u64>,
    /// Memory for what applications do not take; if nobody says, it depends on what the process may have.
    pub(crate) most_bytes: Option<u64>,
    /// What a connection in a tunnel may have of it, and a tunnel: their windows.
    pub(crate) of_stream: u64,
    pub(crate) of_tunnel: u64,
    /// For how long nothing may move on a connection.
    pub(crate) quiet: quiet::Limits,
}

#[derive(Debug)]
struct Node {
    config: Config,
    room: Room,
    memory: Memory,
    /// Large buffers for what tunnels send.
    outputs: Outputs,
    company: Company,
    pods: Mutex<Vec<Weak<OfPod>>>,
}

/// A limit, and how things stand with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    pub(crate) facts: Facts,
    /// How much there may be; none: without end.
    pub(crate) most: Option<u64>,
    /// What whoever has most of it has at the moment; nothing for what is not held.
    pub(crate) in_use: Option<u64>,
    /// The most that anybody had of it so far.
    pub(crate) highest: u64,
    /// How often it was reached.
    pub(crate) hits: u64,
}

impl Default for OfNode {
    fn default() -> Self {
        Self::new(Config::default())
    }
}

impl OfNode {
    /// Those of a process, which nobody uses yet.
    pub(crate) fn new(config: Config) -> Self {
        Self::within(config, room::open_files)
    }

    fn within(config: Config, open_files: fn() -> u64) -> Self {
        let memory = Memory::new(config.most_bytes.unwrap_or_else(memory::for_bytes));
        let (room, outputs, company) = (Room::new(open_files), Outputs::default(), Company::default());
        Self(Arc::new(Node { config, room, memory, outputs, company, pods: Mutex::default() }))
    }

    /// Begins to count what a pod has.
    pub(crate) fn begin(&self, pod: PodInfo) -> Arc<OfPod> {
        let node = Arc::clone(&self.0);
        let begun = Arc::new_cyclic(|begun| OfPod::new(pod, node, begun));
        let mut pods = self.lock();
        pods.retain(|pod| pod.strong_count() > 0);
        pods.push(Arc::downgrade(&begun));
        begun
    }

    /// How things stand with every limit, in the order of the table.
    pub(crate) fn look(&self) -> Vec<Standing> {
        let pods: Vec<_> = self.lock().iter().filter_map(Weak::upgrade).collect();
        let standing = |limit: Limit| {
            let facts = limit.facts();
            let (highest, hits) = counts::of(limit);
            let (most, in_use) = self.0.standing(limit, &pods);
            Standing {
                facts,
                most,
                in_use: facts.is_held().then_some(in_use),
                highest: highest.max(in_use),
                hits,
            }
        };
        Limit::ALL.into_iter().map(standing).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<OfPod>>> {
        self.0.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    /// How much there may be of something, and how much whoever has most of it has.
    fn standing(&self, limit: Limit, pods: &[Arc<OfPod>]) -> (Option<u64>, u64) {
        if limit == Limit::OpenFiles {
            open_files()
        } else if limit == Limit::Descriptors {
            (Some(self.room.all()), self.room.taken())
        } else if limit == Limit::BufferedBytes {
            (Some(self.memory.all()), self.memory.taken())
        } else {
            let of_pods = pods.iter().map(|pod| pod.standing(limit));
            of_pods.max_by_key(|(_, in_use)| *in_use).unwrap_or((self.config.most(limit), 0))
        }
    }
}

impl Config {
    /// How much there may be of what does not depend on what others have.
    fn most(&self, limit: Limit) -> Option<u64> {
        let milliseconds =
            |time: Option<Duration>| Some(u64::try_from(time?.as_millis()).unwrap_or(u64::MAX));
        if limit == Limit::ConnectionsOfPod {
            self.most_connections
        } else if limit == Limit::Beginnings {
            Some(crowd::held())
        } else if limit == Limit::BufferedBytesOfStream {
            Some(self.of_stream)
        } else if limit == Limit::BufferedBytesOfTunnel {
            Some(self.of_tunnel)
        } else if limit == Limit::HalfClosedIdle {
            milliseconds(self.quiet.half_closed)
        } else if limit == Limit::Idle {
            milliseconds(self.quiet.open)
        } else {
            limit.facts().most
        }
    }
}

/// How many descriptors the process may have, and has.
fn open_files() -> (Option<u64>, u64) {
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, |all| all.count() as u64);
    has(Limit::OpenFiles, open);
    (culvert_sys::limits::open_files().ok(), open)
}

#[cfg(test)]
pub(crate) mod tests;
