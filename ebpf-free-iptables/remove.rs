//! Removing everything of ours from a namespace, whoever put it there and however much of it is left.
//!
//! In goes a namespace, and no plan: what is there decides. Rules go first, so that nothing is captured any more when
//! the routing that captured connections need goes. Empty built-in chains stay: they are not ours to judge.
//!
//! With the last rule that needs it the kernel stops to keep track of connections, and those that are diverted go where they
//! were once meant to go, in the middle of what is said on them. So whoever still carries some is given time: what diverts
//! is taken out first ([`Iptables::release`]), and the rest when all that was captured is over.

use culvert_sys::netns::Netns;

use crate::binary::{Iptables, Toolset};
use crate::error::{Error, RemoveError};
use crate::observe::Pod;
use crate::parse::Saved;
use crate::policy_route::Object;
use crate::rule::Family;
use crate::script::Script;
use crate::tool::Tool;

impl Iptables {
    /// Removes every rule, chain, jump, policy rule and route that is ours, with either backend. Nothing left to
    /// remove is success.
    ///
    /// `pod` is the pod's `namespace/name` for errors.
    ///
    /// # Errors
    /// Everything that failed; what could be removed is removed all the same.
    pub fn remove(&self, pod: &str, netns: &Netns) -> Result<(), RemoveError> {
        let pod = Pod { name: pod, netns };
        let families: Vec<Family> = match pod.families() {
            Ok(families) => families.collect(),
            Err(error) => return RemoveError::check(vec![error]),
        };
        let mut errors = self.in_each(&families, |tool, family| strip(pod, tool, family));
        errors.extend(remove_routes(pod, &families));
        RemoveError::check(errors)
    }

    /// Lets what begins from here on pass, whichever backend diverts it. What was captured before stays so until
    /// everything is [removed](Self::remove).
    ///
    /// # Errors
    /// Everything that failed; what could be let pass is let pass all the same.
    pub fn release(&self, pod: &str, netns: &Netns) -> Result<(), RemoveError> {
        let pod = Pod { name: pod, netns };
        let families: Vec<Family> = match pod.families() {
            Ok(families) => families.collect(),
            Err(error) => return RemoveError::check(vec![error]),
        };
        RemoveError::check(self.in_each(&families, |tool, family| change(pod, tool, family, Script::release)))
    }

    /// Does something with every tool; gives what failed.
    fn in_each(&self, families: &[Family], act: impl Fn(&Tool, Family) -> Result<(), Error>) -> Vec<Error> {
        let mut errors = Vec::new();
        for family in families {
            let tools = self.toolset(*family);
            let tools = tools.iter().flat_map(|set| Toolset::tools(set));
            errors.extend(tools.filter_map(|tool| act(tool, *family).err()));
        }
        errors
    }
}

/// Removes what is ours from the rules of one tool.
pub(crate) fn strip(pod: Pod<'_>, tool: &Tool, family: Family) -> Result<(), Error> {
    change(pod, tool, family, |saved| Script::bring(None, saved))
}

fn change(pod: Pod<'_>, tool: &Tool, family: Family, script: impl Fn(&Saved) -> Script) -> Result<(), Error> {
    let held = pod.read(tool, family)?;
    let script = script(&held.saved);
    if script.is_empty() {
        return Ok(());
    }
    tool.restore(&script, pod.netns).map_err(|error| Error::of_tool(pod.name, family, error))
}

fn remove_routes(pod: Pod<'_>, families: &[Family]) -> Vec<Error> {
    let mut routes = match pod.routes() {
        Ok(routes) => routes,
        Err(error) => return vec![error],
    };
    let mut errors = Vec::new();
    for family in families {
        for object in Object::BOTH {
            let removed = routes.remove(object, *family);
            errors.extend(removed.map_err(Error::of_policy_route(pod.name, *family, object)).err());
        }
    }
    errors
}
