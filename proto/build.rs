//! Compiles the protos with a pure-Rust compiler: no protoc on the machine is needed.

use std::error::Error;

use tonic_prost_build::Builder;

/// Each of these is complete in itself.
const PROTOS: [&str; 5] = ["zds.proto", "ca.proto", "status.proto", "workload.proto", "authorization.proto"];
/// This one takes its status from `status.proto`.
const DISCOVERY: &str = "discovery.proto";

fn main() -> Result<(), Box<dyn Error>> {
    builder()
        .boxed(".istio.workload.Address.type.workload")
        .boxed(".istio.workload.Address.type.service")
        .compile_fds(protox::compile(PROTOS, ["."])?)?;
    builder()
        .extern_path(".google.rpc", "crate::rpc")
        .bytes(".envoy.service.discovery.v3.Any.value")
        .compile_fds(protox::compile([DISCOVERY], ["."])?)?;
    for proto in PROTOS.iter().chain([&DISCOVERY]) {
        println!("cargo:rerun-if-changed={proto}");
    }
    Ok(())
}

/// Ordered maps, so that equal messages are equal bytes.
fn builder() -> Builder {
    tonic_prost_build::configure().btree_map(".")
}
