//! Messages of DNS: what a client asks, what the mesh says to it, and what others say on its way back.
//!
//! In go bytes of strangers, out come bytes. Deliberately absent: sockets, time, caches, and who is asked; what the mesh knows of a
//! name is decided by [`culvert_core::dns`].

pub mod message;
pub mod own;
pub mod wire;
