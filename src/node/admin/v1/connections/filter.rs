//! Which connections somebody wants to see.

use culvert_api::End;

use super::super::problem::Refusal;
use super::super::query::{Named, Query};
use super::shape;
use crate::ledger::{Book, Direction, Facts, Record, Stage};
use crate::outcome::Failure;

const DIRECTIONS: [(&str, Direction); 2] =
    [("outbound", Direction::Outbound), ("inbound", Direction::Inbound)];

const STAGES: [(&str, Stage); 3] =
    [("deciding", Stage::Deciding), ("connecting", Stage::Connecting), ("open", Stage::Open)];

/// What must hold of a connection: all of these that are there.
#[derive(Debug, Default)]
pub(in crate::admin::v1) struct Filter {
    pod: Option<Named>,
    direction: Option<Direction>,
    stage: Option<Stage>,
    /// The stable name of why it did not end well.
    reason: Option<String>,
    source: Option<String>,
    destination: Option<String>,
    /// Somewhere in what is said of it.
    anywhere: Option<String>,
}

impl Filter {
    pub(in crate::admin::v1) fn read(query: &Query) -> Result<Self, Refusal> {
        Ok(Self {
            pod: query.pod()?,
            direction: query.word("direction", &DIRECTIONS)?,
            stage: query.word("stage", &STAGES)?,
            reason: query.reason()?,
            source: query.text("source")?,
            destination: query.text("destination")?,
            anywhere: query.text("q")?,
        })
    }

    /// Whether connections of this pod are wanted.
    pub(in crate::admin::v1) fn takes_book(&self, book: &Book) -> bool {
        let same = |named: &Named| named.namespace == book.pod.namespace && named.name == book.pod.name;
        self.pod.as_ref().is_none_or(same)
    }

    /// Whether what goes this way is wanted.
    pub(in crate::admin::v1) fn takes_direction(&self, direction: Direction) -> bool {
        self.direction.is_none_or(|wanted| wanted == direction)
    }

    /// Whether this connection is wanted.
    pub(super) fn takes(&self, record: &Record) -> bool {
        if !self.takes_direction(record.direction) {
            return false;
        }
        let Self { stage, reason, source, destination, anywhere, .. } = self;
        if stage.is_none()
            && reason.is_none()
            && source.is_none()
            && destination.is_none()
            && anywhere.is_none()
        {
            return true;
        }
        let facts = record.facts().clone();
        stage.is_none_or(|stage| facts.stage == stage)
            && reason.as_deref().is_none_or(|reason| of(&facts) == Some(reason))
            && self.texts_are_in(record, &facts)
    }

    fn texts_are_in(&self, record: &Record, facts: &Facts) -> bool {
        let Self { source, destination, anywhere, .. } = self;
        if source.is_none() && destination.is_none() && anywhere.is_none() {
            return true;
        }
        let (from, to) = (shape::source(record, facts), shape::destination(record, facts));
        let in_end = |wanted: &Option<String>, end| wanted.as_ref().is_none_or(|text| is_in_end(text, end));
        in_end(source, &from)
            && in_end(destination, &to)
            && anywhere.as_ref().is_none_or(|text| {
                is_in_end(text, &from) || is_in_end(text, &to) || is_in_rest(text, record, facts)
            })
    }
}

/// Why a connection did not end well.
fn of(facts: &Facts) -> Option<&'static str> {
    facts.ended.as_ref()?.result.as_ref().err().map(Failure::reason)
}

fn is_in_end(text: &str, end: &End) -> bool {
    let End { address, workload, owner, namespace, cluster, identity, service } = end;
    let named = |name: &Option<String>| {
        let name = name.as_deref()?;
        Some(namespace.as_ref().map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}")))
    };
    let names = [named(workload), named(owner), cluster.clone(), identity.clone(), service.clone()];
    contains(address, text) || names.iter().flatten().any(|name| contains(name, text))
}

fn is_in_rest(text: &str, record: &Record, facts: &Facts) -> bool {
    let said = [facts.authority.as_deref(), facts.policy.as_deref(), facts.asked.as_deref(), of(facts)];
    let written = || {
        let tunnel = facts.tunnel.map(|on| on.to_string()).unwrap_or_default();
        let (trace, dialled) = (shape::trace(facts), record.dialled.to_string());
        [record.id.to_string(), trace, dialled, facts.destination.to_string(), tunnel]
    };
    said.into_iter().flatten().any(|said| contains(said, text))
        || written().iter().any(|written| contains(written, text))
}

/// Whether a text is in another one; capital letters make no difference.
fn contains(whole: &str, part: &str) -> bool {
    whole.as_bytes().windows(part.len()).any(|here| here.eq_ignore_ascii_case(part.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{Pod, address};
    use super::*;

    #[test]
    fn a_connection_is_found_by_what_is_known_of_it() {
        let pod = Pod::new("shop", "web-1");
        let record = pod.to_db();
        let id = record.id.to_string();
        let table = [
            ("", true),
            ("pod=shop/web-1", true),
            ("pod=shop/web-2", false),
            ("pod=other/web-1", false),
            ("direction=outbound", true),
            ("direction=inbound", false),
            ("stage=open", true),
            ("stage=connecting", false),
            ("source=WEB", true),
            ("source=db", false),
            ("destination=db", true),
            ("destination=data/db", true),
            ("destination=shop/db", false),
            ("destination=sa/db", true),
            ("destination=db.data.svc", true),
            ("destination=10.0.0.2:5432", true),
            ("q=10.0.0.9:80", true),
            ("q=allow-db", true),
            ("q=nobody", false),
            ("q=000002A", true),
            ("direction=outbound&q=nobody", false),
            ("stage=open&destination=db&source=web", true),
            (&format!("q={id}"), true),
        ];
        for (text, taken) in table {
            let uri = format!("http://node/?{text}").parse().unwrap();
            let query = Query::read(&uri, super::super::LIVE).unwrap();
            let filter = Filter::read(&query).unwrap();
            assert_eq!(filter.takes_book(pod.book()) && filter.takes(&record), taken, "{text}");
        }
    }

    #[test]
    fn a_reason_is_the_whole_name_of_one() {
        let pod = Pod::new("shop", "web-1");
        let record = pod.book().begin(Direction::Inbound, address(1), address(2));
        pod.book().end(&record, Err(Failure::Drained));
        for (text, taken) in [("drained", true), ("drain", false), ("", true)] {
            let reason = Some(text.to_owned()).filter(|text| !text.is_empty());
            assert_eq!(Filter { reason, ..Filter::default() }.takes(&record), taken, "{text}");
        }
    }
}
