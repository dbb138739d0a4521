//! What would become of a connection somebody might make: the same functions that decide about real ones, asked about one that is not.
//!
//! Goes in: who would call, whom. Comes out: the decisions and a verdict, by what this node knows. What only the other node knows
//! (whether the application listens, whether it has the same mesh state) is said to be unknown. Nobody is dialled.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use culvert_api::{Answer, Culprit, Question, Step, Verdict, Why};
use culvert_core::policy::{self, Peer};
use culvert_core::refusal::Refusal;
use culvert_core::route::{self, Known, Reputation, Route};
use culvert_core::snapshot::Snapshot;
use culvert_core::workload::{GatewayAddress, Workload};

use super::blame::{self, Seen};
use super::evidence::would_have;
use super::resolve::{self, Unresolved};
use super::steps::step;
use crate::admin::Sources;
use crate::control_plane::status::State as Reachable;
use crate::ledger::Direction;
use crate::outcome::Failure;
use crate::set_aside::Listed;

/// Explains what would become of a connection.
///
/// # Errors
/// When it is not known who is meant.
pub(crate) fn would(sources: &Sources, source: &str, destination: &str) -> Result<Why, Unresolved> {
    let snapshot = sources.mesh.snapshot();
    let caller = resolve::workload(&snapshot, source)?;
    let called = resolve::destination(&snapshot, &caller, destination)?;
    let mut asking = Asking { sources, snapshot: &snapshot, caller: &caller, steps: Vec::new() };
    asking.steps.push(step("caller", Answer::Pass, format!("`{source}` is {}", caller.uid)));
    asking.steps.push(step("destination", Answer::Pass, called.how));
    asking.look_at_mesh_state();
    let verdict = asking.decide(called.dialled);
    let question = Question::Hypothetical { source: source.to_owned(), destination: destination.to_owned() };
    Ok(Why { question, steps: asking.steps, verdict, connection: None })
}

struct Asking<'a> {
    sources: &'a Sources,
    snapshot: &'a Snapshot,
    caller: &'a Arc<Workload>,
    steps: Vec<Step>,
}

/// What this node's pods have learned of endpoints, for a connection that is not made: names are not looked up.
struct Learned(Vec<Listed>);

impl Known for Learned {
    fn reputation(&self, workload: &Workload, address: SocketAddr) -> Reputation {
        let aside = self.0.iter().any(|listed| listed.endpoint.is(workload, address));
        if aside { Reputation::SetAside } else { Reputation::Good }
    }

    fn addresses(&self, _hostname: &str) -> Option<&[IpAddr]> {
        None
    }

    fn has_asked_for(&self, _gateway: &GatewayAddress) -> bool {
        true
    }
}

