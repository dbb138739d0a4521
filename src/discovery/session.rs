//! One stream as a machine: requests go in, responses come out, the catalog is looked at in between.
//!
//! Order of what comes out: policies, services, workloads, and then what is gone, addresses before policies. It does not
//! wait and does not know the time.

use std::sync::Arc;

use culvert_proto::xds::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};

use crate::Reach;
use crate::catalog::{Catalog, Collection, Moment};
use crate::replica::Removals;
use crate::scope::Scope;
use crate::subscription::{Subscription, TooMuch};

/// Names that are kept for one client beyond those of resources.
const MOST_UNKNOWN_NAMES: usize = 100_000;

/// Names that the proxy of one workload may ask for.
const MOST_NAMES_NEAR: usize = 1000;

/// The longest name of a resource.
const LONGEST_NAME: usize = 1024;

/// A stream.
#[derive(Debug)]
pub struct Session {
    /// The moment of the catalog up to which changes were taken note of.
    moment: Moment,
    addresses: Subscription,
    policies: Subscription,
    /// How many names the client may ask for, of each type, and how many in one request.
    most_names: usize,
    /// How many names are kept for it beyond those of resources.
    most_unknown: usize,
    /// Whether a request has come since it was last looked at which policies go with the addresses.
    asked: bool,
}

/// A response that the client refused.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// The type URL of what it said.
    pub kind: &'static str,
    /// Which response it was.
    pub nonce: String,
    /// The client's words; a client may go on without end.
    pub reason: String,
}

/// Why a stream has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A name nothing has.
    #[error("a name has more than {LONGEST_NAME} bytes")]
    LongName,
    /// More is to be kept for the client than there is.
    #[error("too many names that nothing has")]
    Unknown,
    /// More than it may ask for.
    #[error("the proxy of one workload may ask for {most} names")]
    Names {
        /// So many would do.
        most: usize,
    },
    /// It may not have everything.
    #[error("the proxy of one workload may not subscribe to everything: name what it needs (XDS_ON_DEMAND)")]
    Everything,
}

impl Session {
    /// Starts for a client on this node, which may have no name, and with this reach.
    pub fn new(catalog: &Catalog, node: &str, reach: &Reach) -> Self {
        let node: Arc<str> = node.into();
        let all = |collection| match (collection, reach) {
            (_, Reach::Everything) => Scope::Everything,
            (Collection::Addresses, Reach::Near { .. }) => Scope::Nothing,
            (Collection::Policies, Reach::Near { namespaces, .. }) => Scope::Of(Arc::clone(namespaces)),
        };
        let subscription = |collection| Subscription::new(collection, node.clone(), all(collection));
        let most = |of_a_node, near| match reach {
            Reach::Everything => of_a_node,
            Reach::Near { .. } => near,
        };
        Self {
            moment: catalog.moment().clone(),
            addresses: subscription(Collection::Addresses),
            policies: subscription(Collection::Policies),
            most_names: most(usize::MAX, MOST_NAMES_NEAR),
            // What nothing has is kept as asked for and as told.
            most_unknown: most(MOST_UNKNOWN_NAMES, 2 * MOST_NAMES_NEAR),
            asked: false,
        }
    }

    /// The generation of the catalog up to which changes were taken note of.
    pub fn generation(&self) -> u64 {
        self.moment.generation()
    }

    /// Takes a request; gives the reason if it refuses a response. One about a type that is not served is ignored.
    ///
    /// # Errors
    /// When the stream has to end.
    pub fn take(
        &mut self,
        catalog: &Catalog,
        request: &DeltaDiscoveryRequest,
    ) -> Result<Option<Refused>, Error> {
        // Whatever is asked: a client that holds on to a moment holds on to all changes since.
        self.follow(catalog);
        let Some(collection) = Collection::of_url(&request.type_url) else { return Ok(None) };
        self.check(catalog, collection, request)?;
        self.asked = true;
        let refused = self.refused(collection, request);
        let (subscribe, unsubscribe) =
            (&request.resource_names_subscribe, &request.resource_names_unsubscribe);
        let (most_names, most_kept) = (self.most_names, self.most_kept(catalog, collection));
        let subscription = self.subscription(collection);
        if subscription.change(catalog, subscribe, unsubscribe) == Err(TooMuch) {
            return Err(Error::Everything);
        }
        for (name, version) in &request.initial_resource_versions {
            subscription.claim(catalog, name, version);
        }
        if subscription.len() > most_kept {
            return Err(Error::Unknown);
        }
        if subscription.asked() > most_names {
            return Err(Error::Names { most: most_names });
        }
        Ok(refused)
    }

