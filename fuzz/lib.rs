//! What the fuzz targets do: each takes bytes, makes something of them, and panics when a promise is broken.
//!
//! - [`hpack`]: header blocks
//! - [`http2`]: what a peer sends on a connection, either role, and what an application does meanwhile
//! - [`records`]: what a peer sends in records that it has sealed as it should
//! - [`engine`]: two tunnel engines, the wire between them, and everything that can happen to both
//! - [`hbone`]: authority and headers of a request, and why one is refused
//! - [`proxy_protocol`]: what an application is told of who called
//! - [`mesh_file`]: the mesh in a file
//! - [`cluster`]: objects of Kubernetes, one after the other
//! - [`csr`]: requests for certificates
//! - [`dns`]: what a pod asks, and what others answer
//! - [`discovery`]: what node proxies ask of a control plane, and what they are told
//! - [`token`]: what tokens say, and what is said of them
//! - [`cni_stdin`]: what a container runtime says
//! - [`zds`]: what agent and node say to each other
//! - [`socks`]: what a SOCKS client says
//! - [`xds`]: what a control plane says on a discovery stream
//!
//! The programs in `targets` give them to libFuzzer; the tests in `smoke` run each on its corpus and what is made of that.
//!
//! Deliberately absent: chance. The same bytes always do the same.

use culvert_core::tunnel::http2::Role;

pub mod cluster;
pub mod cni_stdin;
pub mod csr;
pub mod discovery;
pub mod dns;
pub mod engine;
pub mod hbone;
pub mod hpack;
pub mod http2;
pub mod mesh_file;
pub mod proxy_protocol;
pub mod records;
pub mod socks;
pub mod token;
pub mod xds;
pub mod zds;

mod frames;
mod input;
mod memory;
mod toy;

/// A target by its name, which is that of its corpus, its words and its program.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("cluster", cluster::run),
    ("cni_stdin", cni_stdin::run),
    ("csr", csr::run),
    ("discovery", discovery::run),
    ("dns", dns::run),
    ("engine", engine::run),
    ("hbone", hbone::run),
    ("hpack", hpack::run),
    ("http2_client", |data| http2::run(Role::Client, data)),
    ("http2_server", |data| http2::run(Role::Server, data)),
    ("mesh_file", mesh_file::run),
    ("proxy_protocol", proxy_protocol::run),
    ("records", records::run),
    ("socks", socks::run),
    ("token", token::run),
    ("xds", xds::run),
    ("zds", zds::run),
];
