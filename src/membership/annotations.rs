//! What annotations say of a pod, as far as it has to do with the mesh.
//!
//! Anybody who may change a pod writes them, and most are long and of no interest: those are skipped while reading.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::{Labels, never};

/// What an agent says of a pod: whether it is captured.
pub const REDIRECTION: &str = "ambient.istio.io/redirection";
/// Put on pods with a proxy of their own.
pub const SIDECAR: &str = "sidecar.istio.io/status";
/// Put by kubelet on what it shows of static pods.
pub const MIRROR: &str = "kubernetes.io/config.mirror";

/// What they say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Written")]
pub struct Annotations {
    /// What keeps the pod from being captured.
    pub marks: Marks,
    /// Whether it is said to be.
    pub claim: Claim,
}

/// Annotations that keep a pod from being captured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Marks {
    /// It is what kubelet shows of a static pod.
    pub is_static: bool,
    /// It has a proxy of its own.
    pub has_proxy: bool,
}

/// The annotation `ambient.istio.io/redirection`: what others believe of a pod.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Claim {
    /// Nothing is said.
    #[default]
    Absent,
    /// `enabled`: control planes tell peers to send tunnels.
    Enabled,
    /// `pending`: rules may be in.
    Pending,
    /// Something no agent writes.
    Other,
}

impl Annotations {
    /// Reads them out of all there are.
    #[must_use]
    pub fn of(all: &impl Labels) -> Self {
        let is_there = |key| all.value(key).is_some();
        Self {
            marks: Marks { is_static: is_there(MIRROR), has_proxy: is_there(SIDECAR) },
            claim: Claim::of(all.value(REDIRECTION)),
        }
    }

    /// Tells whether peers may take the pod for captured: an agent says so, and could have captured it. On what no agent captures
    /// somebody else has written it.
    #[must_use]
    pub fn is_captured(self, host_network: bool) -> bool {
        self.claim == Claim::Enabled && never(host_network, self.marks).is_none()
    }
}

impl Claim {
    fn of(value: Option<&str>) -> Self {
        match value {
            None => Self::Absent,
            Some("enabled") => Self::Enabled,
            Some("pending") => Self::Pending,
            Some(_) => Self::Other,
        }
    }
}

#[derive(Deserialize)]
struct Written {
    #[serde(rename = "ambient.istio.io/redirection")]
    redirection: Option<String>,
    #[serde(rename = "sidecar.istio.io/status")]
    sidecar: Option<IgnoredAny>,
    #[serde(rename = "kubernetes.io/config.mirror")]
    mirror: Option<IgnoredAny>,
}

impl From<Written> for Annotations {
    fn from(Written { redirection, sidecar, mirror }: Written) -> Self {
        Self {
            marks: Marks { is_static: mirror.is_some(), has_proxy: sidecar.is_some() },
            claim: Claim::of(redirection.as_deref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn they_are_the_same_however_they_are_read() {
        let check = |pairs: &[(&str, &str)], expected: (bool, bool, Claim)| {
            let all: BTreeMap<String, String> =
                pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let (is_static, has_proxy, claim) = expected;
            let expected = Annotations { marks: Marks { is_static, has_proxy }, claim };
            assert_eq!(Annotations::of(&all), expected, "{pairs:?}");
            let json = serde_json::to_string(&all).unwrap();
            assert_eq!(serde_json::from_str::<Annotations>(&json).unwrap(), expected, "{json}");
        };
        check(&[], (false, false, Claim::Absent));
        check(&[("a", "b"), (REDIRECTION, "enabled")], (false, false, Claim::Enabled));
        check(&[(REDIRECTION, "pending")], (false, false, Claim::Pending));
        check(&[(REDIRECTION, "Enabled")], (false, false, Claim::Other));
        check(&[(SIDECAR, "")], (false, true, Claim::Absent));
        check(&[(MIRROR, "7d0f"), (SIDECAR, "{}")], (true, true, Claim::Absent));
    }

    #[test]
    fn what_no_agent_captures_is_not_captured_whatever_is_written_on_it() {
        let said = |is_static, has_proxy, claim| Annotations { marks: Marks { is_static, has_proxy }, claim };
        assert!(said(false, false, Claim::Enabled).is_captured(false));
        assert!(!said(false, false, Claim::Enabled).is_captured(true));
        assert!(!said(true, false, Claim::Enabled).is_captured(false));
        assert!(!said(false, true, Claim::Enabled).is_captured(false));
        for claim in [Claim::Absent, Claim::Pending, Claim::Other] {
            assert!(!said(false, false, claim).is_captured(false), "{claim:?}");
        }
    }
}
