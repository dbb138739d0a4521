//! The verdict on a connection: who has to act, and what that rests on.

use culvert_api::{Culprit, Verdict};

use super::blame::{self, Blame, Seen};
use super::evidence::{Evidence, Stale};
use super::knock::{Answer, Knocked};
use super::live;
use crate::identity::Refused;
use crate::ledger::Stage;
use crate::outcome::Failure;
use crate::tunnel;

/// Judges a connection by what is known of it.
pub(super) fn of(evidence: &Evidence) -> Verdict {
    match evidence.failure() {
        Some(failure) => of_failure(evidence, failure),
        None => of_none(evidence),
    }
}

fn of_failure(evidence: &Evidence, failure: &Failure) -> Verdict {
    let facts = &evidence.facts;
    let through = facts.waypoint || facts.nested;
    let seen = Seen { direction: evidence.record.direction, through };
    let first = blame::of(failure, seen);
    let weighed = weigh(evidence, failure, seen, first);
    let mut all = vec![failure.in_words()];
    all.extend(facts.tried.iter().map(|tried| format!("tried before: {}: {}", tried.address, tried.error)));
    all.extend(evidence.knocked.as_ref().map(said_when_knocked));
    all.extend(evidence.stale.as_ref().map(said_of_stale));
    all.extend(network(evidence));
    all.extend(
        evidence.denied_now.as_ref().map(|denial| format!("policies known here would deny it now: {denial}")),
    );
    Verdict {
        culprit: weighed.culprit,
        sentence: sentence(weighed.culprit, evidence),
        evidence: all,
        remedy: Some(weighed.remedy.into()),
    }
}

/// Weighs what a failure says against what else is known.
fn weigh(evidence: &Evidence, failure: &Failure, seen: Seen, blame: Blame) -> Blame {
    let gone = || Blame {
        culprit: Culprit::StaleConfig,
        remedy: "the mesh state is old and may name an address that is given to others by now: bring the control plane back (/v1/node says what it answers)",
    };
    if let Some(knocked) = &evidence.knocked {
        return match by_knocking(knocked, blame) {
            Blame { culprit: Culprit::Network, .. } if evidence.stale.is_some() => gone(),
            other => other,
        };
    }
    if evidence.denied_now.is_some() && failure.is_cut_at_peer() {
        let remedy =
            "ask the node of the destination for its refusals: it names the policy (culvert get refusals)";
        return Blame { culprit: Culprit::Policy, remedy };
    }
    if let Some(denial) =
        evidence.denied_now.as_ref().filter(|_| failure.is_denied_by_peer() && !seen.through)
    {
        return blame::of_denial(denial);
    }
    if failure.is_silent_tunnel() && has_arrived(evidence) {
        return blame::stopped(seen);
    }
    let about_address = if let Failure::Tunnel(tunnel::Error::Peer { source, .. }) = failure {
        matches!(source, Refused::Identity { .. })
    } else {
        use Culprit::{Config, Network, NodeMissing, Server, Unknown};
        matches!(blame.culprit, NodeMissing | Network | Config | Server | Unknown)
    };
    let of_the_way = matches!(failure, Failure::Tunnel(_) | Failure::Refused(_) | Failure::Dial(_));
    if evidence.stale.is_some() && about_address && of_the_way && !failure.is_said_by_peer() {
        return gone();
    }
    blame
}

/// Whether the other end's kernel has taken all that was sent.
fn has_arrived(evidence: &Evidence) -> bool {
    evidence.far.is_some_and(|far| far.info.bytes_unacknowledged == 0 && far.info.bytes_unsent == 0)
}

