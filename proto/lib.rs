//! The wire contracts of Culvert: types generated from `*.proto`, and nothing else.

/// The node agent protocol (ZDS), package `istio.workload.zds`.
pub mod zds {
    tonic::include_proto!("istio.workload.zds");
}

/// The certificate service, package `istio.v1.auth`.
pub mod ca {
    tonic::include_proto!("istio.v1.auth");
}

/// The discovery service, package `envoy.service.discovery.v3`.
pub mod xds {
    tonic::include_proto!("envoy.service.discovery.v3");
}

/// Workloads and services, package `istio.workload`.
pub mod workload {
    tonic::include_proto!("istio.workload");
}

/// Authorization policies, package `istio.security`.
pub mod security {
    tonic::include_proto!("istio.security");
}

/// What services say when something goes wrong, package `google.rpc`.
pub mod rpc {
    tonic::include_proto!("google.rpc");
}
