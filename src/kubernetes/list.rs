//! One complete list of a resource, page by page.
//!
//! Each object is turned into what is kept of it as soon as its page is there, so that no more than one page is held as the server
//! wrote it. A page that is too long is asked for again with fewer objects. Other failures are not retried here.

use std::time::Duration;

use kube::Client;
use kube::core::Request as Paths;
use kube::core::params::ListParams;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::call::{self, Error};
use crate::resource::Resource;

/// Pages of one list, as long as they are asked for at first. A server that always says there is more does not get all of our memory.
const MOST: u32 = 1000;

/// What is asked.
#[derive(Debug)]
pub struct List<'a> {
    /// Of what.
    pub resource: &'a Resource,
    /// For each page.
    pub within: Duration,
}

impl List<'_> {
    /// All objects, and the version they are of. `keep` makes of each what is kept, `heard` is told of each page.
    ///
    /// # Errors
    /// When a page cannot be had: all of the list is there, or nothing.
    pub async fn all<W: DeserializeOwned, T>(
        self,
        client: &Client,
        keep: impl Fn(W) -> Option<T>,
        heard: impl Fn(),
    ) -> Result<(Vec<T>, String), Error> {
        let mut objects = Vec::new();
        let Resource { path, fields, page, .. } = self.resource;
        let (mut limit, mut asked) = (*page, 0);
        let mut params = ListParams { field_selector: fields.clone(), ..ListParams::default() };
        while asked < page.saturating_mul(MOST) {
            params.limit = Some(limit);
            let request = Paths::new(path.as_str()).list(&params);
            let page: Page<W> = match call::ask(client, request, self.within).await {
                Err(Error::TooLong(_)) if limit > 1 => {
                    limit /= 2;
                    continue;
                }
                answer => answer?,
            };
            heard();
            asked += limit;
            objects.extend(page.items.into_iter().filter_map(&keep));
            if page.metadata.next.is_empty() {
                return match page.metadata.resource_version {
                    version if version.is_empty() => Err(Error::Nonsense("a list without a version")),
                    version => Ok((objects, version)),
                };
            }
            params.continue_token = Some(page.metadata.next);
        }
        Err(Error::Nonsense("a list without an end"))
    }
}

/// One page of a list.
#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
struct Page<T> {
    #[serde(default)]
    metadata: PageMeta,
    #[serde(default, deserialize_with = "or_default")]
    items: Vec<T>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMeta {
    #[serde(default)]
    resource_version: String,
    #[serde(default, rename = "continue")]
    next: String,
}

/// Reads a field that may be `null`, as lists and maps without entries are sometimes written; it is the same as nothing then.
///
/// # Errors
/// When it is neither `null` nor what it should be.
pub fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