/// What is silent at one port and answers at another is behind a filter; what is silent everywhere is gone, or cut off.
fn by_knocking(knocked: &Knocked, blame: Blame) -> Blame {
    let network = |remedy| Blame { culprit: Culprit::Network, remedy };
    match (knocked.tunnel, knocked.application) {
        (Answer::Silence, application) if application.is_there() => blame,
        (Answer::Silence, _) if blame.culprit == Culprit::Firewall => network(
            "nothing at that address answers, not even the application's own port: look at routes, links and filters between the two nodes, and whether the pod still is",
        ),
        (Answer::Unreachable, _) => network("look at routes and links between the two nodes"),
        // It has come back meanwhile.
        (Answer::Open | Answer::Closed, _) if blame.culprit == Culprit::Firewall => {
            network("it answers now: look for what was between the two nodes at that time")
        }
        _ => blame,
    }
}

fn said_when_knocked(knocked: &Knocked) -> String {
    let Knocked { host, tunnel, application, port } = knocked;
    format!("asked now, {host} {}, and port {port} of it {}", tunnel.as_str(), application.as_str())
}

fn said_of_stale(Stale { before, error }: &Stale) -> String {
    format!(
        "the control plane had not answered for {} s when the connection began: {error}",
        before.as_secs()
    )
}

/// What the network's side was like, when that says something.
fn network(evidence: &Evidence) -> Option<String> {
    let far = evidence.far.as_ref()?.info;
    (far.retransmits > 0)
        .then(|| format!("{} segments were sent again, round trip {} ms", far.retransmits, far.rtt / 1000))
}

/// It has ended well, or lives.
fn of_none(evidence: &Evidence) -> Verdict {
    if let Some(waiting) = not_open_yet(evidence) {
        return waiting;
    }
    match live::find(evidence) {
        Some(live::Finding { culprit, sentence, remedy }) => Verdict {
            culprit,
            evidence: network(evidence).into_iter().collect(),
            sentence,
            remedy: Some(remedy.into()),
        },
        None => {
            let sentence = match evidence.facts.stage {
                Stage::Ended => "nothing is wrong: both ends have said all they had to say",
                Stage::Deciding | Stage::Connecting | Stage::Open => {
                    "nothing is wrong: bytes can move, and none wait"
                }
            };
            Verdict {
                culprit: Culprit::Nobody,
                sentence: sentence.into(),
                evidence: network(evidence).into_iter().collect(),
                remedy: None,
            }
        }
    }
}

/// It is under way, and nothing has failed so far.
fn not_open_yet(evidence: &Evidence) -> Option<Verdict> {
    let since = evidence.now.saturating_duration_since(evidence.facts.since).as_secs();
    let sentence = match evidence.facts.stage {
        Stage::Deciding => {
            format!("it is being found out where it may go, for {since} s; ask again when that has ended")
        }
        Stage::Connecting => format!(
            "{} is waited for, for {since} s; ask again when that has ended",
            evidence.facts.destination
        ),
        Stage::Open | Stage::Ended => return None,
    };
    Some(Verdict { culprit: Culprit::Unknown, sentence, evidence: Vec::new(), remedy: None })
}

/// One sentence for people who read nothing else.
fn sentence(culprit: Culprit, evidence: &Evidence) -> String {
    let hop = evidence.facts.destination;
    match culprit {
        Culprit::Nobody => "nothing is wrong".into(),
        Culprit::Client => "the calling application, or what it asked for".into(),
        Culprit::Server => "the called application, or the pod it runs in".into(),
        Culprit::Network => format!("the network on the way to {hop}"),
        Culprit::Firewall => format!("something drops what goes to {hop}: a NetworkPolicy or a firewall"),
        Culprit::Policy => "an authorization policy does not allow it".into(),
        Culprit::Certificate => "a certificate, or whom one end trusts".into(),
        Culprit::StaleConfig => "the mesh state is not that of the cluster".into(),
        Culprit::Config => "the mesh state says so: what was written about the service or workload".into(),
        Culprit::Capacity => "a limit of this machine or pod was reached".into(),
        Culprit::Waypoint => "the waypoint or gateway on the way".into(),
        Culprit::NodeMissing => format!("the mesh program at {hop} is not there, or has just ended"),
        Culprit::Dns => "a name could not be looked up".into(),
        Culprit::Mesh => "the mesh itself".into(),
        Culprit::Unknown => "what is known does not say".into(),
    }
}

#[cfg(test)]
mod tests;
