//! Notes which compiler has built the program, for `/config_dump`.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let said = Command::new(rustc).arg("--version").output().ok().map(|output| output.stdout);
    let version = said.and_then(|text| String::from_utf8(text).ok());
    let version = version.as_deref().and_then(|text| text.split(' ').nth(1)).unwrap_or("unknown");
    println!("cargo::rustc-env=CULVERT_RUST_VERSION={version}");
}
