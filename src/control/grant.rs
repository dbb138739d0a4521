//! Who may get which identity: a pure function of the caller, what it asks for, and where workloads are.

use culvert_core::identity::{NotAnIdentity, SpiffeId};

use crate::callers::Caller;
use crate::catalog::Catalog;

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
    #[error("this token is for {own} only")]
    NotItsOwn { own: SpiffeId },
}

impl Refusal {
    /// The stable name of the reason, for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unnamed { .. } => "identity-not-named",
            Self::Malformed(_) => "identity-malformed",
            Self::NotOnNode { .. } => "identity-not-on-node",
            Self::TrustDomain { .. } => "trust-domain-mismatch",
            Self::NotItsOwn { .. } => "identity-not-own",
        }
    }
}

/// Decides which identity the caller gets.
pub(crate) fn decide(caller: &Caller, wanted: Option<&str>, catalog: &Catalog) -> Result<SpiffeId, Refusal> {
    let wanted = wanted.map(str::parse::<SpiffeId>).transpose()?;
    match (caller, wanted) {
        (Caller::Workload(own), None) => Ok(own.clone()),
        (Caller::Workload(own), Some(wanted)) if *own == wanted => Ok(wanted),
        (Caller::Workload(own), Some(_)) => Err(Refusal::NotItsOwn { own: own.clone() }),
        (Caller::Node(node), None) => Err(Refusal::Unnamed { node: node.clone() }),
        (Caller::Node(node), Some(wanted)) => on_node(node.clone(), wanted, catalog),
    }
}

fn on_node(node: String, wanted: SpiffeId, catalog: &Catalog) -> Result<SpiffeId, Refusal> {
    let same_account = |id: &&SpiffeId| {
        id.namespace() == wanted.namespace() && id.service_account() == wanted.service_account()
    };
    let mut candidates = catalog.identities_on(&node).into_iter().filter(same_account).peekable();
    let Some(first) = candidates.peek() else { return Err(Refusal::NotOnNode { node }) };
    let trust_domain = first.trust_domain().to_owned();
    if candidates.any(|id| *id == wanted) {
        return Ok(wanted);
    }
    Err(Refusal::TrustDomain { node, trust_domain })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use culvert_core::workload::{Place, Template, Workload};

    use crate::catalog::{Change, Entry};

    use super::*;

    const WEB: &str = "spiffe://cluster.local/ns/ns/sa/web";
    const DB: &str = "spiffe://cluster.local/ns/ns/sa/db";

    /// `web` on node a, `db` on node b.
    fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        catalog.apply([("web", "a"), ("db", "b")].map(|(account, node)| {
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
        catalog
    }

    #[track_caller]
    fn check(caller: &Caller, wanted: Option<&str>, expected: Result<&str, &str>) {
        let decided = decide(caller, wanted, &catalog());
        let decided = decided.as_ref().map(ToString::to_string).map_err(Refusal::code);
        assert_eq!(decided, expected.map(str::to_owned), "{caller} wants {wanted:?}");
    }

    #[test]
    fn a_node_gets_what_is_on_it() {
        let node = Caller::Node("a".into());
        check(&node, Some(WEB), Ok(WEB));
        check(&node, Some(DB), Err("identity-not-on-node"));
        check(&node, Some("spiffe://cluster.local/ns/other/sa/web"), Err("identity-not-on-node"));
        check(&node, Some("spiffe://other.example/ns/ns/sa/web"), Err("trust-domain-mismatch"));
        check(&node, Some("web"), Err("identity-malformed"));
        check(&node, Some(""), Err("identity-malformed"));
        check(&node, None, Err("identity-not-named"));
        check(&Caller::Node("c".into()), Some(WEB), Err("identity-not-on-node"));
    }

    #[test]
    fn a_workload_gets_its_own_wherever_it_is() {
        let own = "spiffe://cluster.local/ns/elsewhere/sa/edge";
        let workload = Caller::Workload(own.parse().unwrap());
        check(&workload, None, Ok(own));
        check(&workload, Some(own), Ok(own));
        check(&workload, Some(WEB), Err("identity-not-own"));
        check(&workload, Some("edge"), Err("identity-malformed"));
    }

    #[test]
    fn the_reason_says_where_it_was_looked_for() {
        let refusal = decide(&Caller::Node("a".into()), Some(DB), &catalog()).unwrap_err();
        assert_eq!(refusal.to_string(), "no workload with this identity on node \"a\"");
    }
}
