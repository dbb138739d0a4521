//! What is on another network is reached through the gateway of that network, in a tunnel inside the gateway's tunnel: the gateway
//! learns which service is called and by whom, and not a byte of what is said. It is reached like this or not at all.
//!
//! The gateways are Envoy, and one made of Python's h2 that tells what it was asked.

mod asked;
mod choice;
mod ends;
mod envoy;
mod lost;
mod named;
mod on_demand;
mod refused;
mod rig;
mod told;
mod wire;
