//! What a discovery server says: resources out of YAML, and some that make no sense.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use culvert_core::mesh_file;
use culvert_proto::xds::{Any, Resource};
use culvert_wire::{encode_policy, encode_service, encode_workload};
use prost::bytes::Bytes;

use super::{ADDRESS, AUTHORIZATION};

/// All there is to tell.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    pub(crate) addresses: Vec<Resource>,
    pub(crate) policies: Vec<Resource>,
}

impl Told {
    /// The address resource of this name.
    #[track_caller]
    pub(crate) fn address(&self, name: &str) -> Resource {
        let found = self.addresses.iter().find(|resource| resource.name == name);
        found.unwrap_or_else(|| panic!("`{name}` is not among {:?}", names(&self.addresses))).clone()
    }
}

/// The resources of a mesh file, in its order. Policies have no version, as with istiod.
#[track_caller]
pub(crate) fn of_yaml(text: &str) -> Told {
    let mesh = mesh_file::parse(text).unwrap();
    let workloads =
        mesh.workloads.iter().map(|it| of_payload(ADDRESS, Arc::clone(&it.uid), encode_workload(it)));
    let services = mesh.services.iter().map(|it| of_payload(ADDRESS, it.key(), encode_service(it)));
    let policies =
        mesh.policies.iter().map(|it| of_payload(AUTHORIZATION, Arc::clone(&it.key), encode_policy(it)));
    let unversioned = |policy: Resource| Resource { version: String::new(), ..policy };
    Told { addresses: workloads.chain(services).collect(), policies: policies.map(unversioned).collect() }
}

/// A resource with any payload; its version is a hash of it.
pub(crate) fn of_payload(type_url: &str, name: impl ToString, payload: impl Into<Bytes>) -> Resource {
    let value = payload.into();
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    Resource {
        version: format!("{:016x}", hasher.finish()),
        resource: Some(Any { type_url: type_url.to_owned(), value }),
        name: name.to_string(),
        ..Resource::default()
    }
}

/// A resource nobody can read.
pub(crate) fn corrupt(type_url: &str, name: &str) -> Resource {
    of_payload(type_url, name, vec![0xff, 0xff, 0xff])
}

/// The names of resources.
pub(crate) fn names(resources: &[Resource]) -> Vec<&str> {
    resources.iter().map(|resource| resource.name.as_str()).collect()
}
