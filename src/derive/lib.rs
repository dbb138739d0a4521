//! What a mesh looks like to its nodes, derived from the objects of a Kubernetes cluster.
//!
//! In go objects as the API server writes them, one at a time or as whole lists; out come the workloads, services and policies that
//! differ from before, and what is to be written into the status of objects. Deliberately absent: asking the API server, sending
//! anything to nodes, the time.
//!
//! **Invariant:** what follows from the objects does not depend on the order in which they came.
//! **Invariant:** a policy is enforced as it is written, or it denies what it governs and its status says so; never half of it.

pub mod entry;
pub mod gateway;
pub mod load_balancing;
pub mod policy;
pub mod waypoint;

mod cluster;
mod condition;
mod facts;
mod labels;
mod lenient;
mod namespace;
mod node;
mod object;
mod owner;
mod pod;
mod problem;
mod reading;
mod service;
mod settings;
mod slice;
mod uid;

pub use cluster::{Change, Cluster, Collection, Outcome};
pub use condition::Condition;
pub use facts::Object;
pub use labels::{Labels, Selector};
pub use object::{Key, Kind, Meta};
pub use pod::Resident;
pub use problem::Problem;
pub use settings::{Settings, Unready};

pub(crate) use settings::Here;
