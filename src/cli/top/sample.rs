//! What a node said at one moment: about itself, and what is on the screen.

use std::time::Duration;

use culvert_api::{Connection, Identity, Node, Traffic, Tunnel};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::tab::Tab;
use crate::client::{Client, Error, Query};
use crate::get::kinds::Ended;
use crate::get::list::Listed;

/// Items that are asked for every second. Nobody reads more, and a busy node has better things to do.
const ENOUGH: usize = 5000;

/// All that was heard at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// The node.
    pub(super) node: Node,
    /// What is on the screen.
    pub(super) list: List,
    /// Whether there is no more of it.
    pub(super) is_all: bool,
    /// When, for people.
    pub(super) taken: OffsetDateTime,
    /// When, since the first look: no clock that somebody sets changes it.
    pub(super) at: Duration,
}

/// The things of one tab.
#[derive(Debug, Clone)]
pub(crate) enum List {
    /// Connections that live.
    Connections(Vec<Connection>),
    /// Pairs of ends.
    Traffic(Vec<Traffic>),
    /// Connections that did not end well.
    Refusals(Vec<Ended>),
    /// Identities.
    Certificates(Vec<Identity>),
    /// Tunnels.
    Tunnels(Vec<Tunnel>),
}

impl Sample {
    /// Asks for it.
    pub(super) async fn take(client: &mut Client, tab: Tab, began: Instant) -> Result<Self, Error> {
        let node = client.one(&Query::new(Node::PATH)).await?;
        let mut is_all = true;
        let list = match tab {
            Tab::Connections => List::Connections(some(client, &mut is_all).await?),
            Tab::Traffic => List::Traffic(some(client, &mut is_all).await?),
            Tab::Refusals => List::Refusals(some(client, &mut is_all).await?),
            Tab::Certificates => List::Certificates(some(client, &mut is_all).await?),
            Tab::Tunnels => List::Tunnels(some(client, &mut is_all).await?),
        };
        Ok(Self { node, list, is_all, taken: OffsetDateTime::now_utc(), at: began.elapsed() })
    }

    /// Whose tab it is of.
    pub(super) fn tab(&self) -> Tab {
        match self.list {
            List::Connections(_) => Tab::Connections,
            List::Traffic(_) => Tab::Traffic,
            List::Refusals(_) => Tab::Refusals,
            List::Certificates(_) => Tab::Certificates,
            List::Tunnels(_) => Tab::Tunnels,
        }
    }
}

async fn some<T: Listed>(client: &mut Client, is_all: &mut bool) -> Result<Vec<T>, Error> {
    let query = Query::new(T::PATH);
    let said = client.beginning(&query, ENOUGH).await?;
    *is_all = said.is_all;
    said.items.iter().map(|item| client.understood(&query, item)).collect()
}
