//! What the fuzz targets do: each takes bytes, makes something of them, and panics when a promise is broken.
//!
//! - [`hpack`]: header blocks
//! - [`http2`]: what a peer sends on a connection, either role, and what an application does meanwhile
//! - [`records`]: what a peer sends in records that it has sealed as it should
//! - [`engine`]: two tunnel engines, the wire between them, and everything that can happen to both
//! - [`hbone`]: authority and headers of a request
//! - [`mesh_file`]: the mesh in a file
//! - [`cluster`]: objects of Kubernetes, one after the other
//! - [`socks`]: what a SOCKS client says
//!
//! Deliberately absent: chance. The same bytes always do the same.

pub mod cluster;
pub mod engine;
pub mod hbone;
pub mod hpack;
pub mod http2;
pub mod mesh_file;
pub mod records;
pub mod socks;

mod frames;
mod input;
mod memory;
mod toy;
