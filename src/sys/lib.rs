//! System calls of Culvert behind safe functions: the only crate that may say `unsafe`.
//!
//! In go plain values and borrowed descriptors; out come owned descriptors and `io::Error`s. Nothing here knows
//! what a mesh is, retries, or logs.
//!
//! - [`netns`]: network namespaces, and running code inside one
//! - [`tcp`]: sockets with the options capture needs (mark, transparent, original destination), and what the kernel knows of a connection
//! - [`udp`]: the same for datagrams
//! - [`conntrack`]: where a redirected datagram was sent to
//! - [`readable`]: waiting until there is something to read
//! - [`seqpacket`]: Unix datagrams in order, with descriptors attached
//! - [`stream`]: reading and writing in several pieces at once
//! - [`child`]: processes that start in a namespace and die with their parent
//! - [`tap`]: reading every packet of an interface
//! - [`ethernet`]: interfaces whose wire is a descriptor
//! - [`sockets`]: who listens, who has a port, and how connections fare
//! - [`xtables`]: reading the tables of the legacy packet filters
//! - [`interfaces`]: the addresses of a namespace; bringing up a new one's loopback interface
//! - [`clock`]: whether somebody keeps the clock right
//! - [`process`]: what other processes are, by `/proc`
//! - [`priority`]: threads that give way
//! - [`sampler`]: what this process spends its time with
//! - [`heap`]: what of the memory of this process is in use
//! - [`limits`]: open-file limits and start-up privilege checks

pub mod child;
pub mod clock;
pub mod conntrack;
pub mod ethernet;
pub mod heap;
pub mod interfaces;
pub mod limits;
mod netlink;
pub mod netns;
pub mod priority;
pub mod process;
pub mod readable;
pub mod sampler;
pub mod seqpacket;
pub mod sockets;
pub mod stream;
pub mod tap;
pub mod tcp;
pub mod udp;
pub mod xtables;
