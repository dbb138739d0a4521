//! Certificates: how they are asked for, which answers count, when they are renewed, and who is let in with them. The
//! authority is played by the test.

mod answers;
mod peers;
mod renewal;
mod requests;
mod revocation;
