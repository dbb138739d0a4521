//! The pure part of Culvert: no I/O, no clock, no environment; bytes and time come in as arguments.

pub mod address;
pub mod dns;
pub mod fair;
pub mod hbone;
pub mod identity;
pub mod intern;
pub mod mesh_file;
pub mod policy;
pub mod proxy_protocol;
pub mod pushback;
pub mod refusal;
pub mod renewal;
pub mod route;
pub mod service;
pub mod snapshot;
pub mod socks;
pub mod store;
pub mod tunnel;
pub mod workload;
pub mod xds;
