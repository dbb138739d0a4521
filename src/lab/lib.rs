//! A cluster on a laptop, out of network namespaces: nodes, pods, the wire between them, and the mesh's programs.
//!
//! In goes a description in a few calls; out come hosts that speak real TCP over a real (virtual) wire, real
//! processes in them, and witnesses: what passed the wire, what the programs logged, what the kernel says. The lab
//! knows the programs only from outside, by their command lines, environment, files and ports, so that it can judge
//! any program that has the same ones. It asserts nothing by itself.
//!
//! ```text
//!            +----------- control -----------+
//!            | to-a                     to-b |          a host each: "a", "b", every pod, control
//!            | to-control         to-control |          a veth pair each line
//!  client ---+ a ----------- wire ---------- b +--- server
//!  eth0   pod0   to-b                     to-a  pod0   eth0
//! ```
//!
//! ```no_run
//! use std::time::Duration;
//! use culvert_lab::{Behaviour, Lab, PodSpec, Programs, ServiceSpec};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let soon = Duration::from_secs(5);
//! let lab = Lab::new("example")?.with_programs(Programs::build()?);
//! let (a, b) = (lab.node("a")?, lab.node("b")?);
//! let client = lab.pod(&a, PodSpec::new("client").service_account("shopper"))?;
//! let server = lab.pod(&b, PodSpec::new("server").service_account("shop"))?;
//! let shop = lab.service(ServiceSpec::new("shop").port(80, 8080), &[&server])?;
//! lab.serve(&server, 8080, Behaviour::Echo)?;
//!
//! // Without the mesh everybody on the wire can read along.
//! let wire = lab.wire(&a, &b)?;
//! client.ask((server.ip4(), 8080), b"my secret", soon)?;
//! assert!(wire.stop()?.contains(b"my secret"));
//!
//! // With it nobody can, and the service has an address.
//! lab.enrol_all(&[&client, &server])?;
//! lab.start_mesh()?;
//! let wire = lab.wire(&a, &b)?;
//! assert_eq!(client.ask((shop.ip6(), 80), b"my secret", soon)?, b"my secret");
//! let capture = wire.stop()?;
//! capture.assert_lossless();
//! assert!(!capture.contains(b"my secret"));
//! assert_eq!(capture.tcp_ports(), [15008]);
//! # Ok(())
//! # }
//! ```
//!
//! What changes the mesh waits until the programs have taken it, as their logs (level `info`, text format), their admin
//! port and the kernel say. A program that reads the mesh file only once must be started after everything is set.
//!
//! Nothing outlives a lab. Namespaces have no names and are held by this process only; programs are killed with it, by
//! the kernel if need be. The directory with the logs is removed with the lab, unless the test panics, a wait of the lab
//! fails, or `CULVERT_LAB_KEEP` is set; then its path is printed. Only after a signal it stays without notice, and a [`SmallDisk`] in it
//! stays mounted.
//!
//! Labs are private to each other: any number of them can run at once, in one process or in many, all with the same
//! addresses. They need root, and `ip` and `iptables`.

mod address;
pub mod api_server;
mod belongings;
pub mod bulk;
mod containers;
mod directory;
mod disk;
mod error;
mod fault;
mod host;
pub mod http;
mod lab;
mod launch;
mod mesh;
mod node;
mod pod;
mod preflight;
mod program;
mod programs;
mod server;
mod service;
mod slow;
mod snapshot;
pub mod socket;
mod spawner;
mod tool;
mod wait;
mod wire;

pub use belongings::Belongings;
pub use containers::{Container, Containers, Plugin, new_uid};
pub use disk::SmallDisk;
pub use error::Error;
pub use fault::{Fate, Fault};
pub use lab::Lab;
pub use launch::Launch;
pub use mesh::Section;
pub use node::Node;
pub use pod::{Pod, PodSpec};
pub use program::{LogPosition, Program};
pub use programs::Programs;
pub use server::{Behaviour, Handler, Server};
pub use service::{Service, ServiceSpec};
pub use slow::{Quality, SlowWire};
pub use snapshot::Snapshot;
pub use wait::{PATIENCE, wait_for, wait_until};
pub use wire::{Capture, Packet, Protocol, TcpFlags, Wire};
