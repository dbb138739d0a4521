//! What can go wrong with a pod's rules. Each error names the pod, and as much of IP version, table and rule as is known.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::binary::NoTool;
use crate::plan::MAX_VIRTUAL_INTERFACES;
use crate::policy_route::Object;
use crate::rule::{Family, Table};
use crate::tool::{self, rule_of};

/// Why rules could not be programmed, verified or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `FORCE_IPTABLES_BINARY` names nothing we know.
    #[error("FORCE_IPTABLES_BINARY is {value:?}: use legacy or nft, or leave it unset")]
    Forced {
        /// What it is set to.
        value: String,
    },
    /// No set of tools works on this machine.
    #[error(transparent)]
    NoTool(Arc<NoTool>),
    /// This process may not work with network namespaces.
    #[error("cannot make or enter network namespaces (needs CAP_SYS_ADMIN and /proc)")]
    Namespaces(#[source] io::Error),
    /// The pod uses an IP version for which there are no tools.
    #[error("pod {pod}: {} addresses are in use but cannot be captured", .source.family)]
    Uncapturable {
        /// Its namespace and name.
        pod: String,
        /// What was tried.
        #[source]
        source: Arc<NoTool>,
    },
    /// The pod names an interface that cannot exist.
    #[error("pod {pod}: {name:?} is not an interface name: correct the pod's list of virtual interfaces")]
    Interface {
        /// Its namespace and name.
        pod: String,
        /// The name.
        name: String,
    },
    /// The pod names more interfaces than it may.
    #[error(
        "pod {pod}: {count} virtual interfaces are more than the {MAX_VIRTUAL_INTERFACES} a pod may have"
    )]
    Interfaces {
        /// Its namespace and name.
        pod: String,
        /// How many.
        count: usize,
    },
    /// The pod names more traffic that shall pass than it may.
    #[error("pod {pod}: {count} {what} that shall pass uncaptured are more than the {most} a pod may have")]
    Passed {
        /// Its namespace and name.
        pod: String,
        /// What there is too much of.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// A rule was refused, by the tool or by the kernel.
    #[error("pod {pod}: {family}: {program} refused {}table {table}: {said}", rule_of(.rule.as_ref()))]
    Refused {
        /// The pod's namespace and name.
        pod: String,
        /// The IP version.
        family: Family,
        /// The program.
        program: String,
        /// The table.
        table: Table,
        /// The line with the rule, unless the table as a whole was refused.
        rule: Option<String>,
        /// What the program printed.
        said: String,
    },
    /// A tool did not do its work.
    #[error("pod {pod}: cannot work on the {family} rules")]
    Tool {
        /// The pod's namespace and name.
        pod: String,
        /// The IP version.
        family: Family,
        /// Why.
        #[source]
        source: tool::Error,
    },
    /// The pod's namespace could not be entered or looked at.
    #[error("pod {pod}: cannot look into its network namespace")]
    Namespace {
        /// The pod's namespace and name.
        pod: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nothing can be routed to `lo` while it is down.
    #[error(
        "pod {pod}: interface lo is down, so replies cannot be routed to the proxy: the pod's network plugin has to \
         bring it up"
    )]
    LoopbackDown {
        /// The pod's namespace and name.
        pod: String,
    },
    /// The kernel refused a change of the policy routing.
    #[error("pod {pod}: {family}: cannot work on the {object}")]
    PolicyRoute {
        /// The pod's namespace and name.
        pod: String,
        /// The IP version.
        family: Family,
        /// The rule or the route.
        object: Object,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A change failed and could not be undone completely either.
    #[error("pod {pod}: rules are half applied, because undoing a failed change failed too ({left})")]
    HalfApplied {
        /// The pod's namespace and name.
        pod: String,
        /// Why undoing failed.
        left: RemoveError,
        /// Why the change failed.
        #[source]
        source: Box<Self>,
    },
}

impl Error {
    /// Puts the name of the pod and the IP version on the error of a tool.
    pub(crate) fn of_tool(pod: &str, family: Family, error: tool::Error) -> Self {
        let pod = pod.to_owned();
        match error {
            tool::Error::Refused { program, table, rule, said } => {
                Self::Refused { pod, family, program, table, rule, said }
            }
            source @ (tool::Error::Missing { .. }
            | tool::Error::Start { .. }
            | tool::Error::TimedOut { .. }
            | tool::Error::Failed { .. }
            | tool::Error::Output { .. }) => Self::Tool { pod, family, source },
        }
    }

    /// Puts the name of the pod on a failure to look into its namespace.
    pub(crate) fn of_namespace(pod: &str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Namespace { pod: pod.to_owned(), source }
    }

    /// Puts the names of the pod and the object on the kernel's refusal.
    pub(crate) fn of_policy_route(pod: &str, family: Family, object: Object) -> impl Fn(io::Error) -> Self {
        move |source| Self::PolicyRoute { pod: pod.to_owned(), family, object, source }
    }
}

/// Everything that kept rules from being removed. What could be removed is removed.
#[derive(Debug)]
pub struct RemoveError<E = Error> {
    /// What failed, in the order in which it was tried; never empty.
    pub errors: Vec<E>,
}

impl<E> RemoveError<E> {
    /// Success, unless something failed.
    pub(crate) fn check(errors: Vec<E>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self { errors }) }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for RemoveError<E> {}

impl<E: std::error::Error + 'static> fmt::Display for RemoveError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            chain(error, f)?;
        }
        Ok(())
    }
}

/// Writes an error with its causes: for lists of errors, which have no one cause to report as their source.
pub(crate) fn chain(error: &dyn std::error::Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{error}")?;
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(f, ": {error}")?;
        cause = error.source();
    }
    Ok(())
}
