//! One list: asked for, narrowed down, put in order and drawn, whatever is in it.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use time::OffsetDateTime;

use super::{Error, Report};
use crate::client::{Client, NodeOptions, Query};
use crate::output::{Cell, Format, Heading, Screen, Table};

/// Something a node has a list of.
pub(crate) trait Listed: DeserializeOwned + 'static {
    /// Where the list is.
    const PATH: &'static str;
    /// What people call what is in it.
    const WHAT: &'static str;
    /// What is shown of each.
    const COLUMNS: &'static [Column<Self>];
    /// The columns it is in order of, most important first; none: as the node says it.
    const ORDER: &'static [&'static str];
    /// Whether the node is asked for a namespace's alone. What it says is looked through anyhow.
    const BY_NAMESPACE: bool = false;

    /// The namespaces it belongs to.
    fn namespaces(&self) -> Vec<&str>;

    /// What a person may know it by.
    fn names(&self) -> Vec<String>;
}

/// A column of a table of `T`.
#[derive(Debug)]
pub(crate) struct Column<T> {
    heading: Heading,
    wide: bool,
    cell: fn(&T, OffsetDateTime) -> Cell,
}

impl<T> Column<T> {
    /// A column of texts.
    pub(crate) const fn left(title: &'static str, cell: fn(&T, OffsetDateTime) -> Cell) -> Self {
        Self { heading: Heading { title, right: false }, wide: false, cell }
    }

    /// A column of numbers.
    pub(crate) const fn right(title: &'static str, cell: fn(&T, OffsetDateTime) -> Cell) -> Self {
        Self { heading: Heading { title, right: true }, wide: false, cell }
    }

    /// A column of texts for who wants all.
    pub(crate) const fn wide(title: &'static str, cell: fn(&T, OffsetDateTime) -> Cell) -> Self {
        Self { heading: Heading { title, right: false }, wide: true, cell }
    }

    /// A column of numbers for who wants all.
    pub(crate) const fn wide_right(title: &'static str, cell: fn(&T, OffsetDateTime) -> Cell) -> Self {
        Self { heading: Heading { title, right: true }, wide: true, cell }
    }
}

/// How a list is wanted.
#[derive(Debug)]
pub(crate) struct Listing<'a> {
    pub(crate) namespace: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
    pub(crate) order: Option<&'a str>,
    pub(crate) format: Format,
    pub(crate) headers: bool,
    pub(crate) screen: &'a Screen,
    pub(crate) now: OffsetDateTime,
}

/// What programs are given: the items as the node said them.
#[derive(Serialize)]
struct Items {
    items: Vec<Value>,
}

/// An item as it was said, and as it was understood.
struct Item<T> {
    said: Value,
    meant: T,
}

