//! What there may be only so much of.

use culvert_api::{Limit, LimitOf, LimitUnit};

use super::super::list::{Column, Listed};
use super::{milliseconds, size, unwanted};
use crate::output::Cell;

impl Listed for Limit {
    const PATH: &'static str = "/v1/limits";
    const WHAT: &'static str = "limits";
    const ORDER: &'static [&'static str] = &["NAME"];
    const COLUMNS: &'static [Column<Self>] = &[
        Column::left("NAME", |it, _| Cell::text(&it.name)),
        Column::left("OF A", |it, _| Cell::text(of(it.of))),
        Column::right("LIMIT", |it, _| much(it.most, it.unit)),
        Column::right("IN USE", |it, _| much(it.in_use, it.unit)),
        Column::right("HIGHEST", |it, _| much(it.highest, it.unit)),
        Column::right("HITS", |it, _| unwanted(it.hits)),
        Column::wide("SETTING", |it, _| Cell::maybe(it.setting.as_ref())),
        Column::wide("WHAT", |it, _| Cell::text(&it.about)),
    ];

    fn namespaces(&self) -> Vec<&str> {
        Vec::new()
    }

    fn names(&self) -> Vec<String> {
        vec![self.name.clone()]
    }
}

fn of(of: LimitOf) -> &'static str {
    match of {
        LimitOf::Process => "process",
        LimitOf::Pod => "pod",
        LimitOf::Peer => "peer",
        LimitOf::Source => "source",
        LimitOf::Tunnel => "tunnel",
        LimitOf::Connection => "connection",
    }
}

fn much(much: Option<u64>, unit: LimitUnit) -> Cell {
    match (much, unit) {
        (None, _) => Cell::nothing(),
        (Some(count), LimitUnit::Count) => Cell::number(count),
        (Some(bytes), LimitUnit::Bytes) => size(bytes),
        (Some(time), LimitUnit::Milliseconds) => milliseconds(time),
    }
}
