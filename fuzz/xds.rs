//! What a control plane says on a discovery stream, and what a node makes of it.
//!
//! Bytes are responses as they come, or steps that put one together: resources that are in order, spoilt or only renewed, removals, and
//! streams that end. Whatever is said: memory stays bounded; each response is answered once, and refused when anything of it was; what
//! the node claims to have is what it has; a policy that cannot be understood denies all it would have governed; and the mesh is the
//! one that had been made at once of what is there in the end.

mod model;

use std::time::Instant;

use bytes::Bytes;
use culvert_core::intern::Interner;
use culvert_core::store::{Locality, Store};
use culvert_core::xds::{Handled, Kind, Mode, Session};
use culvert_proto::{security, workload, xds as proto};
use culvert_wire::Received;
use prost::Message as _;

use crate::input::{Clock, Input};
use crate::memory::Bound;
use model::Model;

/// Names that resources have, besides those in their payloads.
const NAMES: [&str; 6] = ["", "ns/p", "ns/q", "/p", "ns/web.ns.svc.cluster.local", "cluster//Pod/ns/web"];

/// Reasons are cut; this is all of a refusal.
const LONGEST_REFUSAL: usize = 4096 + 2 * 512 + 64;

/// The first byte decides how much the node takes, then come steps.
pub fn run(data: &[u8]) {
    let bound = Bound::new((2 << 20) + 1_000 * data.len());
    let mut input = Input::new(data);
    let mut node = Node::new(input.one(&[Mode::Wildcard, Mode::OnDemand]));
    let mut response = Response::default();
    while let Some(choice) = input.next() {
        match choice % 8 {
            0..=2 => response.resources.push(resource(response.kind(), &mut input)),
            3 => response.resources.push(heartbeat(&mut input)),
            4 => response.removed.push(input.one(&NAMES).to_owned()),
            5 => response.is_of_policies ^= true,
            6 => node.handle(std::mem::take(&mut response).into()),
            _ => match input.byte() % 4 {
                0 => node.reconnect(),
                1 => node.say_something_else(&mut input),
                _ => node.receive(&mut input),
            },
        }
        bound.check();
    }
    node.handle(response.into());
    node.reconnect();
    node.model.check_at_once(&node.store.snapshot());
    node.remove_all();
    bound.check();
}

/// A response that is being put together.
#[derive(Default)]
struct Response {
    is_of_policies: bool,
    resources: Vec<proto::Resource>,
    removed: Vec<String>,
}

impl Response {
    fn kind(&self) -> Kind {
        if self.is_of_policies { Kind::Authorization } else { Kind::Address }
    }
}

impl From<Response> for proto::DeltaDiscoveryResponse {
    fn from(response: Response) -> Self {
        Self {
            type_url: response.kind().url().into(),
            nonce: "n".into(),
            resources: response.resources,
            removed_resources: response.removed,
            ..Self::default()
        }
    }
}

/// A resource whose payload is the input's; mostly under the name it carries.
fn resource(kind: Kind, input: &mut Input<'_>) -> proto::Resource {
    let choice = input.byte();
    let length = input.byte();
    let payload = Bytes::copy_from_slice(input.take(length.into()));
    let name = match choice {
        0..200 => carried(kind, &payload).unwrap_or_else(|| NAMES[usize::from(choice) % NAMES.len()].into()),
        _ => NAMES[usize::from(choice) % NAMES.len()].to_owned(),
    };
    let resource = Some(proto::Any { value: payload, ..proto::Any::default() });
    proto::Resource { name, resource, version: format!("{choice:016x}"), ..proto::Resource::default() }
}

/// The name a payload belongs under.
fn carried(kind: Kind, payload: &[u8]) -> Option<String> {
    use workload::address::Type;
    Some(match kind {
        Kind::Address => match workload::Address::decode(payload).ok()?.r#type? {
            Type::Workload(workload) => workload.uid,
            Type::Service(service) => format!("{}/{}", service.namespace, service.hostname),
        },
        Kind::Authorization => {
            let policy = security::Authorization::decode(payload).ok()?;
            format!("{}/{}", policy.namespace, policy.name)
        }
    })
}

