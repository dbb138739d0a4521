//! Connections: those there are, and the last of those there were.

mod filter;
pub(crate) mod shape;

use std::sync::Arc;
use std::time::Instant;

use culvert_api::{Connection, Page};

use super::moment::Now;
use super::page::{self, Part};
use super::problem::{Refusal, quote};
use super::query::Query;
use super::sockets::Seen;
use super::{Sources, json};
use crate::ledger::{Book, Ended, Id, Record, Stage};

pub(super) use filter::Filter;

/// What can be asked of those there are.
pub(super) const LIVE: &[&str] =
    &["limit", "after", "pod", "direction", "stage", "source", "destination", "q", "sort"];

/// What can be asked of those there were.
pub(super) const ENDED: &[&str] =
    &["limit", "after", "pod", "direction", "reason", "source", "destination", "q"];

/// What the connections there are can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// The newest first.
    Began,
    /// The oldest first.
    Age,
    /// Those that have moved most first.
    Bytes,
}

const SORTS: [(&str, Sort); 3] = [("began", Sort::Began), ("age", Sort::Age), ("bytes", Sort::Bytes)];

/// A connection, and whose it is.
pub(super) type Entry = (Arc<Book>, Arc<Record>);

/// `/v1/connections`.
pub(super) fn live(sources: &Sources, query: &Query) -> Result<Vec<u8>, Refusal> {
    let filter = Filter::read(query)?;
    let sort = query.word("sort", &SORTS)?.unwrap_or(Sort::Began);
    let is_live = |record: &Record| record.facts().stage != Stage::Ended;
    let all = wanted(sources, &filter, Book::live).filter(|(_, record)| is_live(record));
    let part = page::by_numbers(query, all.map(|entry| (place(sources, sort, &entry.1), entry)))?;
    Ok(json(&shown(part)))
}

/// `/v1/refusals`: those that did not end well, the newest first.
pub(super) fn refusals(sources: &Sources, query: &Query) -> Result<Vec<u8>, Refusal> {
    let filter = Filter::read(query)?;
    ended(sources, query, wanted(sources, &filter, Book::failed))
}

/// `/v1/recent`: those that ended, well or not, the newest first.
pub(super) fn recent(sources: &Sources, query: &Query) -> Result<Vec<u8>, Refusal> {
    let filter = Filter::read(query)?;
    let both = |book: &Book| [book.failed(), book.complete()].concat();
    ended(sources, query, wanted(sources, &filter, both))
}

/// Has the form of an id.
const NOBODYS: &str = "0000000000000000";

/// `/v1/connections/{id}`.
pub(super) fn one(sources: &Sources, id: &str) -> Result<Vec<u8>, Refusal> {
    let (book, record) = find(sources, id)?;
    Ok(json(&shape::connection(&book, &record, (Now::read(), Seen::default().of(&book)))))
}

/// A connection there is or was.
pub(super) fn find(sources: &Sources, id: &str) -> Result<Entry, Refusal> {
    if id == NOBODYS {
        return Err(gone(id));
    }
    let known: Id = id.parse().map_err(|error| Refusal::bad_request(format!("{}: {error}", quote(id))))?;
    sources.shown.state.ledger().find(known).ok_or_else(|| gone(id))
}

/// There is no such connection any more.
fn gone(id: &str) -> Refusal {
    let kept = "of connections that are over, each pod's last ones alone are kept";
    Refusal::not_found(format!("this node has no connection {}; {kept}", quote(id).trim_matches('`')))
}

/// The connections of all books that a filter lets through.
fn wanted(
    sources: &Sources,
    filter: &Filter,
    of: impl Fn(&Book) -> Vec<Arc<Record>>,
) -> impl Iterator<Item = Entry> {
    let books = sources.shown.state.ledger().books().into_iter().filter(|book| filter.takes_book(book));
    let entries = books.flat_map(move |book| {
        let records = of(&book);
        records.into_iter().map(move |record| (Arc::clone(&book), record))
    });
    entries.filter(|(_, record)| filter.takes(record))
}

fn ended(sources: &Sources, query: &Query, all: impl Iterator<Item = Entry>) -> Result<Vec<u8>, Refusal> {
    let placed = all.filter_map(|entry| {
        let ended: Arc<Ended> = entry.1.facts().ended.clone()?;
        Some(([!age(sources, ended.at), entry.1.id.number()], entry))
    });
    Ok(json(&shown(page::by_numbers(query, placed)?)))
}

fn shown(part: Part<Entry>) -> Page<Connection> {
    let now = Now::read();
    let mut seen = Seen::default();
    part.show(|(book, record)| shape::connection(&book, &record, (now, seen.of(&book))))
}

/// Where a connection comes in its list. What has moved bytes meanwhile has moved in the list, too.
fn place(sources: &Sources, sort: Sort, record: &Record) -> [u64; 2] {
    let began = age(sources, record.began);
    let first = match sort {
        Sort::Began => !began,
        Sort::Age => began,
        Sort::Bytes => {
            let moved = Arc::clone(&record.facts().moved);
            !(moved.forth.bytes().saturating_add(moved.back.bytes()))
        }
    };
    [first, record.id.number()]
}

/// How old this process was at a moment.
pub(super) fn age(sources: &Sources, moment: Instant) -> u64 {
    let age = moment.saturating_duration_since(sources.began.0);
    u64::try_from(age.as_nanos()).unwrap_or(u64::MAX)
}
