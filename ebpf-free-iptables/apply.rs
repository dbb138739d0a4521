//! Bringing a namespace to its plan, whole or not at all.
//!
//! In go a plan and a namespace; out comes whether anything had to change. First the routing is completed, which has no
//! effect without rules; then the rules of each IP version; last, copies in the other backend are removed. When a step
//! fails, every part that was not there before is taken away again. A part that was there stays: the traffic of a
//! running pod must not turn to plaintext because a repair failed.

use culvert_sys::netns::Netns;

use crate::binary::Iptables;
use crate::drift::Wrong;
use crate::error::{Error, RemoveError};
use crate::kernel;
use crate::observe::{Held, Pod, State};
use crate::plan::Plan;
use crate::policy_route::PolicyRoutes;
use crate::remove::strip;
use crate::rule::Family;
use crate::script::Script;

/// What applying a plan did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Nothing: the namespace was as planned. Not even a counter changed.
    Unchanged,
    /// Everything: there was nothing of ours.
    Installed,
    /// Some of it: there were differences.
    Repaired,
}

impl Iptables {
    /// Brings the namespace to the plan. Doing it again changes nothing.
    ///
    /// `pod` is the pod's `namespace/name` for errors and logs.
    ///
    /// # Errors
    /// When something could not be applied. What was not there before is then gone again, unless the error is
    /// [`Error::HalfApplied`].
    pub fn apply(&self, pod: &str, netns: &Netns, plan: &Plan) -> Result<Applied, Error> {
        plan.check(pod)?;
        let pod = Pod { name: pod, netns };
        let states = self.observe(pod, plan)?;
        let differences: usize = states.iter().map(|state| state.drift().len()).sum();
        if differences == 0 {
            return Ok(Applied::Unchanged);
        }
        let applied = if states.iter().any(State::has_ours) { Applied::Repaired } else { Applied::Installed };
        if let Err(cause) = change(pod, &states) {
            return Err(undo(pod, &states, cause));
        }
        if !plan.reserved().is_empty() {
            let ports = plan.reserved();
            tracing::warn!(
                pod = pod.name,
                ?ports,
                "ports of the proxy cannot pass uncaptured and stay captured"
            );
        }
        tracing::info!(pod = pod.name, ?applied, differences, "capture rules programmed");
        Ok(applied)
    }
}

fn change(pod: Pod<'_>, states: &[State<'_>]) -> Result<(), Error> {
    if !kernel::loopback_is_up(pod.netns).map_err(Error::of_namespace(pod.name))? {
        return Err(Error::LoopbackDown { pod: pod.name.to_owned() });
    }
    let mut routes = pod.routes()?;
    for state in states {
        change_routes(pod, &mut routes, state, Wrong::Missing)?;
    }
    for state in states {
        if let Some(home) = &state.home {
            let script = Script::bring(state.rules, &home.saved);
            restore(pod, state.family, home, &script)?;
        }
    }
    for state in states {
        if let Some(stray) = &state.stray {
            restore(pod, state.family, stray, &Script::bring(None, &stray.saved))?;
        }
        change_routes(pod, &mut routes, state, Wrong::Unexpected)?;
    }
    Ok(())
}

fn change_routes(
    pod: Pod<'_>,
    routes: &mut PolicyRoutes,
    state: &State<'_>,
    which: Wrong,
) -> Result<(), Error> {
    for policy in state.policy.iter().filter(|policy| policy.wrong() == Some(which)) {
        match which {
            Wrong::Missing => routes.add(policy.object, state.family),
            Wrong::Unexpected => routes.remove(policy.object, state.family),
        }
        .map_err(Error::of_policy_route(pod.name, state.family, policy.object))?;
    }
    Ok(())
}

fn restore(pod: Pod<'_>, family: Family, held: &Held<'_>, script: &Script) -> Result<(), Error> {
    if script.is_empty() {
        return Ok(());
    }
    held.tool.restore(script, pod.netns).map_err(|error| Error::of_tool(pod.name, family, error))
}

/// Takes away what a failed change may have made, and returns what to report.
fn undo(pod: Pod<'_>, states: &[State<'_>], cause: Error) -> Error {
    tracing::warn!(pod = pod.name, error = %cause, "capture rules refused, undoing");
    let mut errors = Vec::new();
    for state in states.iter().rev() {
        let fresh = state.home.iter().filter(|home| !home.saved.has_ours());
        errors.extend(fresh.filter_map(|home| strip(pod, home.tool, state.family).err()));
    }
    errors.extend(undo_routes(pod, states));
    match RemoveError::check(errors) {
        Ok(()) => cause,
        Err(left) => Error::HalfApplied { pod: pod.name.to_owned(), left, source: Box::new(cause) },
    }
}

fn undo_routes(pod: Pod<'_>, states: &[State<'_>]) -> Vec<Error> {
    let mut routes = match pod.routes() {
        Ok(routes) => routes,
        Err(error) => return vec![error],
    };
    let mut errors = Vec::new();
    for state in states.iter().rev() {
        for policy in state.policy.iter().filter(|policy| policy.wrong() == Some(Wrong::Missing)) {
            let removed = routes.remove(policy.object, state.family);
            errors
                .extend(removed.map_err(Error::of_policy_route(pod.name, state.family, policy.object)).err());
        }
    }
    errors
}
