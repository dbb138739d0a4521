//! Certificates of somebody else than Istio's authority: SPIRE's agent, for a node and for one workload, and cert-manager by way of
//! istio-csr.

mod istio_csr;
mod refused;
mod spire;
mod workload;
