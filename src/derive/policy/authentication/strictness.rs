//! On which ports of a workload plaintext is accepted.

use std::collections::BTreeSet;

/// On which ports of a workload plaintext is accepted: one answer for all, and the ports with the other one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Strictness {
    strict: bool,
    exceptions: BTreeSet<u16>,
}

impl Strictness {
    /// One answer for all ports but for those that say otherwise.
    pub(super) fn new(strict: bool, ports: impl Iterator<Item = (u16, bool)>) -> Self {
        let exceptions = ports.filter(|&(_, port_strict)| port_strict != strict).map(|(port, _)| port);
        Self { strict, exceptions: exceptions.collect() }
    }

    /// Tells whether plaintext to a port of the workload is accepted.
    #[must_use]
    pub fn plaintext_accepted(&self, port: u16) -> bool {
        self.strict == self.exceptions.contains(&port)
    }

    /// Tells whether it is refused in general.
    pub(super) fn is_strict(&self) -> bool {
        self.strict
    }

    /// Gives the ports for which the opposite holds of what does in general.
    pub(super) fn exceptions(&self) -> &BTreeSet<u16> {
        &self.exceptions
    }
}
