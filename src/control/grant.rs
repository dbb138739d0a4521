//! Who may get which identity: decided by who asks, what it asks for, and who is on its node.
//!
//! A proxy of one workload gets that workload's identity. A proxy of a node acts for whoever is on the node and for nobody else; who
//! that is, is known by [`Residents`]: the mesh files, or [the pods of a cluster](crate::cluster::residents).

use culvert_core::identity::{NotAnIdentity, SpiffeId};
use culvert_discovery::catalog::Catalog;
use culvert_membership::Why;
use tonic::{Code, Status};

use crate::callers::Caller;
use crate::published::Published;
use crate::refused;

/// Why a caller with a valid token gets no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "this token is for node {node:?}: name the wanted identity in the metadata field ImpersonatedIdentity"
    )]
    Unnamed { node: String },
    #[error(transparent)]
    Malformed(#[from] NotAnIdentity),
    #[error("no workload with this identity on node {node:?}")]
    NotOnNode { node: String },
    #[error(
        "the workload on node {node:?} has this namespace and service account in trust domain {trust_domain:?}"
    )]
    TrustDomain { node: String, trust_domain: String },
    #[error("identities of this mesh are in trust domain {trust_domain:?}")]
    Foreign { trust_domain: String },
    #[error("no pod with this identity on node {node:?} is in the mesh: of one at least, {}", why.says())]
    NotInMesh { node: String, why: Why },
    #[error("whether a pod with this identity is on node {node:?} cannot be found out at the moment: {why}")]
    Unavailable { node: String, why: &'static str },
    #[error("this token is for {own} only")]
    NotItsOwn { own: SpiffeId },
}

/// Whoever knows which workloads are on which node.
#[tonic::async_trait]
pub(crate) trait Residents: Send + Sync + 'static {
    /// Tells whether the proxy of a node may act for an identity.
    async fn admit(&self, node: &str, wanted: &SpiffeId) -> Result<(), Refusal>;
}

impl Refusal {
    /// The stable name of the reason, for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unnamed { .. } => "identity-not-named",
            Self::Malformed(_) => "identity-malformed",
            Self::NotOnNode { .. } => "identity-not-on-node",
            Self::TrustDomain { .. } | Self::Foreign { .. } => "trust-domain-mismatch",
            Self::NotInMesh { why, .. } => match why {
                Why::Finished => "identity-ended",
                Why::HostNetwork => "identity-on-host-network",
                Why::ExcludedNamespace | Why::Static | Why::Sidecar | Why::OptedOut | Why::NotLabelled => {
                    "identity-not-enrolled"
                }
            },
            Self::Unavailable { .. } => "pods-unavailable",
            Self::NotItsOwn { .. } => "identity-not-own",
        }
    }

    /// What the caller is told.
    pub(crate) fn status(&self) -> Status {
        let code = match self {
            Self::Unavailable { .. } => return refused::for_now(self.code(), self.to_string()),
            Self::Malformed(_) => Code::InvalidArgument,
            Self::Unnamed { .. }
            | Self::NotOnNode { .. }
            | Self::TrustDomain { .. }
            | Self::Foreign { .. }
            | Self::NotInMesh { .. }
            | Self::NotItsOwn { .. } => Code::PermissionDenied,
        };
        refused::status(code, self.code(), self.to_string())
    }
}

/// Decides which identity the caller gets.
pub(crate) async fn decide(
    caller: &Caller,
    wanted: Option<&str>,
    residents: &dyn Residents,
) -> Result<SpiffeId, Refusal> {
    let wanted = wanted.map(str::parse::<SpiffeId>).transpose()?;
    match (caller, wanted) {
        (Caller::Workload(own), None) => Ok(own.clone()),
        (Caller::Workload(own), Some(wanted)) if *own == wanted => Ok(wanted),
        (Caller::Workload(own), Some(_)) => Err(Refusal::NotItsOwn { own: own.clone() }),
        (Caller::Node(node), None) => Err(Refusal::Unnamed { node: node.clone() }),
        (Caller::Node(node), Some(wanted)) => {
            residents.admit(node, &wanted).await?;
            Ok(wanted)
        }
    }
}