impl Asking<'_> {
    /// What is old or missing is said before anything is decided by it.
    fn look_at_mesh_state(&mut self) {
        for status in self.sources.state.control_planes() {
            let view = status.view();
            if let Reachable::Down(error) = view.state {
                let what = format!("{} at {} does not answer: {error}", status.key(), status.address());
                self.steps.push(step("control plane", Answer::Note, what));
            }
        }
        for waits in self.sources.state.pending() {
            self.steps.push(step(
                "readiness",
                Answer::Note,
                format!("this node is not ready: it waits for {waits}"),
            ));
        }
    }

    fn decide(&mut self, dialled: SocketAddr) -> Verdict {
        if let Some(verdict) = self.own_port(dialled).or_else(|| self.certificate()) {
            return verdict;
        }
        let learned = Learned(self.learned());
        let found = route::outbound(self.snapshot, self.caller, dialled, rand::random(), &learned);
        match found {
            Err(Refusal::HostnameNotResolved { hostname, .. }) => self.not_looked_up(&hostname),
            Err(refusal) => self.refused(refusal),
            Ok(route) => {
                self.steps.push(step("way", Answer::Pass, self.told(&route)));
                self.policies(&route).unwrap_or_else(|| self.nothing_in_the_way(&route))
            }
        }
    }

    fn own_port(&mut self, dialled: SocketAddr) -> Option<Verdict> {
        let own = route::is_own_port(dialled.port()) && self.caller.addresses.contains(&dialled.ip());
        own.then(|| self.refused(Refusal::Loop { destination: dialled }))
    }

    /// Whether the caller, if it is of this node, has a certificate to show.
    fn certificate(&mut self) -> Option<Verdict> {
        let identity = self.caller.identity().ok()?;
        let listed = self.sources.identities.list().into_iter().find(|it| it.identity == identity);
        let Some(listed) = listed else {
            let what = format!(
                "{identity} is no identity of this node's pods: whether it has a certificate is known to its own node"
            );
            self.steps.push(step("certificate", Answer::Unknown, what));
            return None;
        };
        let what = format!("{identity}: {}", listed.state);
        if !listed.state.starts_with("Unavailable") {
            self.steps.push(step("certificate", Answer::Pass, what));
            return None;
        }
        self.steps.push(step("certificate", Answer::Stop, what.clone()));
        Some(Verdict {
            culprit: Culprit::Certificate,
            sentence: "the caller has no certificate to show".into(),
            evidence: vec![what],
            remedy: Some("see /v1/identities for what the authority says".into()),
        })
    }

    /// What the caller's pod could not reach lately.
    fn learned(&mut self) -> Vec<Listed> {
        let all = self.sources.state.set_aside().list(Instant::now());
        let own =
            |name: &str, namespace: &str| name == self.caller.name() && namespace == &*self.caller.namespace;
        let listed = all.into_iter().find(|(pod, _)| own(&pod.name, &pod.namespace));
        let listed = listed.map(|(_, endpoints)| endpoints).unwrap_or_default();
        for Listed { endpoint, left, .. } in &listed {
            let what = format!(
                "{} at {} could not be reached and is asked last for {} s",
                endpoint.workload,
                endpoint.address,
                left.as_secs()
            );
            self.steps.push(step("reputation", Answer::Note, what));
        }
        listed
    }

    /// Nobody's nameserver is asked for a connection that is not made.
    fn not_looked_up(&mut self, hostname: &str) -> Verdict {
        let what =
            format!("`{hostname}` is looked up when it is called, by the nameservers the calling pod asks");
        self.steps.push(step("way", Answer::Unknown, what.clone()));
        Verdict {
            culprit: Culprit::Unknown,
            sentence: "the endpoint has only a name, and whether that has an address is not known".into(),
            evidence: vec![what],
            remedy: Some("ask the pod's nameservers for the name from within the pod, or make the connection and ask again".into()),
        }
    }

    fn refused(&mut self, refusal: Refusal) -> Verdict {
        let failure = Failure::from(refusal);
        let seen = Seen { direction: Direction::Outbound, through: false };
        let blame = blame::of(&failure, seen);
        let error = failure.in_words();
        self.steps.push(step("way", Answer::Stop, error.clone()));
        Verdict {
            culprit: blame.culprit,
            sentence: error.clone(),
            evidence: vec![error],
            remedy: Some(blame.remedy.into()),
        }
    }

    fn told(&self, route: &Route) -> String {
        match route {
            Route::Passthrough { to, workload: None, .. } => {
                format!("{to} is not of the mesh: it is called as it is, in plaintext")
            }
            Route::Passthrough { to, workload: Some(workload), .. } => {
                format!("{} at {to} takes no tunnels: it is called in plaintext", workload.uid)
            }
            Route::Tunnel { peer, authority, expected, workload, .. } => {
                let expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
                format!(
                    "a tunnel to {} at {peer}, which has to be {}, and is asked for {authority}",
                    workload.uid,
                    expected.join(" or ")
                )
            }
            Route::Gateway { gateway, peer, authority, .. } => {
                format!(
                    "through the gateway {} at {peer} of another network, which is asked for {authority}",
                    gateway.uid
                )
            }
        }
    }

    /// What the policies of the destination say, as far as this node knows them.
    fn policies(&mut self, route: &Route) -> Option<Verdict> {
        let (workload, destination, identity) = match route {
            Route::Passthrough { to, workload: Some(workload), .. } => (workload, *to, None),
            Route::Tunnel { endpoint, workload, authority, .. }
                if authority.to_string() == endpoint.to_string() =>
            {
                (workload, *endpoint, self.caller.identity().ok())
            }
            Route::Passthrough { workload: None, .. } => return None,
            Route::Tunnel { .. } | Route::Gateway { .. } => {
                let what = "the waypoint or gateway decides; its policies are not this node's to judge";
                self.steps.push(step("policy", Answer::Unknown, what));
                return None;
            }
        };
        let source = *self.caller.addresses.first()?;
        let peer = Peer { identity, source: SocketAddr::new(source, 0), destination };
        let policies = self.snapshot.policies_for(workload);
        let verdict = policy::judge(&policies, &peer);
        for finding in policy::dry_run(&policies, &peer, &verdict) {
            self.steps.push(step("dry run", Answer::Note, would_have(finding)));
        }
        match verdict {
            policy::Verdict::Allow { policy } => {
                let by = policy.map_or_else(
                    || "no policy restricts it".to_owned(),
                    |policy| format!("let in by {policy}"),
                );
                self.steps.push(step("policy", Answer::Pass, by));
                None
            }
            policy::Verdict::Deny(denial) => Some(self.denied(denial)),
        }
    }

    fn denied(&mut self, denial: policy::Denial) -> Verdict {
        let failure = Failure::from(Refusal::Denied(denial));
        let blame = blame::of(&failure, Seen { direction: Direction::Inbound, through: false });
        let error = failure.in_words();
        self.steps.push(step("policy", Answer::Stop, error.clone()));
        Verdict {
            culprit: blame.culprit,
            sentence: "the destination's policies would not let it in".into(),
            evidence: vec![error],
            remedy: Some(blame.remedy.into()),
        }
    }

    /// The decisions let it through; what has become of such connections lately may say more.
    fn nothing_in_the_way(&mut self, route: &Route) -> Verdict {
        let what = "whether the application listens and answers is known to its own node";
        self.steps.push(step("application", Answer::Unknown, what));
        let mut evidence = Vec::new();
        if let Some(last) = self.last_failure(route) {
            self.steps.push(step("history", Answer::Note, last.clone()));
            evidence.push(last);
        }
        Verdict {
            culprit: Culprit::Nobody,
            sentence: "nothing this node knows of is in the way".into(),
            evidence,
            remedy: None,
        }
    }

    /// What has gone wrong last between the two.
    fn last_failure(&self, route: &Route) -> Option<String> {
        let (to, _) = route.choice()?;
        let books = self.sources.state.ledger().books();
        let own = books.iter().filter(|book| {
            book.pod.name == self.caller.name() && book.pod.namespace == *self.caller.namespace
        });
        let records = own.flat_map(|book| book.failed());
        records.into_iter().find_map(|record| {
            let facts = record.facts();
            let same = facts.to.workload.as_ref().is_some_and(|it| it.uid == to.uid);
            let ended = facts.ended.as_ref().filter(|_| same)?;
            let error = ended.result.as_ref().err()?.in_words();
            let ago = ended.at.elapsed().as_secs();
            Some(format!("{ago} s ago connection {} to it failed: {error}", record.id))
        })
    }
}
