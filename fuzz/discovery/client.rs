//! A client that believes what it is told, keeps what it has across streams, and checks each response.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use culvert_discovery::catalog::{Catalog, Collection};
use culvert_discovery::{Error, Reach, Session};
use culvert_proto::rpc;
use culvert_proto::xds::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};

use super::mesh::{NODES, namespace_of_workload, policies_of};

/// What stands for everything.
const WILDCARD: &str = "*";

/// The longest name a client may say.
const LONGEST_NAME: usize = 1024;

/// What one response may hold: so many resources and bytes, unless it holds one alone.
const MOST_RESOURCES: usize = 500;
const MOST_BYTES: usize = 128 << 10;

/// What a client has of one type, and has said of it.
#[derive(Default)]
pub(super) struct Part {
    /// Versions by name.
    pub(super) has: BTreeMap<String, String>,
    /// Of those, what it has said that it does not want: nobody keeps it up to date.
    let_go: BTreeSet<String>,
    begun: bool,
    wildcard: bool,
    keys: BTreeSet<String>,
    /// Names of responses, and how many of them do not wait for an answer.
    nonces: Vec<String>,
    answered: usize,
}

/// A client and its stream.
pub(super) struct Client {
    reach: Reach,
    session: Session,
    parts: HashMap<Collection, Part>,
}

/// How a client answers a response.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    Nothing,
    Ack,
    Nack,
}

impl Client {
    pub(super) fn new(catalog: &Catalog, reach: Reach) -> Self {
        let parts = Collection::ALL.map(|collection| (collection, Part::default())).into();
        Self { session: Session::new(catalog, NODES[0], &reach), reach, parts }
    }

    pub(super) fn part(&mut self, collection: Collection) -> &mut Part {
        self.parts.get_mut(&collection).expect("there is one for each")
    }

    /// Says something. A server that will hear no more of it has a reason, and the client comes back.
    pub(super) fn say(&mut self, catalog: &Catalog, request: DeltaDiscoveryRequest) {
        let Some(collection) = Collection::of_url(&request.type_url) else {
            assert_eq!(self.session.take(catalog, &request), Ok(None), "it is about nothing");
            return;
        };
        let request = self.part(collection).honest(request);
        let is_refusal = self.part(collection).is_refusal(&request);
        match self.session.take(catalog, &request) {
            Ok(refused) => {
                assert_eq!(refused.is_some(), is_refusal, "{refused:?}");
                let dropped = self.part(collection).said(&request);
                if dropped {
                    self.let_go(catalog, collection);
                }
            }
            Err(error) => {
                let is_near = matches!(self.reach, Reach::Near { .. });
                assert!(self.part(collection).is_to_blame(error, &request, collection, is_near), "{error}");
                self.come_back(catalog);
            }
        }
    }

    /// What it does not want any more is kept up to date by nobody. What it names it wants, be it there or not.
    fn let_go(&mut self, catalog: &Catalog, collection: Collection) {
        let wanted = self.fresh(catalog);
        let part = self.part(collection);
        let wanted = &wanted.parts[&collection].has;
        let is_wanted = |name: &String| wanted.contains_key(name) || part.keys.contains(name);
        part.let_go.extend(part.has.keys().filter(|name| !is_wanted(name)).cloned());
    }

    /// Another stream, on which it says what it has and wants.
    pub(super) fn come_back(&mut self, catalog: &Catalog) {
        self.session = Session::new(catalog, NODES[0], &self.reach);
        for collection in Collection::ALL {
            let Some(request) = self.part(collection).again(collection) else { continue };
            assert_eq!(self.session.take(catalog, &request), Ok(None), "what was allowed is");
            self.part(collection).said(&request);
        }
    }

    /// Somebody who has nothing, and wants the same.
    pub(super) fn fresh(&self, catalog: &Catalog) -> Self {
        let mut fresh = Self::new(catalog, self.reach.clone());
        for collection in Collection::ALL {
            let Some(wants) = self.parts[&collection].wants(collection) else { continue };
            assert_eq!(fresh.session.take(catalog, &wants), Ok(None), "what was allowed is");
            fresh.part(collection).said(&wants);
        }
        fresh.take_all(catalog);
        fresh
    }

