//! Who may answer whom: what was decided, what was revoked, and since when that is in force.

use std::fs;
use std::time::Instant;

use culvert_lab::{Section, http};
use serde_json::Value;

use super::{Aim, Town, lock};
use crate::harness::v1;

/// Whether Bob is welcome in the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Welcome {
    Allowed,
    Denied,
}

/// What is known of it: the number of the decision, and whether the node of `shop-1` is known to go by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) number: u32,
    pub(crate) welcome: Welcome,
    pub(crate) in_force: bool,
}

/// Whether the certificate of the gate is revoked: how often that has changed, and whether the node of `mill` is known to go by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Revocation {
    number: u32,
    revoked: bool,
    in_force: bool,
}

/// What was known when a connection began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun {
    pub(crate) at: Instant,
    pub(crate) decision: Decision,
    pub(crate) revocation: Revocation,
}

impl Decision {
    pub(super) const FIRST: Self = Self { number: 0, welcome: Welcome::Allowed, in_force: false };
}

impl Revocation {
    pub(super) const FIRST: Self = Self { number: 0, revoked: false, in_force: false };
}

impl Town {
    /// What is known by now.
    pub(crate) fn begin(&self) -> Begun {
        Begun { at: Instant::now(), decision: self.decision(), revocation: self.revocation() }
    }

    /// Whether a connection that began then may be answered by this one now; if not, why not.
    pub(crate) fn may_answer(&self, client: &str, aim: Aim, begun: Begun, name: &str) -> Result<(), String> {
        let is_wanted = match aim {
            Aim::Resident(wanted) => name == wanted,
            Aim::Tenant => self.was_tenant(name, begun.at),
            Aim::Shop => name == "shop-0" || name == "shop-1",
            Aim::Inn => name == "shop-1" || (is_in_inn(name) && self.was_tenant(name, begun.at)),
            Aim::Mill => name == "mill",
        };
        if !is_wanted {
            return Err(format!("{name} answered, whom nobody asked for"));
        }
        if name == "vault" && client != "alice" {
            return Err("the vault answered".to_owned());
        }
        if name == "mill" && aim != Aim::Mill {
            return Err("the mill answered somebody who has gone around its waypoint".to_owned());
        }
        // Judged at the node of the mill, which the gate makes a tunnel of its own to for each connection.
        let Revocation { revoked, in_force, .. } = begun.revocation;
        if aim == Aim::Mill && revoked && in_force && self.revocation() == begun.revocation {
            return Err("the mill answered through a waypoint whose certificate is revoked".to_owned());
        }
        // Judged where the shop is on another node than Bob; the node that was asked last is the one that has the rule.
        let decided = begun.decision;
        let denied = decided.in_force && decided.welcome == Welcome::Denied && self.decision() == decided;
        if client == "bob" && name == "shop-1" && denied {
            return Err(format!("{name} answered, decision {} denies it", decided.number));
        }
        Ok(())
    }

    fn was_tenant(&self, name: &str, begun: Instant) -> bool {
        let tenants = lock(&self.tenants);
        tenants.iter().any(|it| it.pod.name() == name && it.until.is_none_or(|until| until > begun))
    }

    pub(crate) fn decision(&self) -> Decision {
        *lock(&self.decision)
    }

    /// Writes down whether Bob is welcome in the shop.
    #[track_caller]
    pub(crate) fn decide(&self, welcome: Welcome) {
        let number = {
            let mut decision = lock(&self.decision);
            *decision = Decision { number: decision.number + 1, welcome, in_force: false };
            decision.number
        };
        let whom = if welcome == Welcome::Denied { "bob" } else { "nobody" };
        let deny = format!(
            "- {{name: decision-{number}, namespace: shop, scope: Namespace, action: Deny, \
             rules: [[[{{principals: [!Exact cluster.local/ns/{whom}/sa/{whom}]}}]]]}}\n"
        );
        self.lab.set(Section::Policies, &(deny + &only("alice", "vault") + &only("gate", "mill"))).unwrap();
    }

    /// Whether the node of `shop-1` goes by what was decided last; it is in force from then on.
    pub(crate) fn is_decided(&self) -> bool {
        let decision = self.decision();
        let Ok(answer) = http::get(self.nodes[1].netns(), v1::ADMIN, "/v1/policies") else {
            return false;
        };
        let is_it = answer.text().contains(&format!("\"decision-{}\"", decision.number));
        if is_it && decision == self.decision() {
            self.in_force();
        }
        is_it
    }

    /// What was decided last counts.
    pub(crate) fn in_force(&self) {
        lock(&self.decision).in_force = true;
    }

    pub(crate) fn revocation(&self) -> Revocation {
        *lock(&self.revocation)
    }

    /// Has both nodes read that the gate's certificate is revoked, or that none is.
    #[track_caller]
    pub(crate) fn revoke(&self, revoked: bool) {
        {
            let mut known = lock(&self.revocation);
            *known = Revocation { number: known.number + 1, revoked, in_force: false };
        }
        let text = if revoked { self.revocation_list() } else { String::new() };
        for node in &self.nodes {
            let (list, draft) = (Self::revocation_file(node), node.directory().join("crl.draft"));
            fs::write(&draft, &text).and_then(|()| fs::rename(&draft, &list)).unwrap();
        }
    }

    /// Whether the node of `mill` goes by the list that was written last, if that revokes the gate; it is in force from then on.
    pub(crate) fn is_revoked(&self) -> bool {
        let revocation = self.revocation();
        let Ok(answer) = http::get(self.nodes[1].netns(), v1::ADMIN, "/config_dump") else { return false };
        let dump: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let is_it = revocation.revoked && dump["revocation"]["certificates"] == 1;
        if is_it && revocation == self.revocation() {
            self.revocation_in_force();
        }
        is_it
    }

    /// The list that was written last counts.
    pub(crate) fn revocation_in_force(&self) {
        lock(&self.revocation).in_force = true;
    }
}

/// A policy: nobody but this one is let in there.
fn only(whom: &str, there: &str) -> String {
    format!(
        "- {{name: {whom}-only, namespace: {there}, scope: Namespace, action: Allow, \
         rules: [[[{{principals: [!Exact cluster.local/ns/{whom}/sa/{whom}]}}]]]}}\n"
    )
}

fn is_in_inn(name: &str) -> bool {
    let number = name.strip_prefix("tenant-").and_then(|number| number.parse::<u32>().ok());
    number.is_some_and(|number| number.is_multiple_of(2))
}
