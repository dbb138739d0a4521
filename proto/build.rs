//! Compiles the protos with a pure-Rust compiler: no protoc on the machine is needed.

use std::error::Error;

use tonic_prost_build::Builder;

/// Each of these is complete in itself.
const PROTOS: [&str; 5] = ["zds.proto", "ca.proto", "status.proto", "workload.proto", "authorization.proto"];
/// This one takes its status from `status.proto`.
const DISCOVERY: &str = "discovery.proto";
/// SPIRE's APIs: of its agent for those who act for workloads, and of SPIFFE for workloads.
const SPIRE_TYPES: &str = "spire_types.proto";
const SPIRE: [&str; 2] = ["spire_delegated.proto", "spiffe_workload.proto"];
/// Their messages with private keys, which nobody shall print.
const SECRET: [&str; 4] = [
    ".X509SVID",
    ".X509SVIDResponse",
    ".spire.api.agent.delegatedidentity.v1.X509SVIDWithKey",
    ".spire.api.agent.delegatedidentity.v1.SubscribeToX509SVIDsResponse",
];
/// What telemetry has in common, and the two services that take it.
const OTLP_COMMON: &str = "otlp_common.proto";
const OTLP: [&str; 2] = ["otlp_trace.proto", "otlp_logs.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    builder()
        .boxed(".istio.workload.Address.type.workload")
        .boxed(".istio.workload.Address.type.service")
        .compile_fds(protox::compile(PROTOS, ["."])?)?;
    builder()
        .extern_path(".google.rpc", "crate::rpc")
        .bytes(".envoy.service.discovery.v3.Any.value")
        .compile_fds(protox::compile([DISCOVERY], ["."])?)?;
    builder().compile_fds(protox::compile([OTLP_COMMON], ["."])?)?;
    builder()
        .extern_path(".opentelemetry.proto.common.v1", "crate::otlp::common")
        .compile_fds(protox::compile(OTLP, ["."])?)?;
    builder()
        .skip_debug(SECRET)
        .extern_path(".spire.api.types", "crate::spire::types")
        .compile_fds(protox::compile(SPIRE, ["."])?)?;
    builder().compile_fds(protox::compile([SPIRE_TYPES], ["."])?)?;
    for proto in PROTOS.iter().chain(&OTLP).chain(&SPIRE).chain([&DISCOVERY, &OTLP_COMMON, &SPIRE_TYPES]) {
        println!("cargo:rerun-if-changed={proto}");
    }
    Ok(())
}

/// Ordered maps, so that equal messages are equal bytes.
fn builder() -> Builder {
    tonic_prost_build::configure().btree_map(".")
}
