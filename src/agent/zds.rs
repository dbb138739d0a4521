//! The node protocol (ZDS): tells every connected node which pods to serve, and hands over their network namespaces.
//!
//! In goes the published table, out go packets on a Unix `SOCK_SEQPACKET` socket. Each node has a session of its own
//! that reconciles what this node was told with the newest table; sessions share nothing but the table and who is
//! newest. Nothing a node says changes the table.

mod ledger;
mod message;
mod seats;
pub(crate) mod server;
mod session;
mod window;