fn heartbeat(input: &mut Input<'_>) -> proto::Resource {
    proto::Resource { name: input.one(&NAMES).into(), version: "v".into(), ..proto::Resource::default() }
}

/// A node, as far as it listens to a control plane, and what it should be.
struct Node {
    session: Session,
    store: Store,
    interner: Interner,
    model: Model,
    now: Instant,
}

impl Node {
    fn new(mode: Mode) -> Self {
        let now = Clock::new().now;
        let mut session = Session::new(mode);
        let _ = session.opened(now);
        let store = Store::new(Locality::default());
        Self { session, store, interner: Interner::default(), model: Model::default(), now }
    }

    fn receive(&mut self, input: &mut Input<'_>) {
        let length = input.number();
        let said = Bytes::copy_from_slice(input.take(length));
        if let Ok(response) = proto::DeltaDiscoveryResponse::decode(said) {
            self.handle(response);
        }
    }

    fn handle(&mut self, response: proto::DeltaDiscoveryResponse) {
        let Some(kind) = Kind::of(&response.type_url) else {
            let answer = self.session.unknown_type(&response.type_url, &response.nonce);
            assert!(answer.refusal.is_some_and(|nack| nack.message.len() < LONGEST_REFUSAL));
            return;
        };
        let refused = self.model.take(kind, &response);
        let nonce = response.nonce.clone();
        let handled = self.apply(kind, response);
        let answer = self.session.handled(kind, &nonce, handled, self.now);
        assert_eq!((&*answer.type_url, &*answer.nonce), (kind.url(), &*nonce));
        assert_eq!(answer.refusal.is_some(), refused, "{answer:?}");
        assert!(answer.refusal.is_none_or(|nack| nack.message.len() < LONGEST_REFUSAL));
        self.model.check(&self.store.snapshot());
    }

    /// As the client of a node does it, but at once.
    fn apply(&mut self, kind: Kind, response: proto::DeltaDiscoveryResponse) -> Handled {
        let removed = culvert_wire::removed(response.removed_resources, &response.resources);
        let mut handled = Handled { removed, ..Handled::default() };
        for resource in response.resources {
            let Received { change, verdict } = culvert_wire::receive(kind, &resource, &mut self.interner);
            match verdict {
                Ok(accepted) => handled.accepted.extend(accepted),
                Err(rejected) => handled.rejected.push(rejected),
            }
            change.into_iter().for_each(|change| self.store.apply(change));
        }
        for name in &handled.removed {
            self.store.apply(culvert_wire::removal(kind, name.clone()));
        }
        handled
    }

    /// Another stream: what is claimed on it is what is there.
    fn reconnect(&mut self) {
        let _ = self.session.closed(self.now, None, 0);
        for kind in Kind::ALL {
            let requests = self.session.opened(self.now);
            let of_kind = requests.iter().filter(|request| *request.type_url == *kind.url());
            self.model.check_claims(kind, of_kind.flat_map(|request| &request.initial_versions));
        }
    }

    fn say_something_else(&mut self, input: &mut Input<'_>) {
        let type_url = String::from_utf8_lossy(input.take(40)).into_owned();
        if Kind::of(&type_url).is_none() {
            self.handle(proto::DeltaDiscoveryResponse { type_url, ..Default::default() });
        }
    }

    fn remove_all(&mut self) {
        for kind in Kind::ALL {
            let removed_resources = self.model.names(kind);
            let type_url = kind.url().into();
            self.handle(proto::DeltaDiscoveryResponse { type_url, removed_resources, ..Default::default() });
        }
        let rest = self.store.snapshot();
        assert_eq!((rest.workloads().len(), rest.services().len(), rest.policies().len()), (0, 0, 0));
        assert_eq!(self.store.unusable_policies(), 0);
    }
}
