//! The rules of a node's own network namespace that tell kubelet's probes from all else that comes from the node.
//!
//! In go the addresses of the pods on the node that are in the mesh, each with its pod's UID; out comes a namespace in which what
//! the node itself says to them over TCP comes from an address nobody else has ([`Disguise`]), by which the rules inside a pod
//! recognise it. Traffic the node only forwards keeps its source, although it may have the node's address as well.
//!
//! ```text
//!  socket of the node ─▶ POSTROUTING ─▶ ISTIO_POSTRT: has a socket? to a pod of the set? ─▶ SNAT
//! ```
//!
//! Who opens the socket matters little to the kernel: whatever runs on the node and calls a pod of the set is disguised like
//! kubelet, and so not captured by the pod, at any port. [`Disguise::user`] narrows that to one user, which keeps out what runs
//! without kubelet's rights.
//!
//! - `sets`: the pods, as sets of addresses (`ipset`); `program`: running it
//! - `rules`: the chain that uses them (iptables)
//!
//! Sets first and rules last, and when removing the other way round: whatever is left by a process that died in between has no
//! effect or the right one, and applying again completes it.

mod error;
mod program;
mod rules;
mod sets;

use std::collections::BTreeMap;
use std::net::IpAddr;

use culvert_sys::netns::Netns;

use crate::apply::Applied;
use crate::binary::{Iptables, Search, Toolset};
use crate::kernel::{self, Ipv6};
use crate::options::ProbeSource;
use crate::parse::Saved;
use crate::rule::{Family, Table};
use crate::tool::{Backend, Tool};

pub use error::{HostError, HostRemoveError};
use program::Ipset;
use sets::Set;

/// The addresses of the pods that are probed, and the UID of the pod that has each.
pub type ProbedPods = BTreeMap<IpAddr, String>;

/// How what a node's own processes say to pods of the mesh is made to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disguise {
    /// Where it seems to come from. Pods let this pass ([`Options::probes`](crate::Options::probes)).
    pub source: ProbeSource,
    /// The only user whose sockets count: kubelet's, mostly 0. Without one all do.
    pub user: Option<u32>,
}

impl Default for Disguise {
    /// The addresses pods let pass by default, and anybody's sockets.
    fn default() -> Self {
        Self { source: ProbeSource::default(), user: None }
    }
}

/// What programs a node's namespace.
#[derive(Debug, Clone)]
pub struct HostProbes {
    iptables: Iptables,
    ipset: Ipset,
    disguise: Disguise,
}

