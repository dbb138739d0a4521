//! From a response to changes of the mesh, resource by resource.
//!
//! In goes one resource as it came; out comes the change it asks for, and whether the server is told that it was accepted. An
//! invalid resource changes nothing, except that an invalid policy denies what it would have governed.

use std::collections::HashSet;
use std::sync::Arc;

use culvert_core::intern::Interner;
use culvert_core::store::{Change, Resource};
use culvert_core::xds::{Accepted, Kind, Rejected, Version};
use culvert_proto::xds as proto;

use crate::{decode_address, decode_policy, unusable_policy};

/// What became of one resource.
#[derive(Debug)]
pub struct Received {
    /// What it changes.
    pub change: Option<Change>,
    /// What the server is told. `None`: nothing came that could be.
    pub verdict: Result<Option<Accepted>, Rejected>,
}

/// Reads one resource.
pub fn receive(kind: Kind, resource: &proto::Resource, interner: &mut Interner) -> Received {
    let name = resource.name.as_str();
    let Some(payload) = &resource.resource else {
        // A heartbeat: the resource is as it was (xDS REST and gRPC protocol, TTL), if it was there. It is no reason to tell the
        // server ever after that we have it.
        return Received { change: None, verdict: Ok(None) };
    };
    let read = match kind {
        Kind::Address => decode_address(name, &payload.value, interner).map(Resource::from),
        Kind::Authorization => decode_policy(name, &payload.value, interner).map(Resource::Policy),
    };
    match read {
        Ok(read) => {
            let accepted = accepted(resource, read.name());
            Received { change: Some(Change::Insert(read)), verdict: Ok(Some(accepted)) }
        }
        Err(error) => {
            let reason = error.reason();
            let denying = || unusable_policy(name, &payload.value, reason.as_str());
            // Without a name there is nothing it could ever be replaced or removed by.
            let governs = kind == Kind::Authorization && !name.is_empty();
            let change = governs.then(|| Change::Insert(Resource::Policy(denying())));
            Received { change, verdict: Err(Rejected { name: name.into(), reason }) }
        }
    }
}

fn accepted(resource: &proto::Resource, name: Arc<str>) -> Accepted {
    let aliases = resource.aliases.iter().map(|alias| alias.as_str().into()).collect();
    Accepted { name, version: Version::from(resource.version.as_str()), aliases }
}

/// Gives what a response takes away: what is both there and removed is there, be it a policy that denies because it is not valid.
#[must_use]
pub fn removed(names: Vec<String>, resources: &[proto::Resource]) -> Vec<Arc<str>> {
    let there: HashSet<&str> = match names.is_empty() {
        true => HashSet::new(),
        false => resources.iter().map(|resource| resource.name.as_str()).collect(),
    };
    names.into_iter().filter(|name| !there.contains(name.as_str())).map(Arc::from).collect()
}

/// Gives the change a removal asks for.
#[must_use]
pub fn removal(kind: Kind, name: Arc<str>) -> Change {
    match kind {
        Kind::Address => Change::RemoveAddress(name),
        Kind::Authorization => Change::RemovePolicy(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(name: &str, payload: Option<Vec<u8>>) -> proto::Resource {
        let any = |value: Vec<u8>| proto::Any { value: value.into(), ..proto::Any::default() };
        proto::Resource { name: name.into(), resource: payload.map(any), ..proto::Resource::default() }
    }

    #[test]
    fn a_heartbeat_is_nothing_we_have() {
        for kind in Kind::ALL {
            let Received { change, verdict } =
                receive(kind, &resource("ns/p", None), &mut Interner::default());
            assert!(change.is_none() && matches!(verdict, Ok(None)), "{kind:?}");
        }
    }

    #[test]
    fn a_policy_that_is_not_valid_denies_though_the_response_removes_it_too() {
        let garbage = resource("ns/p", Some(vec![0xff]));
        assert!(
            removed(vec!["ns/p".into(), "ns/q".into()], std::slice::from_ref(&garbage))
                == [Arc::from("ns/q")]
        );
        let received = receive(Kind::Authorization, &garbage, &mut Interner::default());
        assert!(received.verdict.is_err());
        let Some(Change::Insert(Resource::Policy(policy))) = received.change else {
            panic!("nothing denies")
        };
        assert!(policy.unusable.is_some());
    }
}
