//! Compiles the protos with a pure-Rust compiler: no protoc on the machine is needed.

use std::error::Error;

use tonic_prost_build::Builder;

/// Each of these is complete in itself.
const PROTOS: [&str; 5] = ["zds.proto", "ca.proto", "status.proto", "workload.proto", "authorization.proto"];
/// This one takes its status from `status.proto`.
const DISCOVERY: &str = "discovery.proto";
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
    for proto in PROTOS.iter().chain(&OTLP).chain([&DISCOVERY, &OTLP_COMMON]) {
        println!("cargo:rerun-if-changed={proto}");
    }
    Ok(())
}

/// Ordered maps, so that equal messages are equal bytes.
fn builder() -> Builder {
    tonic_prost_build::configure().btree_map(".")
}
