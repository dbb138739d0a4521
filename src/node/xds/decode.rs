//! One resource of a response, and what the log says of it; what it means is [`culvert_wire`]'s.

use culvert_core::intern::Interner;
use culvert_core::store::{Change, Resource};
use culvert_core::xds::{Kind, Rejected};
use culvert_proto::xds as proto;
use culvert_wire::Received;

/// Reads one resource.
pub(super) fn resource(kind: Kind, resource: &proto::Resource, interner: &mut Interner) -> Received {
    let received = culvert_wire::receive(kind, resource, interner);
    match &received {
        Received { verdict: Err(Rejected { name, reason }), .. } => {
            tracing::error!(
                kind = kind.url(),
                name = &**name,
                reason,
                "the control plane sent a resource that is not valid"
            );
        }
        Received { change: Some(Change::Insert(read)), .. } => warn_of_scheme(&resource.name, read),
        Received { .. } => {}
    }
    received
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
