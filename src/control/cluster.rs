//! The control plane of a Kubernetes cluster.

mod api;
mod lease;
