//! The decisions about a connection that was recorded, in the order they were taken.

use culvert_api::{Answer, Step};

use super::evidence::Evidence;
use crate::ledger::{Direction, Party, Stage};

pub(super) fn step(what: &str, answer: Answer, found: impl Into<String>) -> Step {
    Step { what: what.into(), answer, found: found.into() }
}

/// Tells what was decided, as far as it came.
pub(super) fn of(evidence: &Evidence) -> Vec<Step> {
    let mut steps = match evidence.record.direction {
        Direction::Outbound => outbound(evidence),
        Direction::Inbound => inbound(evidence),
    };
    steps.extend(evidence.tried_out.iter().map(|it| step("dry run", Answer::Note, it.as_str())));
    steps.extend(opened(evidence));
    steps.extend(ended(evidence));
    steps
}

fn outbound(evidence: &Evidence) -> Vec<Step> {
    let (record, facts) = (&evidence.record, &evidence.facts);
    let mut steps = vec![step(
        "capture",
        Answer::Pass,
        format!("pod {} called {} from {}", evidence.pod, record.dialled, record.client),
    )];
    steps.extend(
        facts.asked.as_ref().map(|asked| step("SOCKS", Answer::Pass, format!("it asked for {asked}"))),
    );
    steps.push(match &facts.from.workload {
        Some(workload) => {
            step("own workload", Answer::Pass, format!("the mesh knows the pod as {}", workload.uid))
        }
        None => step("own workload", Answer::Unknown, "the mesh did not know the pod, or it was not asked"),
    });
    steps.extend(facts.service.as_ref().map(|service| {
        step("service", Answer::Pass, format!("{} is service {}", record.dialled, service.key()))
    }));
    for tried in &facts.tried {
        steps.push(step("attempt", Answer::Note, format!("{}: {}", tried.address, tried.error)));
    }
    if facts.stage != Stage::Deciding && facts.ended.as_ref().is_none_or(|_| facts.to.workload.is_some()) {
        steps.push(way(evidence));
    }
    if let Some(tunnel) = facts.tunnel {
        let peer = whom(&facts.to);
        steps.push(step(
            "tunnel",
            Answer::Pass,
            format!("on tunnel {tunnel} to {}, which is {peer}", facts.destination),
        ));
    }
    steps
}

fn way(evidence: &Evidence) -> Step {
    let facts = &evidence.facts;
    let to =
        facts.to.workload.as_ref().map_or_else(|| "no workload of the mesh".into(), |it| it.uid.to_string());
    let found = match &facts.authority {
        None => format!("plain TCP to {}, {to}", facts.destination),
        Some(authority) if facts.waypoint => {
            format!("through the waypoint {to} at {}, which is asked for {authority}", facts.destination)
        }
        Some(authority) if facts.nested => {
            format!(
                "through the gateway at {} of another network, which is asked for {authority}",
                facts.destination
            )
        }
        Some(authority) => {
            format!("a tunnel to {to} at {}, which is asked for {authority}", facts.destination)
        }
    };
    step("way", Answer::Pass, found)
}

fn inbound(evidence: &Evidence) -> Vec<Step> {
    let (record, facts) = (&evidence.record, &evidence.facts);
    let how = match &facts.authority {
        Some(authority) => format!("in a tunnel from {}, asking for {authority}", record.client),
        None => format!("in plaintext from {} to {}", record.client, record.dialled),
    };
    let mut steps = vec![
        step("arrival", Answer::Pass, format!("pod {} was called {how}", evidence.pod)),
        match &facts.from.identity {
            Some(identity) => step("caller", Answer::Pass, format!("it has proven to be {identity}")),
            None => step("caller", Answer::Note, "it has proven nothing"),
        },
    ];
    if facts.probe {
        steps.push(step("probe", Answer::Pass, "it is one of kubelet's probes, which no policy judges"));
    }
    steps.extend(
        facts.policy.as_ref().map(|policy| step("policy", Answer::Pass, format!("let in by {policy}"))),
    );
    steps.extend(facts.delivered.map(|to| step("delivery", Answer::Pass, format!("to {to} of the pod"))));
    steps
}

fn opened(evidence: &Evidence) -> Option<Step> {
    let facts = &evidence.facts;
    let was_open = facts.stage == Stage::Open || facts.ended.as_ref().is_some_and(|ended| ended.was_open);
    was_open.then(|| {
        let (to_server, to_client) = (facts.moved.forth.bytes(), facts.moved.back.bytes());
        step("open", Answer::Pass, format!("{to_server} bytes to the server, {to_client} back"))
    })
}

fn ended(evidence: &Evidence) -> Option<Step> {
    let facts = &evidence.facts;
    let ended = facts.ended.as_ref()?;
    let by = facts
        .ends()
        .closed_by
        .map_or_else(String::new, |closer| format!(", first by the {}", closer.as_str()));
    Some(match &ended.result {
        Ok(()) => step("end", Answer::Pass, format!("both ends have said all they had to say{by}")),
        Err(failure) => step("end", Answer::Stop, failure.in_words()),
    })
}

fn whom(party: &Party) -> String {
    party.identity.as_ref().map_or_else(|| "not known".into(), ToString::to_string)
}
