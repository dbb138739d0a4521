//! The tokens of service accounts: what they say of themselves, what the API server says of them, and whose they are.
//!
//! In go a token, or the status of a `TokenReview`; out come an account and the pod the token is bound to, or why it is nobody's.
//! Nothing of a token is to be believed before the API server has said that it made it.
//!
//! Deliberately absent: asking, and what is remembered of answers.

mod account;
pub mod claims;
pub mod review;
mod stranger;

pub use account::{Account, NotAnAccount, is_name};
pub use stranger::Stranger;
