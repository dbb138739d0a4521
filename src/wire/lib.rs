//! The messages of the control plane and the vocabulary they stand for, in both directions.
//!
//! Goes in: the name and the payload of one resource. Comes out: a workload, a service or a policy, or what is wrong with
//! the resource, by field. And the other way: a value in, its payload out, such that `decode(encode(x)) == x`.
//!
//! What makes no sense never widens who gets in: one bad condition makes the whole policy invalid, and
//! [`unusable_policy`] gives what to enforce in its place. Fields nobody here knows are skipped, because control planes
//! are newer than nodes; but not in the rules of a policy, where such a field may be a condition.
//!
//! [`receive`] is all that becomes of one resource of a response. Deliberately absent: the discovery session around them, which is
//! [`culvert_core::xds`].

use bytes::Bytes;
use culvert_core::intern::Interner;
use culvert_core::policy::Policy;
use culvert_core::service::Service;
use culvert_core::store::Resource;
use culvert_core::workload::Workload;
use culvert_proto::workload as proto;
use prost::Message;

mod address;
mod alias;
mod invalid;
mod policy;
mod response;
mod service;
mod strict;
mod unusable;
mod workload;

pub use alias::{service_aliases, workload_aliases};
pub use invalid::{Invalid, Problem};
pub use response::{Received, receive, removal, removed};
pub use unusable::unusable_policy;

/// The type URL of workloads and services.
pub const ADDRESS_TYPE: &str = "type.googleapis.com/istio.workload.Address";
/// The type URL of policies.
pub const AUTHORIZATION_TYPE: &str = "type.googleapis.com/istio.security.Authorization";

/// What an address resource stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A workload.
    Workload(Workload),
    /// A service.
    Service(Service),
}

impl From<Address> for Resource {
    fn from(address: Address) -> Self {
        match address {
            Address::Workload(workload) => Self::Workload(workload),
            Address::Service(service) => Self::Service(service),
        }
    }
}

/// Reads a resource of [`ADDRESS_TYPE`].
///
/// # Errors
/// When the payload cannot be read, when something in it makes no sense, or when its key is not `name`.
pub fn decode_address(name: &str, payload: &[u8], interner: &mut Interner) -> Result<Address, Invalid> {
    let message: proto::Address = read(payload, "an address")?;
    match message.r#type {
        Some(proto::address::Type::Workload(it)) => {
            workload::decode(name, &it, interner).map(Address::Workload)
        }
        Some(proto::address::Type::Service(it)) => service::decode(name, &it, interner).map(Address::Service),
        None => Err(Invalid::Field { field: "type".to_owned(), problem: Problem::Missing }),
    }
}

/// Reads a resource of [`AUTHORIZATION_TYPE`].
///
/// # Errors
/// When the payload cannot be read, when anything in it makes no sense, or when its key is not `name`. What it was meant
/// to deny is then denied by [`unusable_policy`].
pub fn decode_policy(name: &str, payload: &[u8], interner: &mut Interner) -> Result<Policy, Invalid> {
    let message = read(payload, "an authorization policy")?;
    strict::check(payload)?;
    policy::decode(name, &message, interner)
}

/// Writes a workload as a payload of [`ADDRESS_TYPE`]; its resource is named by its uid.
#[must_use]
pub fn encode_workload(workload: &Workload) -> Bytes {
    address_of(proto::address::Type::Workload(workload::encode(workload).into()))
}

/// Writes a service as a payload of [`ADDRESS_TYPE`]; its resource is named by its key.
#[must_use]
pub fn encode_service(service: &Service) -> Bytes {
    address_of(proto::address::Type::Service(service::encode(service).into()))
}

/// Writes a policy as a payload of [`AUTHORIZATION_TYPE`]; its resource is named by its key.
#[must_use]
pub fn encode_policy(policy: &Policy) -> Bytes {
    policy::encode(policy).encode_to_vec().into()
}

fn address_of(kind: proto::address::Type) -> Bytes {
    proto::Address { r#type: Some(kind) }.encode_to_vec().into()
}

fn read<M: Message + Default>(payload: &[u8], expected: &'static str) -> Result<M, Invalid> {
    if payload.is_empty() {
        return Err(Invalid::Empty);
    }
    M::decode(payload).map_err(|source| Invalid::Undecodable { expected, source })
}

/// Makes sure that a resource is what its name says, so that a removal by name hits what the name added.
fn expect_name(name: &str, carried: &str) -> Result<(), Invalid> {
    if name.is_empty() {
        return Err(Invalid::Nameless { carried: carried.to_owned() });
    }
    if name != carried {
        return Err(Invalid::Misnamed { name: name.to_owned(), carried: carried.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
