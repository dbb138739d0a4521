//! What a namespace should hold, what it does hold, and where: the common first step of applying and verifying.
//!
//! In go a plan and a namespace; out comes one [`State`] per IP version. Nothing is changed.

use culvert_sys::netns::Netns;

use crate::binary::{Iptables, Toolset};
use crate::drift::{self, Difference, Drift, Wrong};
use crate::error::Error;
use crate::kernel::{self, Ipv6};
use crate::parse::Saved;
use crate::plan::{FamilyPlan, Plan};
use crate::policy_route::{Object, PolicyRoutes};
use crate::rule::{Family, Table};
use crate::tool::{Backend, Tool};

/// The pod that is worked on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pod<'p> {
    /// Its namespace and name, for errors.
    pub(crate) name: &'p str,
    pub(crate) netns: &'p Netns,
}

impl Pod<'_> {
    /// The IP versions the kernel has.
    pub(crate) fn families(self) -> Result<impl Iterator<Item = Family>, Error> {
        let ipv6 = self.ipv6()?;
        Ok(Family::BOTH.into_iter().filter(move |family| *family == Family::V4 || ipv6 != Ipv6::Absent))
    }

    pub(crate) fn routes(self) -> Result<PolicyRoutes, Error> {
        PolicyRoutes::open(self.netns).map_err(Error::of_namespace(self.name))
    }

    /// What the tool says the namespace holds.
    pub(crate) fn read(self, tool: &Tool, family: Family) -> Result<Held<'_>, Error> {
        let has_tables = tool.backend == Backend::Nft
            || kernel::has_legacy_tables(self.netns, family).map_err(Error::of_namespace(self.name))?;
        let saved = if has_tables {
            tool.save(self.netns).map_err(|error| Error::of_tool(self.name, family, error))?
        } else {
            Saved::default()
        };
        Ok(Held { tool, saved })
    }

    fn ipv6(self) -> Result<Ipv6, Error> {
        kernel::ipv6(self.netns).map_err(Error::of_namespace(self.name))
    }
}

/// Everything about one IP version of a namespace.
#[derive(Debug)]
pub(crate) struct State<'a> {
    pub(crate) family: Family,
    pub(crate) rules: Option<&'a FamilyPlan>,
    /// The tool our rules belong to; none when the machine has none for this IP version.
    pub(crate) home: Option<Held<'a>>,
    /// The tool of the other backend, if it holds something of ours.
    pub(crate) stray: Option<Held<'a>>,
    pub(crate) policy: [PolicyState; 2],
}

/// What one tool says the namespace holds.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    pub(crate) tool: &'a Tool,
    pub(crate) saved: Saved,
}

/// A policy rule or route.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PolicyState {
    pub(crate) object: Object,
    wanted: bool,
    pub(crate) found: bool,
}

impl PolicyState {
    /// How it differs from what is wanted, if it does.
    pub(crate) fn wrong(self) -> Option<Wrong> {
        Wrong::compare(self.wanted, self.found)
    }
}

/// What is to be there, once the namespace's own limits are taken into account.
struct Wanted<'a> {
    rules: Option<&'a FamilyPlan>,
    policy_rule: bool,
    policy_route: bool,
}

impl Wanted<'_> {
    const NOTHING: Self = Self { rules: None, policy_rule: false, policy_route: false };
}

impl State<'_> {
    /// Whether anything of ours is there.
    pub(crate) fn has_ours(&self) -> bool {
        let home = self.home.as_ref().is_some_and(|home| home.saved.has_ours());
        home || self.stray.is_some() || self.policy.iter().any(|policy| policy.found)
    }

    /// Every difference between what is wanted and what is there.
    pub(crate) fn drift(&self) -> Vec<Drift> {
        let mut differences = self.rule_differences();
        if let Some(stray) = &self.stray {
            differences.push(Difference::Stray { program: stray.tool.name.clone() });
        }
        for policy in self.policy {
            differences.extend(policy.wrong().map(|wrong| match policy.object {
                Object::Rule => Difference::PolicyRule(wrong),
                Object::Route => Difference::PolicyRoute(wrong),
            }));
        }
        differences.into_iter().map(|what| Drift { family: self.family, what }).collect()
    }

    fn rule_differences(&self) -> Vec<Difference> {
        let Some(home) = &self.home else { return Vec::new() };
        if self.rules.is_some() && !home.saved.has_ours() {
            return vec![Difference::Absent];
        }
        let of_table = |table| {
            let wanted = self.rules.and_then(|plan| plan.table(table));
            drift::of_table(table, wanted, home.saved.table(table))
        };
        Table::ALL.into_iter().flat_map(of_table).collect()
    }
}

impl Iptables {
    /// Looks at both IP versions; one the kernel does not have is left out.
    pub(crate) fn observe<'a>(&'a self, pod: Pod<'_>, plan: &'a Plan) -> Result<Vec<State<'a>>, Error> {
        let mut routes = pod.routes()?;
        let mut states = Vec::new();
        for family in pod.families()? {
            let wanted = self.wanted(pod, plan, family)?;
            let (home, stray) = self.held(pod, family)?;
            let policy = [
                policy(pod, &mut routes, family, (Object::Rule, wanted.policy_rule))?,
                policy(pod, &mut routes, family, (Object::Route, wanted.policy_route))?,
            ];
            states.push(State { family, rules: wanted.rules, home, stray, policy });
        }
        Ok(states)
    }

    fn wanted<'a>(&self, pod: Pod<'_>, plan: &'a Plan, family: Family) -> Result<Wanted<'a>, Error> {
        let Some(rules) = plan.family(family) else { return Ok(Wanted::NOTHING) };
        if let Err(source) = self.toolset(family) {
            // Without an address no packet can leave uncaptured, so a machine without ip6tables is good enough.
            if kernel::has_ipv6_address(pod.netns).map_err(Error::of_namespace(pod.name))? {
                return Err(Error::Uncapturable { pod: pod.name.to_owned(), source });
            }
            return Ok(Wanted::NOTHING);
        }
        let policy_route = family == Family::V4 || pod.ipv6()? == Ipv6::Full;
        Ok(Wanted { rules: Some(rules), policy_rule: true, policy_route })
    }

    /// The tool our rules belong to in this pod, and the other one if it holds some of ours.
    ///
    /// Rules stay with the tool that made them, and otherwise go where a pod's own legacy rules are, because only rules
    /// of one backend have an order among each other.
    fn held<'a>(
        &'a self,
        pod: Pod<'_>,
        family: Family,
    ) -> Result<(Option<Held<'a>>, Option<Held<'a>>), Error> {
        let Ok(Toolset { preferred, other }) = self.toolset(family) else { return Ok((None, None)) };
        let preferred = pod.read(preferred, family)?;
        let Some(other) = other else { return Ok((Some(preferred), None)) };
        let other = pod.read(other, family)?;
        let foreign_legacy = other.tool.backend == Backend::Legacy && other.saved.has_rules();
        let moves = self.forced.is_none()
            && !preferred.saved.has_ours()
            && (other.saved.has_ours() || foreign_legacy);
        let (home, other) = if moves { (other, preferred) } else { (preferred, other) };
        let stray = other.saved.has_ours().then_some(other);
        Ok((Some(home), stray))
    }
}

fn policy(
    pod: Pod<'_>,
    routes: &mut PolicyRoutes,
    family: Family,
    (object, wanted): (Object, bool),
) -> Result<PolicyState, Error> {
    let found = routes.has(object, family).map_err(Error::of_policy_route(pod.name, family, object))?;
    Ok(PolicyState { object, wanted, found })
}
