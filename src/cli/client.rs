//! A node's admin port, asked.
//!
//! In goes where the node is and what to ask; out come the values of `culvert-api`. Every wait has a deadline and every answer a
//! bound, so that a node in trouble is a message and not a hang. It asks only: nothing here changes a node.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use culvert_api::Page;

mod address;
mod dial;
mod error;
mod exchange;
mod forward;
mod pods;
mod query;

pub(crate) use address::{Address, NodeOptions};
pub(crate) use error::Error;
pub(crate) use query::Query;

use dial::Route;
use exchange::Session;

/// From the first byte asked to the last one answered.
const ANSWER: Duration = Duration::from_secs(10);
/// What is asked for at a time.
const PAGE: usize = 1000;
/// What all pages of a list may be long: some five hundred thousand connections.
const MOST_BYTES: usize = 1 << 30;
/// Pages a list may have. With [`PAGE`] items on each, more than any mesh has members.
const MOST_PAGES: usize = 10_000;

/// Asks one node.
#[derive(Debug)]
pub(crate) struct Client {
    route: Route,
    session: Option<Session>,
}

/// The first items of a list.
#[derive(Debug)]
pub(crate) struct Beginning {
    /// They themselves.
    pub(crate) items: Vec<Value>,
    /// Whether there are no others.
    pub(crate) is_all: bool,
}

impl Client {
    /// Finds the way to a node; for one in a cluster, that is made here and ends with this value.
    pub(crate) async fn open(options: &NodeOptions) -> Result<Self, Error> {
        Ok(Self { route: Route::find(options).await?, session: None })
    }

    /// What people call the node.
    pub(crate) fn address(&self) -> &str {
        self.route.name()
    }

    /// Asks for one value.
    pub(crate) async fn one<T: DeserializeOwned>(&mut self, query: &Query) -> Result<T, Error> {
        let body = self.body(query).await?;
        self.read(query, &body)
    }

    /// Asks for a list, to its end.
    pub(crate) async fn list(&mut self, query: &Query) -> Result<Vec<Value>, Error> {
        self.beginning(query, usize::MAX).await.map(|beginning| beginning.items)
    }

    /// Asks for the pages of a list until there are so many items, or no more.
    pub(crate) async fn beginning(&mut self, query: &Query, enough: usize) -> Result<Beginning, Error> {
        let mut query = query.clone().with("limit", PAGE);
        let mut items = Vec::new();
        let (mut before, mut heard): (Option<String>, usize) = (None, 0);
        for _ in 0..MOST_PAGES {
            let body = self.body(&query).await?;
            heard += body.len();
            if heard > MOST_BYTES {
                return Err(self.too_long(&query));
            }
            let page: Page<Value> = self.read(&query, &body)?;
            items.extend(page.items);
            match page.next {
                None => return Ok(Beginning { items, is_all: true }),
                Some(_) if items.len() >= enough => return Ok(Beginning { items, is_all: false }),
                // The same page again and again would fill the memory.
                Some(next) if before.as_ref() == Some(&next) => break,
                Some(next) => {
                    query = query.with("after", &next);
                    before = Some(next);
                }
            }
        }
        Err(Error::Endless { address: self.address().to_owned(), path: query.path().to_owned() })
    }

    /// Turns what a node said into values.
    pub(crate) fn understood<T: DeserializeOwned>(&self, query: &Query, item: &Value) -> Result<T, Error> {
        T::deserialize(item).map_err(|source| self.malformed(query, source))
    }

    fn read<T: DeserializeOwned>(&self, query: &Query, body: &[u8]) -> Result<T, Error> {
        serde_json::from_slice(body).map_err(|source| self.malformed(query, source))
    }

    fn too_long(&self, query: &Query) -> Error {
        Error::TooLong { address: self.address().to_owned(), path: query.path().to_owned(), most: MOST_BYTES }
    }

    fn malformed(&self, query: &Query, source: serde_json::Error) -> Error {
        Error::Malformed { address: self.address().to_owned(), path: query.path().to_owned(), source }
    }

    async fn body(&mut self, query: &Query) -> Result<Vec<u8>, Error> {
        let asked = tokio::time::timeout(ANSWER, self.exchange(query)).await;
        asked.unwrap_or_else(|_| {
            Err(Error::Slow {
                address: self.address().to_owned(),
                path: query.path().to_owned(),
                within: ANSWER,
            })
        })
    }

    /// Asks on the connection there is, and on a new one when that was closed meanwhile.
    async fn exchange(&mut self, query: &Query) -> Result<Vec<u8>, Error> {
        if let Some(mut session) = self.session.take() {
            match session.ask(&self.route, query).await {
                Err(Error::Broken { .. }) => {}
                answer => {
                    self.session = Some(session);
                    return answer;
                }
            }
        }
        let mut session = Session::begin(&self.route).await?;
        let body = session.ask(&self.route, query).await?;
        self.session = Some(session);
        Ok(body)
    }
}

#[cfg(test)]
mod tests;
