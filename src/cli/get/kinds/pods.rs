//! Pods, and their identities.

use culvert_api::{Identity, IdentityState, Pod, PodState};
use time::OffsetDateTime;

use super::super::list::{Column, Listed};
use super::{ends, since, size, unwanted};
use crate::output::{Cell, Tone, human};

impl Listed for Pod {
    const PATH: &'static str = "/v1/pods";
    const WHAT: &'static str = "pods";
    const ORDER: &'static [&'static str] = &["NAMESPACE", "NAME"];
    const COLUMNS: &'static [Column<Self>] = &[
        Column::left("NAMESPACE", |pod, _| Cell::text(&pod.namespace)),
        Column::left("NAME", |pod, _| Cell::text(&pod.name)),
        Column::left("STATE", |pod, _| state(pod.state)),
        Column::right("AGE", |pod, now| since(&pod.since, now)),
        Column::right("OPEN", |pod, _| Cell::number(pod.open)),
        Column::right("TOTAL", |pod, _| Cell::number(pod.connections)),
        Column::right("REFUSED", |pod, _| unwanted(pod.refused)),
        Column::right("BROKEN", |pod, _| unwanted(pod.broken)),
        Column::right("TO SERVER", |pod, _| size(pod.bytes.to_server)),
        Column::right("TO CLIENT", |pod, _| size(pod.bytes.to_client)),
        Column::wide("IDENTITY", |pod, _| Cell::maybe(pod.identity.as_ref())),
        Column::wide("SERVICE ACCOUNT", |pod, _| Cell::text(&pod.service_account)),
        Column::wide_right("NEXT TRY", |pod, now| {
            pod.next_try.as_ref().map_or_else(Cell::nothing, |at| coming(at, now))
        }),
        Column::wide("UID", |pod, _| Cell::text(&pod.uid)),
        Column::left("REASON", |pod, _| Cell::maybe(pod.reason.as_ref())),
    ];

    fn namespaces(&self) -> Vec<&str> {
        vec![&self.namespace]
    }

    fn names(&self) -> Vec<String> {
        vec![format!("{}/{}", self.namespace, self.name)]
    }
}

/// The time until a moment, in order of that.
fn coming(moment: &str, now: OffsetDateTime) -> Cell {
    let cell = |since: i64| Cell::sorted(human::ago(-since), (-since).into());
    human::seconds_since(moment, now).map_or_else(|| Cell::text(moment), cell)
}

fn state(state: PodState) -> Cell {
    match state {
        PodState::Up => Cell::text("up").in_tone(Tone::Good),
        PodState::Pending => Cell::text("pending").in_tone(Tone::Warning),
    }
}

impl Listed for Identity {
    const PATH: &'static str = "/v1/identities";
    const WHAT: &'static str = "identities";
    const ORDER: &'static [&'static str] = &["IDENTITY"];
    const COLUMNS: &'static [Column<Self>] = &[
        Column::left("IDENTITY", |it, _| Cell::text(&it.identity)),
        Column::left("STATE", |it, _| availability(it.state)),
        Column::right("EXPIRES", expires),
        Column::right("ROOT EXPIRES", root_expires),
        Column::right("PODS", |it, _| Cell::number(it.pods.len() as u64)),
        Column::wide("SERIAL", |it, _| Cell::maybe(it.chain.first().map(|leaf| &leaf.serial_number))),
        Column::wide("VALID FROM", |it, _| Cell::maybe(it.chain.first().map(|leaf| &leaf.valid_from))),
        Column::wide("NOT AFTER", |it, _| Cell::maybe(it.chain.first().map(|leaf| &leaf.expires))),
        Column::wide_right("CHAIN", |it, _| Cell::number(it.chain.len() as u64)),
        Column::wide_right("ROOTS", |it, _| Cell::number(it.roots.len() as u64)),
        Column::wide("POD NAMES", |it, _| {
            Cell::text(it.pods.iter().map(ends::pod).collect::<Vec<_>>().join(","))
        }),
        Column::left("ERROR", |it, _| Cell::maybe(it.error.as_ref())),
    ];

    fn namespaces(&self) -> Vec<&str> {
        self.pods.iter().map(|pod| pod.namespace.as_str()).collect()
    }

    fn names(&self) -> Vec<String> {
        self.pods.iter().map(ends::pod).chain([self.identity.clone()]).collect()
    }
}

fn availability(state: IdentityState) -> Cell {
    match state {
        IdentityState::Initializing => Cell::text("initializing").in_tone(Tone::Warning),
        IdentityState::Available => Cell::text("available").in_tone(Tone::Good),
        IdentityState::Unavailable => Cell::text("unavailable").in_tone(Tone::Bad),
    }
}

fn expires(identity: &Identity, now: OffsetDateTime) -> Cell {
    identity.chain.first().map_or_else(Cell::nothing, |leaf| left(&leaf.expires, now))
}

/// When there is no root any more: then the last of them has expired.
fn root_expires(identity: &Identity, now: OffsetDateTime) -> Cell {
    let cells = identity.roots.iter().map(|root| left(&root.expires, now));
    cells.max_by(Cell::compare).unwrap_or_else(Cell::nothing)
}

/// The time that is left until a moment, in order of that.
pub(crate) fn left(moment: &str, now: OffsetDateTime) -> Cell {
    const SOON: i64 = 3_600;
    let Some(left) = human::seconds_since(moment, now).map(|since| -since) else {
        return Cell::text(moment);
    };
    let (text, tone) = match left {
        ..=0 => (format!("expired {}", human::ago(-left)), Tone::Bad),
        1..SOON => (human::ago(left), Tone::Warning),
        SOON.. => (human::ago(left), Tone::Plain),
    };
    Cell::sorted(text, left.into()).in_tone(tone)
}
