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

/// Certificates of SPIRE.
pub mod spire {
    /// What its APIs have in common, package `spire.api.types`.
    pub mod types {
        tonic::include_proto!("spire.api.types");
    }

    /// For those who act for workloads, package `spire.api.agent.delegatedidentity.v1`.
    pub mod delegated {
        tonic::include_proto!("spire.api.agent.delegatedidentity.v1");
    }

    /// For workloads: the SPIFFE Workload API, in no package.
    pub mod workload {
        tonic::include_proto!("_");
    }
}

/// Telemetry for a collector of OpenTelemetry, package `opentelemetry.proto`.
pub mod otlp {
    /// What traces and logs have in common.
    pub mod common {
        tonic::include_proto!("opentelemetry.proto.common.v1");
    }

    /// Spans, and the service that takes them.
    pub mod trace {
        tonic::include_proto!("opentelemetry.proto.collector.trace.v1");
    }

    /// Log records, and the service that takes them.
    pub mod logs {
        tonic::include_proto!("opentelemetry.proto.collector.logs.v1");
    }
}
