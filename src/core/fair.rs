//! How what there is only so much of is shared: whoever has less than what is left free may have more.
//!
//! In go how much somebody has and how much nobody has; out comes whether he may have more. It is the dynamic threshold of Choudhury and
//! Hahne (Dynamic queue length thresholds for shared-memory packet switches, 1998), with their α as 1. One who takes all he can get
//! comes to half of it, two at a time to a third each, and *n* to one part in *n* + 1; who comes later, to half of what they have left.
//! So whoever takes something leaves as much as he has, there is room for who comes next, and nobody has to give anything back for him:
//! with *n* greedy ones at least one part in 2ⁿ, in whatever order they came and went. Nothing has to be set, and nobody is held to a
//! share that others do not want.
//!
//! Deliberately absent: who has what. That is counted where it is taken.

/// Whether somebody who has `own` may have `more`, where `free` is left.
#[must_use]
pub const fn admits(own: u64, more: u64, free: u64) -> bool {
    own.saturating_add(more) <= free
}

/// The most somebody who has `own` can come to, one after the other, where `free` is left and others take nothing.
#[must_use]
pub const fn most(own: u64, free: u64) -> u64 {
    let fair = own.saturating_add(free).div_ceil(2);
    if fair > own { fair } else { own }
}

/// What is left for those who share what somebody may have: the most he can come to, less what he has.
#[must_use]
pub const fn within(own: u64, free: u64) -> u64 {
    most(own, free) - own
}

#[cfg(test)]
mod tests;
