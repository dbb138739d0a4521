//! Windows of two kinds that take turns: quiet ones and disturbed ones, so that what else happens on the machine meets both alike.
//! Through all of them requests keep a steady pace, well below what the path can carry.
//!
//! In goes what passes in a window of each kind; out come requests with their times, and how these compare. What disturbs is not
//! known here.

pub(super) mod steady;
pub(super) mod times;
pub(super) mod windows;
