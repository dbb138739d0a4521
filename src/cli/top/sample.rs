//! What a node said at one moment: about itself, and what is on the screen.

use std::time::Duration;

use culvert_api::{Connection, Identity, Node, Traffic, Tunnel};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::tab::Tab;
use crate::client::{Client, Error, Query};
use crate::get::kinds::Ended;
use crate::get::list::Listed;

/// All that was heard at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// The node.
    pub(super) node: Node,
    /// What is on the screen.
    pub(super) list: List,
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
        let list = match tab {
            Tab::Connections => List::Connections(all(client).await?),
            Tab::Traffic => List::Traffic(all(client).await?),
            Tab::Refusals => List::Refusals(all(client).await?),
            Tab::Certificates => List::Certificates(all(client).await?),
            Tab::Tunnels => List::Tunnels(all(client).await?),
        };
        Ok(Self { node, list, taken: OffsetDateTime::now_utc(), at: began.elapsed() })
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

async fn all<T: Listed>(client: &mut Client) -> Result<Vec<T>, Error> {
    let query = Query::new(T::PATH);
    let said = client.list(&query).await?;
    said.iter().map(|item| client.understood(&query, item)).collect()
}
