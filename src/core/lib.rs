//! The pure part of Culvert: no I/O, no clock, no environment; bytes and time come in as arguments.

pub mod identity;
