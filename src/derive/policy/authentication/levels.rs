//! What several `PeerAuthentication` objects say together about one workload, and the policies that follow from it.
//!
//! What is said is settled first, port by port ([`Strictness`]), and policies are made from that alone: they cannot miss an exception
//! because of where it was written. Nodes know nothing of modes; they are given DENY policies:
//!
//! | plaintext is             | rules of the policy, any of which denies                            | its key |
//! |--------------------------|---------------------------------------------------------------------|---------|
//! | accepted                 | none: there is no policy                                            |         |
//! | refused                  | no principal                                                        | `<root>/istio_converted_static_strict` |
//! | refused but on p, q      | no principal, and the port is not p, and it is not q                | `<namespace>/converted_peer_authentication_<name>` |
//! | accepted but on p, q     | no principal, and the port is p; or no principal, and the port is q | the same |
//!
//! No object can be called so: names have no underscores. The second policy is made for one object of the level of workloads, and
//! depends on the levels above. These are the same for all that it selects, since all are in one namespace.

use std::sync::Arc;

use culvert_core::policy::{Action, Clause, Match, Policy, Rule, Scope, StringMatch};

use crate::Settings;

use super::{Level, Mode, PeerAuthentication, Strictness};

/// What decides about one workload, on each level.
#[derive(Debug, Clone, Copy, Default)]
pub struct Levels<'a> {
    /// For the mesh.
    pub mesh: Option<&'a PeerAuthentication>,
    /// For its namespace.
    pub namespace: Option<&'a PeerAuthentication>,
    /// For itself.
    pub workload: Option<&'a PeerAuthentication>,
}

const STRICT: &str = "istio_converted_static_strict";
const CONVERTED: &str = "converted_peer_authentication_";

impl<'a> Levels<'a> {
    /// Takes the oldest of each level out of all that govern a workload.
    #[must_use]
    pub fn of(settings: &Settings, governing: &[&'a PeerAuthentication]) -> Self {
        let oldest = |level| {
            PeerAuthentication::oldest(governing.iter().copied().filter(|it| it.level(settings) == level))
        };
        Self {
            mesh: oldest(Level::Mesh),
            namespace: oldest(Level::Namespace),
            workload: oldest(Level::Workload),
        }
    }

    /// Gives on which ports of the workload plaintext is accepted.
    #[must_use]
    pub fn strictness(&self, settings: &Settings) -> Strictness {
        let from_above = [self.mesh, self.namespace, self.workload].into_iter().flatten();
        let strict = from_above.fold(false, |strict, it| it.mode(settings).is_strict(strict));
        let ports = self.workload.into_iter().flat_map(|it| it.ports(settings));
        Strictness::new(strict, ports.map(|(port, mode)| (port, mode.is_strict(strict))))
    }

    /// Gives the key of the policy the workload has to refer to, if there has to be one.
    #[must_use]
    pub fn key(&self, settings: &Settings) -> Option<Arc<str>> {
        self.policy(settings).map(|policy| policy.key)
    }

    /// Gives the policy the workload has to refer to, if there has to be one.
    #[must_use]
    pub fn policy(&self, settings: &Settings) -> Option<Policy> {
        let strictness = self.strictness(settings);
        let ports = || strictness.exceptions().iter().copied();
        let rules = match (strictness.is_strict(), self.workload) {
            (true, Some(of)) if !strictness.exceptions().is_empty() => (of, vec![nobody_but_on(ports())]),
            (true, _) => return Some(strict(settings)),
            (false, Some(of)) if !strictness.exceptions().is_empty() => {
                (of, ports().map(nobody_on).collect())
            }
            (false, _) => return None,
        };
        let (of, rules) = rules;
        Some(deny(&of.namespace, &format!("{CONVERTED}{}", of.name), rules))
    }
}

impl Mode {
    /// Tells whether plaintext is refused, if this is said below what says `above`.
    fn is_strict(self, above: bool) -> bool {
        match self {
            Self::Unset => above,
            Self::Open => false,
            Self::Strict => true,
        }
    }
}

/// Gives the policy that refuses all plaintext. It is the same for all who need it.
#[must_use]
pub fn strict(settings: &Settings) -> Policy {
    deny(&settings.root_namespace, STRICT, vec![Rule { clauses: vec![anonymous()] }])
}

fn deny(namespace: &Arc<str>, name: &str, rules: Vec<Rule>) -> Policy {
    Policy {
        key: format!("{namespace}/{name}").into(),
        name: name.into(),
        namespace: namespace.clone(),
        scope: Scope::WorkloadSelector,
        action: Action::Deny,
        rules,
        dry_run: false,
        unusable: None,
    }
}

/// No principal, and none of these ports.
fn nobody_but_on(ports: impl Iterator<Item = u16>) -> Rule {
    let other = |port| only(Match { not_destination_ports: vec![port], ..Match::default() });
    Rule { clauses: std::iter::once(anonymous()).chain(ports.map(other)).collect() }
}

/// No principal, and this port.
fn nobody_on(port: u16) -> Rule {
    Rule { clauses: vec![anonymous(), only(Match { destination_ports: vec![port], ..Match::default() })] }
}

/// No principal.
fn anonymous() -> Clause {
    only(Match { not_principals: vec![StringMatch::Presence], ..Match::default() })
}

fn only(it: Match) -> Clause {
    Clause { matches: vec![it] }
}
