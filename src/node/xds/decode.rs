//! From a response to changes of the mesh, resource by resource.
//!
//! In goes one resource as it came; out comes the change it asks for, and whether the server is told that it was accepted. An
//! invalid resource changes nothing, except that an invalid policy denies what it would have governed.

use std::sync::Arc;

use culvert_core::intern::Interner;
use culvert_core::store::Resource;
use culvert_core::xds::{Accepted, Kind, Rejected, Version};
use culvert_proto::xds as proto;

use crate::mesh::Change;

/// What became of one resource.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) change: Option<Change>,
    pub(super) verdict: Result<Accepted, Rejected>,
}

/// Reads one resource.
pub(super) fn resource(kind: Kind, resource: &proto::Resource, interner: &mut Interner) -> Decoded {
    let name = resource.name.as_str();
    let Some(payload) = &resource.resource else {
        // A heartbeat: the resource is as it was (xDS REST and gRPC protocol, TTL).
        return accepted(resource, name.into(), None);
    };
    let read = match kind {
        Kind::Address => culvert_wire::decode_address(name, &payload.value, interner).map(Resource::from),
        Kind::Authorization => {
            culvert_wire::decode_policy(name, &payload.value, interner).map(Resource::Policy)
        }
    };
    match read {
        Ok(read) => {
            warn_of_scheme(name, &read);
            accepted(resource, read.name(), Some(Change::Insert(read)))
        }
        Err(error) => {
            let reason = error.reason();
            tracing::error!(
                kind = kind.url(),
                name,
                reason,
                "the control plane sent a resource that is not valid"
            );
            let denying = || culvert_wire::unusable_policy(name, &payload.value, reason.as_str());
            // Without a name there is nothing it could ever be replaced or removed by.
            let governs = kind == Kind::Authorization && !name.is_empty();
            let change = governs.then(|| Change::Insert(Resource::Policy(denying())));
            Decoded { change, verdict: Err(Rejected { name: name.into(), reason }) }
        }
    }
}

/// It is valid, and so far from what was meant that somebody should know: a denial of nobody, perhaps.
fn warn_of_scheme(name: &str, read: &Resource) {
    if let Resource::Policy(policy) = read
        && let Some(principal) = policy.principal_with_scheme()
    {
        tracing::warn!(
            policy = name,
            principal,
            "no peer matches this principal: write it without `spiffe://`"
        );
    }
}

fn accepted(resource: &proto::Resource, name: Arc<str>, change: Option<Change>) -> Decoded {
    let aliases = resource.aliases.iter().map(|alias| alias.as_str().into()).collect();
    let version = Version::from(resource.version.as_str());
    Decoded { change, verdict: Ok(Accepted { name, version, aliases }) }
}

/// The change a removal asks for.
pub(super) fn removal(kind: Kind, name: Arc<str>) -> Change {
    match kind {
        Kind::Address => Change::RemoveAddress(name),
        Kind::Authorization => Change::RemovePolicy(name),
    }
}
