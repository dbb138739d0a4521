//! The packet filters of a namespace as values: what `iptables-save` of both backends and `nft` print, read as one kind of rule.
//!
//! In goes a namespace; out come tables whose rules say how far they are about the first packet of a tunnel. What follows from them
//! is for [`super::firewall`]. Nothing is changed: legacy tables that are not there are not asked for, because asking makes them.

use std::collections::BTreeMap;
use std::io;

use super::kernel::again;
use super::sight::Sight;

mod nft;
mod saved;

/// All packet filters of a namespace.
#[derive(Debug)]
pub(crate) struct Filters {
    /// Those of iptables, by backend: nft, legacy.
    iptables: [io::Result<Vec<Table>>; 2],
    /// Those of `nft` that iptables knows nothing of.
    native: io::Result<Vec<Table>>,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    /// Whose words its rules are in: a program such as `iptables-nft`, or `nft`.
    pub(crate) program: String,
    /// As that program names it.
    pub(crate) name: String,
    pub(crate) chains: BTreeMap<String, Chain>,
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Chain {
    /// Where packets come into it by themselves.
    pub(crate) hook: Option<Hook>,
    /// Whether what comes to its end is dropped.
    pub(crate) drops: bool,
    pub(crate) rules: Vec<Rule>,
}

/// Where in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    Prerouting,
    Input,
    Forward,
    Output,
    Postrouting,
}

/// A rule, as far as it is about the first packet of a tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Whether it is about it.
    pub(crate) fits: Sure,
    /// Whether it names the port, alone or among others.
    pub(crate) names_port: bool,
    pub(crate) target: Target,
    /// For people: the rule, or where it is.
    pub(crate) text: String,
}

/// How far something is known of a packet of which only protocol and port are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sure {
    No,
    Maybe,
    Yes,
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Accept,
    Drop,
    Return,
    Chain(String),
    /// Nothing that decides.
    Other,
}

impl Hook {
    fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "prerouting" => Some(Self::Prerouting),
            "input" => Some(Self::Input),
            "forward" => Some(Self::Forward),
            "output" => Some(Self::Output),
            "postrouting" => Some(Self::Postrouting),
            _ => None,
        }
    }
}

impl Filters {
    /// Reads all there is; what cannot be read is an error of its own.
    pub(crate) fn read(sight: &Sight) -> Self {
        let nft = each(|stem| sight.run(&[&format!("{stem}-nft-save")]), "nft");
        let legacy = each(|stem| legacy(sight, stem), "legacy");
        let known = nft.as_ref().is_ok_and(|tables| !tables.is_empty());
        let native = sight.run(&["nft", "-j", "list", "ruleset"]).and_then(|text| nft::tables(&text, known));
        Self { iptables: [installed(nft), installed(legacy)], native: installed(native) }
    }

    /// How many rules there are of iptables: by nft, and legacy ones.
    pub(crate) fn counts(&self) -> io::Result<[usize; 2]> {
        let [nft, legacy] = &self.iptables;
        let count = |tables: &io::Result<Vec<Table>>| match tables {
            Ok(tables) => {
                Ok(tables.iter().flat_map(|table| table.chains.values()).map(|it| it.rules.len()).sum())
            }
            Err(error) => Err(again(error)),
        };
        Ok([count(nft)?, count(legacy)?])
    }

    /// All tables, unless some cannot be read.
    pub(crate) fn tables(&self) -> io::Result<Vec<&Table>> {
        let mut all = Vec::new();
        for tables in self.iptables.iter().chain([&self.native]) {
            all.extend(tables.as_ref().map_err(again)?);
        }
        Ok(all)
    }
}

/// What is not installed has made no rules, and what others have made `nft` or `iptables` shows: one of them mostly is there.
fn installed(tables: io::Result<Vec<Table>>) -> io::Result<Vec<Table>> {
    match tables {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

fn each(save: impl Fn(&str) -> io::Result<String>, backend: &str) -> io::Result<Vec<Table>> {
    let mut tables = Vec::new();
    for stem in ["iptables", "ip6tables"] {
        tables.extend(saved::tables(&save(stem)?, &format!("{stem}-{backend}")));
    }
    Ok(tables)
}

fn legacy(sight: &Sight, stem: &str) -> io::Result<String> {
    let list = if stem == "iptables" { "ip_tables_names" } else { "ip6_tables_names" };
    match sight.read(&format!("/proc/thread-self/net/{list}")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Ok(names) if names.trim().is_empty() => Ok(String::new()),
        Ok(_) => sight.run(&[&format!("{stem}-legacy-save")]),
        Err(error) => Err(error),
    }
}
