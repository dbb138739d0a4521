//! What a person has made of the screen, and what is on it: values only.

use std::time::Duration;

use culvert_api::{Connection, Identity, Node, Tunnel};
use time::OffsetDateTime;

use super::rates::{self, Rated, rated};
use super::sample::{List, Sample};
use super::tab::Tab;
use crate::get::kinds::Ended;
use crate::get::list::{Listed, table};
use crate::output::{Table, clean};

/// All of it.
#[derive(Debug)]
pub(crate) struct State {
    /// What is shown.
    pub(super) tab: Tab,
    /// Only lines with this.
    pub(super) filter: String,
    /// Whether keys are letters of the filter.
    pub(super) typing: bool,
    /// Whether what is shown stays.
    pub(super) paused: bool,
    /// Whether the keys are explained.
    pub(super) help: bool,
    /// The line somebody looks at.
    pub(super) selected: usize,
    /// How the lines of each tab are ordered.
    orders: [Order; Tab::ALL.len()],
    /// What the node is called.
    pub(super) address: String,
    /// What was heard last.
    pub(super) heard: Option<Heard>,
    /// Why nothing was heard since.
    pub(super) trouble: Option<String>,
}

/// By which column, and which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    /// `None`: as the node says it.
    pub(super) column: Option<usize>,
    /// Whether the largest comes first.
    pub(super) falling: bool,
}

/// What was heard, and made comparable.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) node: Node,
    pub(super) taken: OffsetDateTime,
    /// Whether the node has no more of it.
    pub(super) is_all: bool,
    at: Duration,
    shown: Shown,
}

#[derive(Debug)]
enum Shown {
    Connections(Vec<Connection>),
    Traffic(Vec<Rated>),
    Refusals(Vec<Ended>),
    Certificates(Vec<Identity>),
    Tunnels(Vec<Tunnel>),
}

impl State {
    /// Nothing was heard yet.
    pub(super) fn new(tab: Tab, filter: &str, address: &str) -> Self {
        Self {
            tab,
            filter: filter.to_owned(),
            typing: false,
            paused: false,
            help: false,
            selected: 0,
            orders: Tab::ALL.map(Order::usual),
            address: address.to_owned(),
            heard: None,
            trouble: None,
        }
    }

    /// Takes what the node says. What is of another tab came too late, and what comes in a pause is not looked at.
    pub(super) fn accept(&mut self, sample: Sample) {
        if self.paused || sample.tab() != self.tab {
            return;
        }
        let shown = match sample.list {
            List::Connections(list) => Shown::Connections(list),
            List::Traffic(list) => self.compared(list, sample.at),
            List::Refusals(list) => Shown::Refusals(list),
            List::Certificates(list) => Shown::Certificates(list),
            List::Tunnels(list) => Shown::Tunnels(list),
        };
        self.heard = Some(Heard {
            node: sample.node,
            taken: sample.taken,
            is_all: sample.is_all,
            at: sample.at,
            shown,
        });
        self.trouble = None;
    }

    fn compared(&self, list: Vec<culvert_api::Traffic>, at: Duration) -> Shown {
        let before = self.heard.as_ref().and_then(|heard| match &heard.shown {
            Shown::Traffic(pairs) => Some((pairs.as_slice(), at.saturating_sub(heard.at))),
            Shown::Connections(_) | Shown::Refusals(_) | Shown::Certificates(_) | Shown::Tunnels(_) => None,
        });
        let (pairs, elapsed) = before.unzip();
        Shown::Traffic(rated(list, pairs, elapsed.unwrap_or_default()))
    }

    /// Takes that the node says nothing.
    pub(super) fn complain(&mut self, trouble: &str) {
        if !self.paused {
            self.trouble = Some(clean(trouble));
        }
    }

    /// How the lines on the screen are ordered.
    pub(super) fn order(&self) -> Order {
        self.orders[self.tab.position()]
    }

    /// Orders them in another way.
    pub(super) fn reorder(&mut self, order: Order) {
        self.orders[self.tab.position()] = order;
    }

    /// Whether the node has said something of this tab.
    pub(super) fn is_known(&self) -> bool {
        let of = |shown: &Shown| match shown {
            Shown::Connections(_) => Tab::Connections,
            Shown::Traffic(_) => Tab::Traffic,
            Shown::Refusals(_) => Tab::Refusals,
            Shown::Certificates(_) => Tab::Certificates,
            Shown::Tunnels(_) => Tab::Tunnels,
        };
        self.heard.as_ref().is_some_and(|heard| of(&heard.shown) == self.tab)
    }

    /// How many columns the lines on the screen have.
    pub(super) fn columns(&self) -> usize {
        self.everything(OffsetDateTime::UNIX_EPOCH).headings.len()
    }

    /// The lines on the screen: filtered, and in order.
    pub(super) fn lines(&self, now: OffsetDateTime) -> Table {
        let mut table = self.everything(now);
        let wanted = self.filter.to_lowercase();
        table.rows.retain(|row| row.iter().any(|cell| cell.text.to_lowercase().contains(&wanted)));
        let Order { column, falling } = self.order();
        if let Some(column) = column {
            table.rows.sort_by(|a, b| {
                let order = a.get(column).zip(b.get(column)).map(|(a, b)| a.compare(b));
                let order = order.unwrap_or(std::cmp::Ordering::Equal);
                if falling { order.reverse() } else { order }
            });
        }
        table
    }

    /// All lines there are. Before anything was heard of a tab there are its columns.
    fn everything(&self, now: OffsetDateTime) -> Table {
        let shown = self.heard.as_ref().map(|heard| &heard.shown);
        match (self.tab, shown) {
            (Tab::Connections, Some(Shown::Connections(list))) => {
                table(Connection::COLUMNS, list, false, now)
            }
            (Tab::Traffic, Some(Shown::Traffic(list))) => table(rates::COLUMNS, list, false, now),
            (Tab::Refusals, Some(Shown::Refusals(list))) => table(Ended::COLUMNS, list, false, now),
            (Tab::Certificates, Some(Shown::Certificates(list))) => {
                table(Identity::COLUMNS, list, false, now)
            }
            (Tab::Tunnels, Some(Shown::Tunnels(list))) => table(Tunnel::COLUMNS, list, false, now),
            (Tab::Connections, _) => table(Connection::COLUMNS, [], false, now),
            (Tab::Traffic, _) => table(rates::COLUMNS, [], false, now),
            (Tab::Refusals, _) => table(Ended::COLUMNS, [], false, now),
            (Tab::Certificates, _) => table(Identity::COLUMNS, [], false, now),
            (Tab::Tunnels, _) => table(Tunnel::COLUMNS, [], false, now),
        }
    }
}

impl Order {
    /// What most people want to see first: what moves most, what expires next, what has just failed.
    fn usual(tab: Tab) -> Self {
        let by = |column, falling| Self { column: Some(column), falling };
        match tab {
            Tab::Connections => by(6, false),
            Tab::Traffic => by(6, true),
            Tab::Refusals => Self { column: None, falling: false },
            Tab::Certificates => by(2, false),
            Tab::Tunnels => by(5, true),
        }
    }
}
