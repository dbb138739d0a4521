//! The wire contracts of Culvert: types generated from `*.proto`, and nothing else.

/// The node agent protocol (ZDS), package `istio.workload.zds`.
pub mod zds {
    tonic::include_proto!("istio.workload.zds");
}

/// The certificate service, package `istio.v1.auth`.
pub mod ca {
    tonic::include_proto!("istio.v1.auth");
}
