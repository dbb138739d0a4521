//! SPIRE issues: its agent on this host makes keys and certificates (SVIDs) and sends new ones by itself, over a Unix socket.
//!
//! Two of the agent's APIs are spoken. A proxy of a node is a *delegate*: it names the selectors of a workload and is given what the
//! workload is entitled to ([`delegated`]). A proxy of one workload asks who it is itself ([`workload`]). Each identity has a
//! subscription of its own ([`issuance`]), which ends with it; what comes is judged like the answer of an authority ([`svid`]).
//!
//! It does not attest anybody: of whom this node may speak is what the node agent says and what SPIRE's entries allow. It does not
//! take bundles of other trust domains: tunnels are for one trust domain and its aliases.

mod agent;
mod delegated;
mod issuance;
mod residents;
mod svid;
#[cfg(test)]
mod tests;
mod workload;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use culvert_core::identity::SpiffeId;
use tonic::Code;

pub(crate) use delegated::Follow;
pub(crate) use residents::Residents;

use super::certificate::Versions;
use super::issuer::{Issuance, Issuer};
use crate::control_plane::Status;
use agent::Agent;
use delegated::Delegate;

/// How long the agent may take to say something that was asked for.
const ANSWER: Duration = Duration::from_secs(5);

/// How to ask the agent.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) api: Api,
    pub(crate) socket: PathBuf,
    /// Whether tunnels may speak TLS 1.2 as well.
    pub(crate) tls12: bool,
}

/// Which API of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// For those who act for workloads, on the admin socket.
    Delegated,
    /// For a workload itself: the SPIFFE Workload API.
    Workload,
}

impl Api {
    /// What it is called as an issuer.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Delegated => "spire-delegated",
            Self::Workload => "spire-workload",
        }
    }
}

/// Why the agent gave no certificate.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Error {
    #[error("the SPIRE agent at {address} cannot be reached: {reason}")]
    Unreachable { address: String, reason: String },
    #[error("the SPIRE agent at {address} said nothing of {id} within {ANSWER:?} (answer deadline): {hint}")]
    Silent { address: String, id: SpiffeId, hint: Hint },
    #[error("the SPIRE agent at {address} refused ({code:?}: {message}): {hint}")]
    Refused { address: String, code: Code, message: String, hint: Hint },
    #[error("no SVID for {id}{}: {hint}", instead(.given))]
    NoSvid { id: SpiffeId, given: Vec<String>, hint: Hint },
    #[error(
        "the SPIRE agent at {address} has no trust bundle of `{domain}`: the mesh and the agent must be of one trust domain"
    )]
    NoBundle { address: String, domain: String },
    #[error("the SVID for {id} from the SPIRE agent at {address} cannot be used")]
    Unusable { address: String, id: SpiffeId, source: svid::Error },
}

/// What to look at when there is no SVID.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Hint {
    #[error(
        "is there a registration entry with the selectors {}, and is this process a delegate (authorized_delegates)?",
        .0.join(", ")
    )]
    Delegated(Vec<String>),
    #[error("is this process a delegate (authorized_delegates)?")]
    Delegate,
    #[error("is there a registration entry for this process with that SPIFFE ID?")]
    Workload,
}

fn instead(given: &[String]) -> String {
    if given.is_empty() { String::new() } else { format!(", but for {}", given.join(", ")) }
}

impl Error {
    /// The stable name of the reason, for the metrics.
    fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Silent { .. } => "request_deadline",
            Self::Refused { .. } | Self::NoSvid { .. } => "refused",
            Self::NoBundle { .. } | Self::Unusable { .. } => "unusable_answer",
        }
    }
}

/// A client of the agent.
pub(crate) struct Client {
    agent: Agent,
    versions: Versions,
    /// `None` for the Workload API.
    delegate: Option<Delegate>,
}

impl Client {
    /// Connects to nobody. With the client comes what follows the trust bundle, if that is apart from the certificates; it is to be
    /// run. `residents` are the pods of this node.
    pub(crate) fn new(config: &Config, residents: &Residents) -> (Self, Option<Follow>) {
        let agent = Agent::new(&config.socket);
        let versions = Versions::with_tls12(config.tls12);
        let (delegate, follow) = match config.api {
            Api::Workload => (None, None),
            Api::Delegated => {
                let (delegate, follow) = Delegate::new(agent.clone(), residents);
                (Some(delegate), Some(follow))
            }
        };
        (Self { agent, versions, delegate }, follow)
    }

    /// Whether the agent answers.
    pub(crate) fn status(&self) -> Status {
        self.agent.status().clone()
    }

    /// What an identity is asked for by.
    fn selectors(&self, id: &SpiffeId) -> Vec<String> {
        self.delegate.as_ref().map(|delegate| delegate.selectors(id)).unwrap_or_default()
    }

    fn subscribe(&self, selectors: &[String]) -> agent::Said {
        match &self.delegate {
            Some(_) => delegated::subscribe(&self.agent, selectors),
            None => workload::subscribe(&self.agent),
        }
    }

    fn hint(&self, selectors: &[String]) -> Hint {
        match &self.delegate {
            Some(_) => Hint::Delegated(selectors.to_vec()),
            None => Hint::Workload,
        }
    }
}

impl Issuer for Client {
    fn issuance(self: Arc<Self>, id: &SpiffeId) -> Box<dyn Issuance> {
        Box::new(issuance::One::new(self, id))
    }
}
