//! One response in the making, no larger than a client can take at once, and than what a thousand streams may hold at the same time: the
//! buffers of a stream stay as large as its largest response was.

use std::collections::HashMap;
use std::sync::Arc;

use culvert_proto::xds::{Any, DeltaDiscoveryResponse, Resource};

use crate::catalog::{Collection, Entry};

/// Resources and removals of one response.
const MOST_RESOURCES: usize = 500;

/// Names and payloads of one response. A resource that is larger goes alone.
const MOST_BYTES: usize = 128 * 1024;

/// What one response says.
#[derive(Debug)]
pub(crate) struct Push {
    aliases: Aliases,
    resources: Vec<Arc<Entry>>,
    removed: Vec<Arc<str>>,
    bytes: usize,
}

/// Whether a client asks by addresses, and has to be told which resource is the answer.
#[derive(Debug)]
pub(crate) enum Aliases {
    /// With names that were asked for and that others answer for.
    Named(HashMap<Arc<str>, Vec<Arc<str>>>),
    LeftOut,
}

impl Push {
    pub(crate) fn new(aliases: Aliases) -> Self {
        Self { aliases, resources: Vec::new(), removed: Vec::new(), bytes: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.removed.is_empty()
    }

    /// Takes a resource, if there is room.
    pub(crate) fn add(&mut self, entry: &Arc<Entry>) -> bool {
        let aliases: usize = self.aliases_of(entry).map(|alias| alias.len()).sum();
        let room = self.take(entry.name.len() + entry.payload.len() + aliases);
        if room {
            self.resources.push(Arc::clone(entry));
        }
        room
    }

    /// Takes the name of a resource that is gone, if there is room.
    pub(crate) fn remove(&mut self, name: &Arc<str>) -> bool {
        let room = self.take(name.len());
        if room {
            self.removed.push(Arc::clone(name));
        }
        room
    }

    /// The message. Resources count in their order, and removals after them.
    pub(crate) fn into_response(self, collection: Collection, nonce: String) -> DeltaDiscoveryResponse {
        let resource = |entry: &Arc<Entry>| Resource {
            version: entry.version.to_string(),
            resource: Some(Any { type_url: collection.url().to_owned(), value: entry.payload.clone() }),
            name: entry.name.to_string(),
            aliases: self.aliases_of(entry).map(ToString::to_string).collect(),
            ttl: None,
        };
        DeltaDiscoveryResponse {
            resources: self.resources.iter().map(resource).collect(),
            removed_resources: self.removed.iter().map(ToString::to_string).collect(),
            type_url: collection.url().to_owned(),
            nonce,
            ..DeltaDiscoveryResponse::default()
        }
    }

    fn aliases_of<'a>(&'a self, entry: &'a Entry) -> impl Iterator<Item = &'a Arc<str>> {
        let (own, more) = match &self.aliases {
            Aliases::Named(others) => (&*entry.aliases, others.get(&entry.name)),
            Aliases::LeftOut => (&[][..], None),
        };
        own.iter().chain(more.into_iter().flatten())
    }

    fn take(&mut self, bytes: usize) -> bool {
        let count = self.resources.len() + self.removed.len();
        let room = count == 0 || (count < MOST_RESOURCES && self.bytes + bytes <= MOST_BYTES);
        self.bytes += if room { bytes } else { 0 };
        room
    }
}