/// What there is of one IP version.
struct State<'a> {
    family: Family,
    /// The tool the rules belong to, and what it found.
    home: (&'a Tool, Saved),
    /// The tool of the other backend, if it found something of ours.
    stray: Option<(&'a Tool, Saved)>,
    set: Option<Set>,
}

impl HostProbes {
    /// Finds `ipset` beside the iptables programs.
    ///
    /// # Errors
    /// When it is not there, or the kernel has no sets.
    pub fn new(iptables: Iptables, search: &Search, disguise: Disguise) -> Result<Self, HostError> {
        Ok(Self { iptables: iptables.for_host(), ipset: Ipset::find(&search.directories)?, disguise })
    }

    /// The same for a namespace that nobody else programs, such as one that was made to try things out in: no turns are taken
    /// with the machine's other programs.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn for_trial(iptables: Iptables, search: &Search, disguise: Disguise) -> Result<Self, HostError> {
        Ok(Self { iptables, ipset: Ipset::find(&search.directories)?, disguise })
    }

    /// Brings the namespace to these pods and no others. Doing it again changes nothing.
    ///
    /// Addresses whose comment in the set cannot be a UID are somebody else's, and stay.
    ///
    /// # Errors
    /// When something could not be applied. What was there before stays; applying again completes it.
    pub fn apply(&self, host: &Netns, pods: &ProbedPods) -> Result<Applied, HostError> {
        check(pods)?;
        let states = self.observe(host, pods)?;
        let differences: Vec<String> =
            states.iter().flat_map(|state| self.differences(state, pods)).collect();
        if differences.is_empty() {
            return Ok(Applied::Unchanged);
        }
        let ours = states.iter().any(State::has_ours);
        for state in &states {
            self.bring_set(host, state, pods)?;
            self.bring_rules(host, state)?;
        }
        let applied = if ours { Applied::Repaired } else { Applied::Installed };
        tracing::debug!(netns = %host.id(), ?applied, ?differences, "rules for kubelet's probes programmed");
        Ok(applied)
    }

    /// Every difference between these pods and the namespace, in words. Empty means that [`Self::apply`] would change nothing.
    ///
    /// # Errors
    /// When the namespace could not be read, which says nothing about what it holds.
    pub fn verify(&self, host: &Netns, pods: &ProbedPods) -> Result<Vec<String>, HostError> {
        check(pods)?;
        let states = self.observe(host, pods)?;
        Ok(states.iter().flat_map(|state| self.differences(state, pods)).collect())
    }

    /// Removes the rules, and then the sets, whoever made them. Nothing left to remove is success.
    ///
    /// # Errors
    /// Everything that failed; what could be removed is removed all the same.
    pub fn remove(&self, host: &Netns) -> Result<(), HostRemoveError> {
        let mut errors = Vec::new();
        for family in Family::BOTH {
            let Ok(tools) = self.iptables.toolset(family) else { continue };
            errors.extend(tools.tools().filter_map(|tool| strip(host, tool, family).err()));
        }
        for family in Family::BOTH {
            errors.extend(self.ipset.destroy(host, sets::name(family)).err());
        }
        HostRemoveError::check(errors)
    }

    fn observe(&self, host: &Netns, pods: &ProbedPods) -> Result<Vec<State<'_>>, HostError> {
        let ipv6 = kernel::ipv6(host).map_err(HostError::Namespace)?;
        let mut states = Vec::new();
        for family in Family::BOTH {
            if family == Family::V6 && ipv6 == Ipv6::Absent {
                continue;
            }
            match self.iptables.toolset(family) {
                Ok(tools) => states.push(self.state(host, family, tools)?),
                Err(source) if sets::wanted(pods, family).next().is_some() => {
                    return Err(HostError::NoTool { family, source });
                }
                Err(_) => {}
            }
        }
        Ok(states)
    }

    fn state<'a>(&self, host: &Netns, family: Family, tools: &'a Toolset) -> Result<State<'a>, HostError> {
        let home = (&tools.preferred, read(host, &tools.preferred, family)?);
        let stray = match &tools.other {
            Some(other) => Some((other, read(host, other, family)?)),
            None => None,
        };
        let stray = stray.filter(|(_, saved)| rules::has_ours(saved.table(Table::Nat)));
        Ok(State { family, home, stray, set: self.ipset.read(host, family)? })
    }

    fn differences(&self, state: &State<'_>, pods: &ProbedPods) -> Vec<String> {
        let family = state.family;
        let mut all = sets::differences(family, state.set.as_ref(), pods);
        all.extend(rules::differences(&self.rule(family), state.home.1.table(Table::Nat)));
        if let Some((tool, _)) = &state.stray {
            all.push(format!("{} holds rules of ours as well", tool.name));
        }
        all.into_iter().map(|difference| format!("{family}: {difference}")).collect()
    }

    fn bring_set(&self, host: &Netns, state: &State<'_>, pods: &ProbedPods) -> Result<(), HostError> {
        let mut found = state.set.as_ref();
        if found.is_some_and(|set| !set.is_right_for(state.family)) {
            // A set in use cannot go, nor be exchanged for one of another kind.
            for (tool, _) in [Some(&state.home), state.stray.as_ref()].into_iter().flatten() {
                strip(host, tool, state.family)?;
            }
            self.ipset.destroy(host, sets::name(state.family))?;
            found = None;
        }
        self.ipset.restore(host, &sets::script(state.family, found, pods))
    }

    fn bring_rules(&self, host: &Netns, state: &State<'_>) -> Result<(), HostError> {
        let (family, tool) = (state.family, state.home.0);
        // Bringing the set may have changed them.
        let saved = read(host, tool, family)?;
        let script = rules::install(&self.rule(family), saved.table(Table::Nat));
        restore(host, tool, family, script)?;
        match &state.stray {
            Some((stray, _)) => strip(host, stray, family),
            None => Ok(()),
        }
    }

    fn rule(&self, family: Family) -> String {
        let to: IpAddr = match family {
            Family::V4 => self.disguise.source.v4.into(),
            Family::V6 => self.disguise.source.v6.into(),
        };
        rules::disguise(sets::name(family), to, self.disguise.user)
    }
}

impl State<'_> {
    fn has_ours(&self) -> bool {
        self.set.is_some() || self.stray.is_some() || rules::has_ours(self.home.1.table(Table::Nat))
    }
}

/// UIDs are written into scripts.
fn check(pods: &ProbedPods) -> Result<(), HostError> {
    match pods.iter().find(|(_, uid)| !sets::can_be_uid(uid)) {
        Some((address, uid)) => Err(HostError::Uid { address: *address, uid: uid.clone() }),
        None => Ok(()),
    }
}

fn read(host: &Netns, tool: &Tool, family: Family) -> Result<Saved, HostError> {
    let has_tables = tool.backend == Backend::Nft
        || kernel::has_legacy_tables(host, family).map_err(HostError::Namespace)?;
    if !has_tables {
        return Ok(Saved::default());
    }
    tool.save(host).map_err(|source| HostError::Rules { family, source })
}

/// Removes the rules, as one tool sees them.
fn strip(host: &Netns, tool: &Tool, family: Family) -> Result<(), HostError> {
    let saved = read(host, tool, family)?;
    restore(host, tool, family, rules::strip(saved.table(Table::Nat)))
}

fn restore(
    host: &Netns,
    tool: &Tool,
    family: Family,
    script: crate::script::Script,
) -> Result<(), HostError> {
    if script.is_empty() {
        return Ok(());
    }
    tool.restore(&script, host).map_err(|source| HostError::Rules { family, source })
}
