//! Delivery: dials plain TCP connections out of a pod ([`dial`]) and moves bytes between two streams ([`splice`]).

pub(crate) mod dial;
pub(crate) mod splice;
pub(crate) mod tcp;
