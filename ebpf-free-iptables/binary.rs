//! Which iptables programs are used: found once, and tried out in a namespace of their own before any pod sees them.
//!
//! In go directories and the operator's wish; out comes, per IP version, the preferred tool and the one for the other
//! backend. The preferred tool is the legacy one where the machine already has legacy rules (two backends at once are
//! hard to reason about), else nft, else whatever the plain name stands for.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use culvert_sys::netns::Netns;

use crate::drift::{self, Difference, Drift};
use crate::error::{self, Error};
use crate::kernel;
use crate::options::Options;
use crate::parse::Saved;
use crate::plan::{FamilyPlan, Plan};
use crate::rule::{Family, Table};
use crate::run::Lock;
use crate::script::Script;
use crate::tool::{self, Backend, Tool};

/// The iptables programs of this machine.
#[derive(Debug, Clone)]
pub struct Iptables {
    v4: Toolset,
    v6: Result<Toolset, Arc<NoTool>>,
    pub(crate) forced: Option<Backend>,
}

/// Where to look for programs, and which to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// Where to look, in this order.
    pub directories: Vec<PathBuf>,
    /// The only backend to use, whatever the machine has.
    pub only: Option<Backend>,
}

/// The tools of one IP version.
#[derive(Debug, Clone)]
pub(crate) struct Toolset {
    pub(crate) preferred: Tool,
    /// For the backend that is not preferred, to find and remove what is there.
    pub(crate) other: Option<Tool>,
}

/// There is no tool for an IP version that does what capture needs.
#[derive(Debug)]
pub struct NoTool {
    /// The IP version.
    pub family: Family,
    /// Why each tool that was tried is of no use.
    pub attempts: Vec<Unfit>,
}

/// Why a tool is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// It failed.
    #[error(transparent)]
    Tool(#[from] tool::Error),
    /// It reports success, but what it reads back is not what it was given.
    #[error("{program} does not keep the rules it is given: {first}")]
    ReadBack {
        /// The tool.
        program: String,
        /// The first difference.
        first: Drift,
    },
}

impl Search {
    /// What the environment says: `PATH` (and the usual places for such tools), `FORCE_IPTABLES_BINARY`.
    ///
    /// # Errors
    /// When `FORCE_IPTABLES_BINARY` is neither `legacy` nor `nft`.
    pub fn from_environment() -> Result<Self, Error> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let forced = std::env::var_os("FORCE_IPTABLES_BINARY").unwrap_or_default();
        Self::from_values(&path, &forced.to_string_lossy())
    }

    fn from_values(path: &OsStr, forced: &str) -> Result<Self, Error> {
        let only = match forced {
            "" => None,
            "legacy" => Some(Backend::Legacy),
            "nft" => Some(Backend::Nft),
            other => return Err(Error::Forced { value: other.to_owned() }),
        };
        // A relative directory would mean another one wherever the program is started.
        let mut directories: Vec<PathBuf> =
            std::env::split_paths(path).filter(|path| path.is_absolute()).collect();
        for usual in ["/usr/local/sbin", "/usr/sbin", "/sbin"] {
            if !directories.iter().any(|path| path == Path::new(usual)) {
                directories.push(usual.into());
            }
        }
        Ok(Self { directories, only })
    }
}

impl Iptables {
    /// Finds the programs by way of the environment ([`Search::from_environment`]).
    ///
    /// # Errors
    /// When no tool for IPv4 works. Without one for IPv6, pods that use IPv6 are refused later.
    pub fn detect() -> Result<Self, Error> {
        Self::search(&Search::from_environment()?)
    }

    /// Finds the programs.
    ///
    /// # Errors
    /// See [`Self::detect`].
    pub fn search(search: &Search) -> Result<Self, Error> {
        let host = Netns::current().map_err(Error::Namespaces)?;
        let v4 = toolset(Family::V4, search, &host)?.map_err(Error::NoTool)?;
        let v6 = toolset(Family::V6, search, &host)?;
        Ok(Self { v4, v6, forced: search.only })
    }

    /// The programs in one line for people, such as `iptables-nft v1.8.9`.
    #[must_use]
    pub fn describe(&self) -> String {
        let v4 = &self.v4.preferred;
        match &self.v6 {
            Ok(v6) if v6.preferred.backend == v4.backend && v6.preferred.version == v4.version => {
                v4.to_string()
            }
            Ok(v6) => format!("{v4}, {}", v6.preferred),
            Err(_) => format!("{v4}, no ip6tables"),
        }
    }

    /// The same programs for the machine's own namespace, which others program too.
    pub(crate) fn for_host(self) -> Self {
        Self { v4: self.v4.with_lock(Lock::Common), v6: self.v6.map(|v6| v6.with_lock(Lock::Common)), ..self }
    }

