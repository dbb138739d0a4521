//! The endpoints of a service as some of its clients may be given them, nearest first.
//!
//! Plain data, made by `route` and kept with the endpoints it was made of: all clients of a node are in one place, so that one
//! of these answers for nearly all connections to a service.

use std::sync::Arc;

use crate::workload::{Place, Workload};

use super::urn::Urn;

/// The endpoints a client may be given.
#[derive(Debug)]
pub(crate) struct Lineup {
    /// Whom they may be given to.
    pub(crate) seen_from: Viewpoint,
    /// Those that are equally near in one urn, the nearest first. Endpoints to which there is no way are here only when there are no
    /// others.
    pub(crate) urns: Box<[Urn]>,
    /// Whether there are endpoints with addresses none of which the service allows: whoever calls them by such an address may
    /// have them all the same.
    pub(crate) barred: bool,
}

/// What of a call decides which endpoints there are for it, and how near they are.
#[derive(Debug)]
pub(crate) struct Viewpoint {
    network: Arc<str>,
    cluster: Arc<str>,
    place: Arc<Place>,
    port: Served,
}

/// Which endpoints serve a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Served {
    /// All: the service says where.
    ByAll,
    /// Those that say where they do; of a service port.
    ByName(u16),
}

/// Whether it matters where in the network a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nearness {
    /// It does.
    Matters,
    /// It does not.
    Ignored,
}

impl Viewpoint {
    pub(crate) fn of(client: &Workload, port: Served) -> Self {
        Self {
            network: client.network.clone(),
            cluster: client.cluster_id.clone(),
            place: client.place.clone(),
            port,
        }
    }

    /// Tells whether a client has this view of a port. Texts and places are shared, so that this compares addresses.
    pub(crate) fn is_of(&self, client: &Workload, port: Served, nearness: Nearness) -> bool {
        let beside = || self.cluster == client.cluster_id && self.place == client.place;
        self.port == port && self.network == client.network && (nearness == Nearness::Ignored || beside())
    }
}
