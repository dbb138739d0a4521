//! Comparing a namespace with its plan, without touching it.

use culvert_sys::netns::Netns;

use crate::binary::Iptables;
use crate::drift::Drift;
use crate::error::Error;
use crate::observe::Pod;
use crate::plan::Plan;

impl Iptables {
    /// Every difference between plan and namespace: rules and their order, the position of our jumps, leftovers, the
    /// policy rule and the route. Empty means that [`Self::apply`] would change nothing.
    ///
    /// `pod` is the pod's `namespace/name` for errors.
    ///
    /// # Errors
    /// When the namespace could not be read, which says nothing about what it holds.
    pub fn verify(&self, pod: &str, netns: &Netns, plan: &Plan) -> Result<Vec<Drift>, Error> {
        plan.check(pod)?;
        let states = self.observe(Pod { name: pod, netns }, plan)?;
        Ok(states.iter().flat_map(|state| state.drift()).collect())
    }
}