    /// Takes a response, if there is one.
    pub(super) fn take(&mut self, catalog: &Catalog) -> bool {
        let pending = self.session.is_pending();
        let response = self.session.respond(catalog);
        assert_eq!(self.session.generation(), catalog.generation());
        let Some(response) = response else {
            assert!(!self.session.is_pending(), "nothing is said, and something is to be: {pending}");
            return false;
        };
        let collection = Collection::of_url(&response.type_url).expect("it is one of the two");
        check_size(&response);
        self.part(collection).believe(&response);
        self.check_policies(catalog, &response.resources);
        true
    }

    /// Takes all there is, which comes to an end.
    pub(super) fn take_all(&mut self, catalog: &Catalog) {
        let names = self.parts.values().map(|part| part.has.len() + part.keys.len()).sum::<usize>();
        let most = 4 + names + Collection::ALL.map(|of| catalog.len(of)).iter().sum::<usize>();
        let taken = (0..=most).take_while(|_| self.take(catalog)).count();
        assert!(taken <= most, "there is no end");
    }

    /// Policies are there before the workloads they matter to.
    fn check_policies(&mut self, catalog: &Catalog, resources: &[Resource]) {
        let policies = &self.parts[&Collection::Policies];
        if !policies.wildcard {
            return;
        }
        for namespace in resources.iter().filter_map(|resource| namespace_of_workload(&resource.name)) {
            if !may_have(&self.reach, namespace) {
                continue;
            }
            for policy in policies_of(catalog, namespace) {
                assert!(policies.has.contains_key(&*policy.name), "{} comes too late", policy.name);
            }
        }
    }

    /// It has what somebody has who has just come and wants the same; what it has besides is as it is.
    pub(super) fn check(&self, catalog: &Catalog) {
        let fresh = self.fresh(catalog);
        for collection in Collection::ALL {
            let (part, wanted) = (&self.parts[&collection], &fresh.parts[&collection].has);
            for (name, version) in wanted {
                assert_eq!(part.has.get(name), Some(version), "{name} is wanted");
            }
            for (name, version) in part.has.iter().filter(|(name, _)| !part.let_go.contains(*name)) {
                let there = catalog.find(collection, name).map(|entry| entry.version.to_string());
                assert_eq!(there.as_ref(), Some(version), "{name} is out of date");
            }
            if part.wildcard && self.reach == Reach::Everything && collection == Collection::Addresses {
                // It has all of these, as was just seen. What it let go, and is gone, is nobody's to tell.
                assert_eq!(wanted.len(), catalog.len(collection), "it wants everything");
            }
        }
    }
}

/// Whether the policies of a namespace are for a client.
fn may_have(reach: &Reach, namespace: &str) -> bool {
    match reach {
        Reach::Everything => true,
        Reach::Near { namespaces, .. } => namespaces.iter().any(|of| of == namespace),
    }
}

fn check_size(response: &DeltaDiscoveryResponse) {
    let (resources, removed) = (&response.resources, &response.removed_resources);
    let of_resource = |it: &Resource| it.name.len() + it.resource.as_ref().map_or(0, |any| any.value.len());
    let bytes = resources.iter().map(of_resource).chain(removed.iter().map(String::len)).sum::<usize>();
    let count = resources.len() + removed.len();
    assert!(count <= MOST_RESOURCES && (bytes <= MOST_BYTES || count == 1), "{count} of {bytes} bytes");
    let is_workload = |it: &Resource| namespace_of_workload(&it.name).is_some();
    assert!(resources.is_sorted_by_key(is_workload), "workloads come before what they refer to");
}

impl Part {
    /// What a client says of what it has is so; of what it has not, it may say anything.
    fn honest(&self, mut request: DeltaDiscoveryRequest) -> DeltaDiscoveryRequest {
        for (name, version) in &mut request.initial_resource_versions {
            if let Some(own) = self.has.get(name) {
                version.clone_from(own);
            }
        }
        request
    }

    /// Whether a request refuses a response that was not answered.
    fn is_refusal(&mut self, request: &DeltaDiscoveryRequest) -> bool {
        let Some(place) = self.nonces.iter().position(|nonce| *nonce == request.response_nonce) else {
            return false;
        };
        let is_newest = place >= self.answered;
        self.answered = self.answered.max(place + 1);
        is_newest && request.error_detail.is_some()
    }

