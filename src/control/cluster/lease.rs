//! Which of several replicas does what one alone shall do: the one that holds a Lease (`coordination.k8s.io/v1`).
//!
//! In goes the API server, out comes whether it is us. A holder that was not seen to renew for as long as its lease lasts, by the clock of
//! who looks, has lost it; a holder that could not renew for that long takes itself for no holder before anybody else does. A holder that
//! ends gives it back, so that nobody waits for that.

use std::time::Duration;

use culvert_kubernetes::{Client, Error};
use culvert_process::exit::Chain;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::api::{Api, Written};

/// How long giving a lease back may take.
const GIVING_BACK: Duration = Duration::from_secs(2);

/// How long everything takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// A lease that is not renewed is over after that.
    lasts: Duration,
    /// How often it is renewed.
    renew: Duration,
    /// How often others look whether it is free.
    look: Duration,
    /// A holder gives up when it could not renew for so long: before the others take over.
    gives_up: Duration,
}

impl Terms {
    pub(super) const USUAL: Self = Self {
        lasts: Duration::from_secs(15),
        renew: Duration::from_secs(3),
        look: Duration::from_secs(1),
        gives_up: Duration::from_secs(10),
    };
}

/// A lease, as the API server has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Lease {
    #[serde(rename = "apiVersion")]
    version: String,
    kind: String,
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resource_version: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    holder_identity: Option<String>,
    lease_duration_seconds: Option<u64>,
    acquire_time: Option<String>,
    renew_time: Option<String>,
    lease_transitions: Option<u64>,
}

/// One who wants to hold a lease.
pub(super) struct Candidate {
    api: Api,
    lease: String,
    /// Who we are.
    own: String,
    terms: Terms,
    /// What was seen last of who holds it, and since when it has been so.
    seen: Option<(Spec, Instant)>,
    /// When we renewed last.
    renewed: Option<Instant>,
}

impl Candidate {
    pub(super) fn new(client: &Client, namespace: &str, [lease, own]: [&str; 2], terms: Terms) -> Self {
        let api = Api::at(client, format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"));
        Self { api, lease: lease.to_owned(), own: own.to_owned(), terms, seen: None, renewed: None }
    }

    /// Runs for ever; says whether we hold the lease.
    pub(super) async fn run(mut self, leads: watch::Sender<bool>) {
        loop {
            let begun = Instant::now();
            // A holder that waits for an answer does not hold for longer than that.
            let until = self.renewed.map_or(begun + self.terms.lasts, |at| at + self.terms.gives_up);
            match timeout_at(until, self.look()).await {
                Ok(Ok(true)) => self.renewed = Some(begun),
                Ok(Ok(false)) => self.renewed = None,
                Ok(Err(error)) => {
                    tracing::warn!(lease = self.lease, error = %Chain(&error), "lease cannot be renewed or looked at");
                }
                Err(_) => tracing::warn!(lease = self.lease, "lease is not renewed in time"),
            }
            let holds = self.renewed.is_some_and(|at| at.elapsed() < self.terms.gives_up);
            if !holds {
                self.renewed = None;
            }
            leads.send_if_modified(|leads| {
                if *leads != holds {
                    tracing::info!(lease = self.lease, holds, "leader");
                }
                std::mem::replace(leads, holds) != holds
            });
            sleep(if holds { self.terms.renew } else { self.terms.look }).await;
        }
    }

    /// Gives the lease back, if it is ours. Whoever else writes by our leave must have stopped.
    pub(super) async fn give_back(&self) {
        match timeout(GIVING_BACK, self.release()).await {
            Ok(Ok(true)) => tracing::info!(lease = self.lease, "lease given back"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => {
                tracing::warn!(lease = self.lease, error = %Chain(&error), "lease cannot be given back");
            }
            Err(_) => {
                tracing::warn!(lease = self.lease, deadline = ?GIVING_BACK, "lease is not given back in time")
            }
        }
    }

    async fn release(&self) -> Result<bool, Error> {
        loop {
            let lease = self.api.get::<Lease>(&self.lease).await?;
            let ours = |lease: &Lease| lease.spec.holder_identity.as_ref() == Some(&self.own);
            let Some(lease) = lease.filter(ours) else { return Ok(false) };
            let mut next = self.renewal(&lease);
            next.spec.holder_identity = Some(String::new());
            next.spec.lease_duration_seconds = Some(1);
            // Outdone is who has renewed it last, and did not hear the answer: ourselves.
            if self.api.replace(&self.lease, &next).await? == Written::Done {
                return Ok(true);
            }
        }
    }

    /// Renews the lease or takes it, if it is ours or nobody's; gives whether it is ours then.
    async fn look(&mut self) -> Result<bool, Error> {
        let Some(lease) = self.api.get::<Lease>(&self.lease).await? else {
            return Ok(self.api.create(&self.first()).await? == Written::Done);
        };
        let now = Instant::now();
        let since = match &self.seen {
            Some((spec, since)) if *spec == lease.spec => *since,
            Some(_) | None => now,
        };
        self.seen = Some((lease.spec.clone(), since));
        let holder = lease.spec.holder_identity.as_deref().filter(|holder| !holder.is_empty());
        let lasts = lease.spec.lease_duration_seconds.map_or(self.terms.lasts, Duration::from_secs);
        let is_free = holder.is_none() || now.duration_since(since) > lasts.max(self.terms.lasts);
        if holder != Some(self.own.as_str()) && !is_free {
            return Ok(false);
        }
        let next = self.renewal(&lease);
        Ok(self.api.replace(&self.lease, &next).await? == Written::Done)
    }

    fn first(&self) -> Lease {
        let now = now();
        Lease {
            version: "coordination.k8s.io/v1".to_owned(),
            kind: "Lease".to_owned(),
            metadata: Meta { name: self.lease.clone(), resource_version: None },
            spec: Spec {
                holder_identity: Some(self.own.clone()),
                lease_duration_seconds: Some(self.terms.lasts.as_secs()),
                acquire_time: Some(now.clone()),
                renew_time: Some(now),
                lease_transitions: Some(0),
            },
        }
    }

    fn renewal(&self, lease: &Lease) -> Lease {
        let mut next = self.first();
        next.metadata.resource_version.clone_from(&lease.metadata.resource_version);
        let is_ours = lease.spec.holder_identity.as_ref() == Some(&self.own);
        if is_ours {
            next.spec.acquire_time.clone_from(&lease.spec.acquire_time);
        }
        let transitions = lease.spec.lease_transitions.unwrap_or_default();
        next.spec.lease_transitions = Some(transitions.saturating_add(u64::from(!is_ours)));
        next
    }
}

/// The moment as the API server writes it (`MicroTime`).
fn now() -> String {
    let now = OffsetDateTime::now_utc();
    let micro = now.replace_nanosecond(now.microsecond() * 1000).unwrap_or(now);
    micro.format(&Rfc3339).expect("a year with four digits")
}

#[cfg(test)]
mod tests;