#[tonic::async_trait]
impl Residents for Published {
    async fn admit(&self, node: &str, wanted: &SpiffeId) -> Result<(), Refusal> {
        on_node(node, wanted, &self.read())
    }
}

fn on_node(node: &str, wanted: &SpiffeId, catalog: &Catalog) -> Result<(), Refusal> {
    let same_account = |id: &&SpiffeId| {
        id.namespace() == wanted.namespace() && id.service_account() == wanted.service_account()
    };
    let node = node.to_owned();
    let mut candidates = catalog.identities_on(&node).into_iter().filter(same_account).peekable();
    let Some(first) = candidates.peek() else { return Err(Refusal::NotOnNode { node }) };
    let trust_domain = first.trust_domain().to_owned();
    if candidates.any(|id| id == wanted) {
        return Ok(());
    }
    Err(Refusal::TrustDomain { node, trust_domain })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use culvert_core::workload::{Place, Template, Workload};
    use culvert_discovery::catalog::{Change, Entry};

    use super::*;

    const WEB: &str = "spiffe://cluster.local/ns/ns/sa/web";
    const DB: &str = "spiffe://cluster.local/ns/ns/sa/db";

    /// `web` on node a, `db` on node b.
    fn published() -> Published {
        let published = Published::new(Catalog::default());
        published.apply([("web", "a"), ("db", "b")].map(|(account, node)| {
            let template =
                Template { namespace: "ns".into(), service_account: account.into(), ..Template::default() };
            let workload = Workload {
                uid: account.into(),
                place: Arc::new(Place { node: node.into(), ..Place::default() }),
                template: template.into(),
                ..Workload::default()
            };
            Change::Put(Entry::workload(&workload).into())
        }));
        published
    }

    async fn check(caller: &Caller, wanted: Option<&str>, expected: Result<&str, &str>) {
        let decided = decide(caller, wanted, &published()).await;
        let decided = decided.as_ref().map(ToString::to_string).map_err(Refusal::code);
        assert_eq!(decided, expected.map(str::to_owned), "{caller} wants {wanted:?}");
    }

    #[tokio::test]
    async fn a_node_gets_what_is_on_it() {
        let node = Caller::Node("a".into());
        check(&node, Some(WEB), Ok(WEB)).await;
        check(&node, Some(DB), Err("identity-not-on-node")).await;
        check(&node, Some("spiffe://cluster.local/ns/other/sa/web"), Err("identity-not-on-node")).await;
        check(&node, Some("spiffe://other.example/ns/ns/sa/web"), Err("trust-domain-mismatch")).await;
        check(&node, Some("web"), Err("identity-malformed")).await;
        check(&node, Some(""), Err("identity-malformed")).await;
        check(&node, None, Err("identity-not-named")).await;
        check(&Caller::Node("c".into()), Some(WEB), Err("identity-not-on-node")).await;
    }

    #[tokio::test]
    async fn a_workload_gets_its_own_wherever_it_is() {
        let own = "spiffe://cluster.local/ns/elsewhere/sa/edge";
        let workload = Caller::Workload(own.parse().unwrap());
        check(&workload, None, Ok(own)).await;
        check(&workload, Some(own), Ok(own)).await;
        check(&workload, Some(WEB), Err("identity-not-own")).await;
        check(&workload, Some("edge"), Err("identity-malformed")).await;
    }

    #[tokio::test]
    async fn the_reason_says_where_it_was_looked_for() {
        let refusal = decide(&Caller::Node("a".into()), Some(DB), &published()).await.unwrap_err();
        assert_eq!(refusal.to_string(), "no workload with this identity on node \"a\"");
    }
}
