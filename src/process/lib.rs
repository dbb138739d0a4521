//! What every Culvert program does the same way: [`log`] set-up, [`exit`] codes and error chains, [`signal`]s, and
//! [`follow`]ing a file that changes.
//!
//! Nothing here knows about meshes, pods or tunnels.

pub mod exit;
pub mod follow;
pub mod log;
pub mod signal;
