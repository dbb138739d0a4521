//! What can go wrong with the rules of a node's own namespace.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use crate::binary::NoTool;
use crate::error::RemoveError;
use crate::rule::Family;
use crate::tool;

/// Why the rules for kubelet's probes could not be programmed, verified or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// There is no `ipset`.
    #[error(
        "ipset is not in {directories}: install the ipset package, or have the node proxy let kubelet's probes in, which needs \
         no rules on the node"
    )]
    NoIpset {
        /// Where it was looked for.
        directories: String,
    },
    /// The program `ipset` failed.
    #[error("cannot work on the sets of probed pods")]
    Ipset(#[source] tool::Error),
    /// A set stays in use although our rules are gone.
    #[error("set {name} cannot be removed: {said}; see which rules of others use it")]
    InUse {
        /// The set.
        name: &'static str,
        /// What the program said.
        said: String,
    },
    /// `ipset` printed what it should not.
    #[error("cannot understand line {line} of what ipset says of set {name}: {text}")]
    Output {
        /// The set.
        name: &'static str,
        /// The number of the line, from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// A UID is none.
    #[error(
        "{uid:?}, the UID of the pod at {address}, is none: only letters, digits, dots, dashes and underscores can be in it"
    )]
    Uid {
        /// The pod's address.
        address: IpAddr,
        /// The text.
        uid: String,
    },
    /// The iptables program failed.
    #[error("cannot work on the {family} rules of the node")]
    Rules {
        /// The IP version.
        family: Family,
        /// Why.
        #[source]
        source: tool::Error,
    },
    /// There are pods with addresses of an IP version for which there is no iptables.
    #[error("pods with {family} addresses cannot be probed")]
    NoTool {
        /// The IP version.
        family: Family,
        /// What was tried.
        #[source]
        source: Arc<NoTool>,
    },
    /// The node's namespace could not be looked at.
    #[error("cannot look into the network namespace of the node")]
    Namespace(#[source] io::Error),
}

/// Everything that kept the rules of a node from being removed.
pub type HostRemoveError = RemoveError<HostError>;
