//! What a node says to its control plane and how it takes what it is told, with a control plane the test plays itself.

mod on_demand;
mod policies;
mod session;
mod state;