    pub(crate) fn toolset(&self, family: Family) -> Result<&Toolset, Arc<NoTool>> {
        match family {
            Family::V4 => Ok(&self.v4),
            Family::V6 => self.v6.as_ref().map_err(Arc::clone),
        }
    }
}

impl Toolset {
    fn with_lock(self, lock: Lock) -> Self {
        let other = self.other.map(|tool| tool.with_lock(lock));
        Self { preferred: self.preferred.with_lock(lock), other }
    }

    /// Both tools, the preferred one first.
    pub(crate) fn tools(&self) -> impl Iterator<Item = &Tool> {
        std::iter::once(&self.preferred).chain(&self.other)
    }
}

/// The tools of a family; the outer error is a machine on which nothing can be tried.
fn toolset(family: Family, search: &Search, host: &Netns) -> Result<Result<Toolset, Arc<NoTool>>, Error> {
    let scratch = || Netns::create().map_err(Error::Namespaces);
    let mut attempts = Vec::new();
    let mut found = find(family, search, &scratch()?, &mut attempts);
    let order = match search.only {
        Some(only) => vec![only],
        None if has_legacy_rules(&found, family, host)? => vec![Backend::Legacy, Backend::Nft],
        None => vec![Backend::Nft, Backend::Legacy],
    };
    for backend in order {
        let Some(at) = found.iter().position(|tool| tool.backend == backend) else { continue };
        match try_out(&found[at], family, &scratch()?) {
            Ok(()) => {
                let preferred = found.swap_remove(at);
                return Ok(Ok(Toolset { preferred, other: found.pop() }));
            }
            Err(unfit) => attempts.push(unfit),
        }
    }
    Ok(Err(Arc::new(NoTool { family, attempts })))
}

/// At most one tool per backend. The plain name is asked only where the telling names are not there.
fn find(family: Family, search: &Search, scratch: &Netns, attempts: &mut Vec<Unfit>) -> Vec<Tool> {
    let mut found: Vec<Tool> = Vec::new();
    for named in [Some(Backend::Nft), Some(Backend::Legacy), None] {
        if found.len() == 2 {
            break;
        }
        match Tool::find(&tool::name(family, named), &search.directories, scratch) {
            Ok(tool) if found.iter().any(|known| known.backend == tool.backend) => {}
            Ok(tool) => found.push(tool),
            Err(error) => attempts.push(error.into()),
        }
    }
    found
}

fn has_legacy_rules(found: &[Tool], family: Family, host: &Netns) -> Result<bool, Error> {
    let Some(legacy) = found.iter().find(|tool| tool.backend == Backend::Legacy) else { return Ok(false) };
    if !kernel::has_legacy_tables(host, family).map_err(Error::Namespaces)? {
        return Ok(false);
    }
    // A tool that cannot read the rules cannot be preferred for them.
    Ok(legacy.save(host).is_ok_and(|saved| saved.has_rules()))
}

/// Applies the rules of an ordinary pod in a namespace nobody uses and compares what is read back.
fn try_out(tool: &Tool, family: Family, scratch: &Netns) -> Result<(), Unfit> {
    let plan = Plan::new(&Options::default());
    let wanted = plan.family(family);
    tool.restore(&Script::bring(wanted, &Saved::default()), scratch)?;
    let first = first_difference(wanted, &tool.save(scratch)?);
    match first {
        Some(what) => Err(Unfit::ReadBack { program: tool.name.clone(), first: Drift { family, what } }),
        None => Ok(()),
    }
}

fn first_difference(wanted: Option<&FamilyPlan>, saved: &Saved) -> Option<Difference> {
    Table::ALL.into_iter().find_map(|table| {
        let wanted = wanted.and_then(|plan| plan.table(table));
        drift::of_table(table, wanted, saved.table(table)).into_iter().next()
    })
}

impl std::error::Error for NoTool {}

impl fmt::Display for NoTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no iptables works for {}", self.family)?;
        for attempt in &self.attempts {
            f.write_str("; ")?;
            error::chain(attempt, f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_where_to_look_and_what_to_use() {
        let search = |path: &str, forced: &str| Search::from_values(OsStr::new(path), forced);
        let found = search("/opt/bin:relative:/usr/sbin", "legacy").unwrap();
        let expected = ["/opt/bin", "/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from);
        assert_eq!(found, Search { directories: expected.to_vec(), only: Some(Backend::Legacy) });
        assert_eq!(search("", "nft").unwrap().only, Some(Backend::Nft));
        assert_eq!(search("", "").unwrap().only, None);
        let said = "FORCE_IPTABLES_BINARY is \"ebpf\": use legacy or nft, or leave it unset";
        assert_eq!(search("", "ebpf").unwrap_err().to_string(), said);
    }
}
