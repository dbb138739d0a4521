//! The API server of the lab is what clients take it for: judged byte by byte, and by a real client library.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod client;
mod lists;
mod raw;
mod tokens;
mod troubles;
mod watches;
mod writes;
