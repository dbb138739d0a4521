//! `ServiceEntry` and `WorkloadEntry`: services and machines that are not Kubernetes'.
//!
//! In go objects as they are written, and what surrounds them (namespaces, waypoints, who has won a hostname); out come core's
//! services and workloads, what each selected pod serves, which addresses have to be allocated, and which of several definitions of
//! one hostname holds. Deliberately absent: which objects there are, and which of them select each other.
//!
//! Nothing that is written makes reading fail: what makes no sense is left out and is said in the object's status.

mod allocation;
mod endpoint;
mod host;
mod service;
mod service_entry;
mod winner;
mod workload;
mod workload_entry;

pub use allocation::{Allocation, Allotment, GIVEN, Wanted};
pub use endpoint::{At, Endpoint};
pub use service::Front;
pub use service_entry::{Port, ServiceEntry, StatusAddress, Way};
pub use winner::{Claim, Winners, winners};
pub use workload::{Attached, Surroundings};
pub use workload_entry::{Target, WorkloadEntry};

#[cfg(test)]
mod tests;