    /// Takes note of what was said; tells whether something is not wanted any more.
    fn said(&mut self, request: &DeltaDiscoveryRequest) -> bool {
        let (subscribe, unsubscribe) =
            (&request.resource_names_subscribe, &request.resource_names_unsubscribe);
        let everything = |names: &[String]| names.iter().any(|name| name == WILDCARD);
        let is_first = !std::mem::replace(&mut self.begun, true);
        self.wildcard |= everything(subscribe) || (is_first && subscribe.is_empty());
        self.wildcard &= !everything(unsubscribe);
        self.keys.extend(subscribe.iter().filter(|name| *name != WILDCARD).cloned());
        unsubscribe.iter().for_each(|name| {
            self.keys.remove(name);
        });
        for (name, version) in &request.initial_resource_versions {
            if !self.wildcard {
                self.keys.insert(name.clone());
            }
            // An address is no name: it says that it was asked for.
            if !name.starts_with('/') {
                self.has.entry(name.clone()).or_insert_with(|| version.clone());
            }
        }
        !self.wildcard && !unsubscribe.is_empty()
    }

    /// Whether a stream had to end for a request.
    fn is_to_blame(
        &self,
        error: Error,
        request: &DeltaDiscoveryRequest,
        collection: Collection,
        is_near: bool,
    ) -> bool {
        let (subscribe, unsubscribe) =
            (&request.resource_names_subscribe, &request.resource_names_unsubscribe);
        let mut names = subscribe.iter().chain(unsubscribe).chain(request.initial_resource_versions.keys());
        let asks = subscribe.iter().any(|name| name == WILDCARD) || (!self.begun && subscribe.is_empty());
        match error {
            Error::LongName => names.any(|name| name.len() > LONGEST_NAME),
            Error::Everything => is_near && collection == Collection::Addresses && asks,
            // No input has as many.
            Error::Unknown | Error::Names { .. } => false,
        }
    }

    /// What it wants, in one request; none if it has never said.
    fn wants(&self, collection: Collection) -> Option<DeltaDiscoveryRequest> {
        let star = WILDCARD.to_owned();
        self.begun.then(|| DeltaDiscoveryRequest {
            type_url: collection.url().to_owned(),
            resource_names_subscribe: [star.clone()].into_iter().chain(self.keys.iter().cloned()).collect(),
            resource_names_unsubscribe: (!self.wildcard).then_some(star).into_iter().collect(),
            ..DeltaDiscoveryRequest::default()
        })
    }

    /// The same with what it has, for the beginning of a stream.
    fn again(&mut self, collection: Collection) -> Option<DeltaDiscoveryRequest> {
        let let_go = std::mem::take(&mut self.let_go);
        self.has.retain(|name, _| !let_go.contains(name));
        self.nonces.clear();
        self.answered = 0;
        let wants = self.wants(collection)?;
        Some(DeltaDiscoveryRequest {
            initial_resource_versions: self.has.clone().into_iter().collect(),
            ..wants
        })
    }

    fn believe(&mut self, response: &DeltaDiscoveryResponse) {
        assert!(!self.nonces.contains(&response.nonce), "{} is another response", response.nonce);
        self.nonces.push(response.nonce.clone());
        for Resource { name, version, .. } in &response.resources {
            self.has.insert(name.clone(), version.clone());
            self.let_go.remove(name);
        }
        for name in &response.removed_resources {
            self.has.remove(name);
            self.let_go.remove(name);
        }
    }

    /// What it says to the newest response.
    pub(super) fn answer(&self, collection: Collection, answer: Answer) -> DeltaDiscoveryRequest {
        let of_newest = |error_detail| DeltaDiscoveryRequest {
            response_nonce: self.nonces.last().cloned().unwrap_or_default(),
            error_detail,
            ..DeltaDiscoveryRequest::default()
        };
        let request = match answer {
            Answer::Nothing => DeltaDiscoveryRequest::default(),
            Answer::Ack => of_newest(None),
            Answer::Nack => of_newest(Some(rpc::Status { message: "no".into(), ..rpc::Status::default() })),
        };
        DeltaDiscoveryRequest { type_url: collection.url().to_owned(), ..request }
    }
}