impl Listing<'_> {
    /// Lists all there are of a kind.
    pub(super) async fn of<T: Listed>(&self, node: &NodeOptions) -> Result<Report, Error> {
        let order = self.order::<T>()?;
        let mut client = Client::open(node).await?;
        let mut query = Query::new(T::PATH);
        if let (Some(namespace), true) = (self.namespace, T::BY_NAMESPACE) {
            query = query.with("namespace", namespace);
        }
        let mut items = Vec::new();
        for said in client.list(&query).await? {
            let meant: T = client.understood(&query, &said)?;
            if self.wants(&meant) {
                items.push(Item { said, meant });
            }
        }
        order.sort(&mut items, self.now);
        self.report(items, client.address())
    }

    /// Shows the only one there is of a kind.
    pub(super) async fn alone<T: Listed>(&self, node: &NodeOptions) -> Result<Report, Error> {
        let mut client = Client::open(node).await?;
        let query = Query::new(T::PATH);
        let said: Value = client.one(&query).await?;
        if let Some(text) = self.format.structured(&said)? {
            return Ok(Report { text, remark: None });
        }
        let meant: T = client.understood(&query, &said)?;
        Ok(Report { text: self.table(&[Item { said, meant }]), remark: None })
    }

    fn wants<T: Listed>(&self, item: &T) -> bool {
        let in_namespace = self.namespace.is_none_or(|wanted| item.namespaces().contains(&wanted));
        let named = |wanted: &str| item.names().iter().any(|name| name.to_lowercase().contains(wanted));
        in_namespace && self.name.is_none_or(|wanted| named(&wanted.to_lowercase()))
    }

    fn report<T: Listed>(&self, items: Vec<Item<T>>, node: &str) -> Result<Report, Error> {
        let remark = items.is_empty().then(|| self.emptiness(T::WHAT, node));
        if self.format == Format::Table || self.format == Format::Wide {
            let text = if items.is_empty() { String::new() } else { self.table(&items) };
            return Ok(Report { text, remark });
        }
        let items = Items { items: items.into_iter().map(|item| item.said).collect() };
        Ok(Report { text: self.format.structured(&items)?.unwrap_or_default(), remark })
    }

    fn emptiness(&self, what: &str, node: &str) -> String {
        let name = self.name.map(|name| format!(" with `{name}` in the name")).unwrap_or_default();
        let namespace = self.namespace.map(|it| format!(" in namespace {it}")).unwrap_or_default();
        format!("no {what}{name}{namespace} at {node}")
    }

    fn table<T: Listed>(&self, items: &[Item<T>]) -> String {
        let all = self.format == Format::Wide;
        let meant = items.iter().map(|item| &item.meant);
        let screen = if all { Screen { width: None, ..*self.screen } } else { *self.screen };
        table(T::COLUMNS, meant, all, self.now).render(&screen, self.headers)
    }

    fn order<T: Listed>(&self) -> Result<Order<T>, Error> {
        let Some(wanted) = self.order else {
            let columns = T::ORDER.iter().filter_map(|title| column(title)).collect();
            return Ok(Order { columns, reversed: false });
        };
        let (name, reversed) = wanted.strip_prefix('-').map_or((wanted, false), |name| (name, true));
        let found = column::<T>(name).ok_or_else(|| Error::NoColumn {
            wanted: wanted.to_owned(),
            columns: T::COLUMNS.iter().map(|it| typed(it.heading.title)).collect::<Vec<_>>().join(", "),
        })?;
        Ok(Order { columns: vec![found], reversed })
    }
}

/// Draws items as a table, with all columns or with the more important ones.
pub(crate) fn table<'t, T: 'static>(
    columns: &[Column<T>],
    items: impl IntoIterator<Item = &'t T>,
    all: bool,
    now: OffsetDateTime,
) -> Table {
    let columns: Vec<_> = columns.iter().filter(|column| all || !column.wide).collect();
    let row = |item: &T| columns.iter().map(|column| (column.cell)(item, now)).collect();
    Table {
        headings: columns.iter().map(|column| column.heading).collect(),
        rows: items.into_iter().map(row).collect(),
    }
}

struct Order<T: 'static> {
    columns: Vec<&'static Column<T>>,
    reversed: bool,
}

impl<T> Order<T> {
    fn sort(&self, items: &mut Vec<Item<T>>, now: OffsetDateTime) {
        let keys = |item: &Item<T>| -> Vec<Cell> {
            self.columns.iter().map(|column| (column.cell)(&item.meant, now)).collect()
        };
        let mut keyed: Vec<_> = items.drain(..).map(|item| (keys(&item), item)).collect();
        keyed.sort_by(|(a, _), (b, _)| {
            let order = a.iter().zip(b).map(|(a, b)| a.compare(b)).find(|order| order.is_ne());
            let order = order.unwrap_or(std::cmp::Ordering::Equal);
            if self.reversed { order.reverse() } else { order }
        });
        items.extend(keyed.into_iter().map(|(_, item)| item));
    }
}

fn column<T: Listed>(name: &str) -> Option<&'static Column<T>> {
    T::COLUMNS.iter().find(|column| typed(column.heading.title) == typed(name))
}

/// How people type the title of a column.
fn typed(title: &str) -> String {
    title.to_lowercase().replace([' ', '_'], "-")
}
