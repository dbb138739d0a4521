//! The answer to *why did, or would, this connection fail?*

use serde::{Deserialize, Serialize};

use crate::Connection;

/// Every decision about a connection in order, and who is to blame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Why {
    /// What was asked.
    pub question: Question,
    /// The decisions, in the order they were taken.
    pub steps: Vec<Step>,
    /// What it comes to.
    pub verdict: Verdict,
    /// The connection, when the question was about one there is or was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<Box<Connection>>,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "about")]
pub enum Question {
    /// A connection there is or was.
    #[serde(rename_all = "camelCase")]
    Connection {
        /// Its id.
        id: String,
    },
    /// A connection somebody might make.
    #[serde(rename_all = "camelCase")]
    Hypothetical {
        /// Who would call, as asked.
        source: String,
        /// Who would be called, as asked.
        destination: String,
    },
}

/// One decision, or one thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What was asked, in a few words: `service port`, `policy`, `tunnel`.
    pub what: String,
    /// How it turned out.
    pub answer: Answer,
    /// What was found, in one sentence.
    pub found: String,
}

/// How a step turned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// Nothing stands in the way.
    Pass,
    /// Worth knowing, and not in the way.
    Note,
    /// It ends here.
    Stop,
    /// It cannot be told from here.
    Unknown,
}

/// What it comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Who or what is to blame.
    pub culprit: Culprit,
    /// Why, in one sentence.
    pub sentence: String,
    /// What that rests on.
    pub evidence: Vec<String>,
    /// What to do about it; absent when nothing is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Who or what is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Culprit {
    /// Nothing is wrong.
    Nobody,
    /// The application that calls.
    Client,
    /// The application that is called, or the pod it runs in.
    Server,
    /// What is between the nodes.
    Network,
    /// Something that drops or refuses port 15008: a NetworkPolicy, a host's firewall.
    Firewall,
    /// An authorization policy.
    Policy,
    /// A certificate or trust: expired, revoked, another root, none.
    Certificate,
    /// The mesh state is not that of the cluster: old, or incomplete.
    StaleConfig,
    /// The mesh state says so, and whoever wrote it should look again: a service, a waypoint, a gateway.
    Config,
    /// A limit was reached: descriptors, streams, ports.
    Capacity,
    /// The waypoint or network gateway on the way.
    Waypoint,
    /// No mesh program runs where the other end is, or it has just ended.
    NodeMissing,
    /// Names that could not be resolved.
    Dns,
    /// This program, or its peer: please report it.
    Mesh,
    /// What is known does not say.
    Unknown,
}

impl Culprit {
    /// Gives the name it has in JSON, which is the one people see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Client => "client",
            Self::Server => "server",
            Self::Network => "network",
            Self::Firewall => "firewall",
            Self::Policy => "policy",
            Self::Certificate => "certificate",
            Self::StaleConfig => "staleConfig",
            Self::Config => "config",
            Self::Capacity => "capacity",
            Self::Waypoint => "waypoint",
            Self::NodeMissing => "nodeMissing",
            Self::Dns => "dns",
            Self::Mesh => "mesh",
            Self::Unknown => "unknown",
        }
    }
}