    /// Looks at the names of a request before anything is done for them.
    fn check(
        &self,
        catalog: &Catalog,
        collection: Collection,
        request: &DeltaDiscoveryRequest,
    ) -> Result<(), Error> {
        let (subscribe, unsubscribe) =
            (&request.resource_names_subscribe, &request.resource_names_unsubscribe);
        let claims = &request.initial_resource_versions;
        let mut names = subscribe.iter().chain(unsubscribe).chain(claims.keys());
        if names.any(|name| name.len() > LONGEST_NAME) {
            return Err(Error::LongName);
        }
        if subscribe.len().max(unsubscribe.len()) > self.most_names {
            return Err(Error::Names { most: self.most_names });
        }
        if claims.len() > self.most_kept(catalog, collection) {
            return Err(Error::Unknown);
        }
        Ok(())
    }

    /// How many names are kept for the client.
    fn most_kept(&self, catalog: &Catalog, collection: Collection) -> usize {
        2 * catalog.len(collection) + self.most_unknown
    }

    /// Takes note of what has changed in the catalog.
    pub fn follow(&mut self, catalog: &Catalog) {
        let before = std::mem::replace(&mut self.moment, catalog.moment().clone());
        // What the client has first: the catalog is already further than each single change.
        for touched in before.later() {
            self.subscription(touched.collection).note(touched);
        }
        for touched in before.later() {
            self.subscription(touched.collection).follow(catalog, touched);
        }
        self.addresses.followed_all(catalog);
    }

    /// Tells whether there may be something to send.
    pub fn is_pending(&self) -> bool {
        self.addresses.is_pending() || self.policies.is_pending()
    }

    /// Gives the next response, if there is something to say.
    pub fn respond(&mut self, catalog: &Catalog) -> Option<DeltaDiscoveryResponse> {
        self.follow(catalog);
        self.match_policies(catalog);
        let policies_first = self.policies.may_add().then_some(Collection::Policies);
        let order = policies_first.into_iter().chain(Collection::ALL);
        let mut response = order.into_iter().find_map(|collection| self.push(catalog, collection))?;
        self.match_policies(catalog);
        // The last of several says what the client has then.
        if !self.is_pending() {
            response.system_version_info = self.generation().to_string();
        }
        Some(response)
    }

    /// Sees to it that a client that asks for addresses has the policies that go with them: those of a namespace come before its first
    /// workload, and go when the client has none of its workloads, and is to have none.
    fn match_policies(&mut self, catalog: &Catalog) {
        let asked = std::mem::take(&mut self.asked);
        if !self.addresses.has_moved() && !asked {
            return;
        }
        match self.addresses.namespaces(catalog) {
            None => self.policies.widen(catalog),
            // What it has as it was may have had to do with other namespaces than what it will have.
            Some(namespaces) if self.addresses.may_change() => self.policies.surround(catalog, namespaces),
            Some(namespaces) => self.policies.confine(catalog, namespaces),
        }
    }

    fn push(&mut self, catalog: &Catalog, collection: Collection) -> Option<DeltaDiscoveryResponse> {
        let used = collection == Collection::Policies && self.addresses.is_pending();
        let removals = if used { Removals::Later } else { Removals::Included };
        let subscription = self.subscription(collection);
        let push = subscription.push(catalog, removals)?;
        let nonce = subscription.nonces.next(collection);
        Some(push.into_response(collection, nonce))
    }

    /// Gives the reason if a response is refused. It is not sent again before something in it changes: it would be
    /// refused again.
    fn refused(&mut self, collection: Collection, request: &DeltaDiscoveryRequest) -> Option<Refused> {
        let nonce = &request.response_nonce;
        let newest = self.subscription(collection).nonces.answer(collection, nonce);
        let error = request.error_detail.as_ref().filter(|_| newest)?;
        Some(Refused { kind: collection.url(), nonce: nonce.clone(), reason: error.message.clone() })
    }

    fn subscription(&mut self, collection: Collection) -> &mut Subscription {
        match collection {
            Collection::Addresses => &mut self.addresses,
            Collection::Policies => &mut self.policies,
        }
    }
}

#[cfg(test)]
mod tests;
