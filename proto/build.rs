//! Compiles the protos with a pure-Rust compiler: no protoc on the machine is needed.

use std::error::Error;

const PROTOS: [&str; 2] = ["zds.proto", "ca.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let descriptors = protox::compile(PROTOS, ["."])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    for proto in PROTOS {
        println!("cargo:rerun-if-changed={proto}");
    }
    Ok(())
}
