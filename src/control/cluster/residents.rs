//! Whom a node's proxy may act for, in a cluster: accounts of this mesh that have a pod in the mesh on that very node.
//!
//! What is known of the pods says yes at once. It may be behind, so that a no is looked up: a proxy that asks for the certificate of a
//! pod that has just come would otherwise wait for its next attempt, and the pod with it. What was looked up is kept for a second, each
//! node may have so many looked up in a while, and few are looked up at once: no node can make the API server busy.

use std::sync::Arc;
use std::time::Duration;

use culvert_core::identity::SpiffeId;
use culvert_kubernetes::Client;
use culvert_membership::Membership;
use culvert_process::exit::Chain;
use culvert_token::Account;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::budget::{Budgets, Pace};
use crate::grant::{Refusal, Residents};
use crate::metered;

use super::answers::Answers;
use super::pods::{Pods, Presence, lookup};

/// How much may be looked up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How long one may take, waiting for others included.
    pub(crate) deadline: Duration,
    /// How long what was found is kept.
    pub(crate) kept: Duration,
    /// At one moment.
    pub(crate) at_once: usize,
    /// For one node.
    pub(crate) of_a_node: Pace,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(3),
            kept: Duration::from_secs(1),
            at_once: 16,
            of_a_node: Pace { in_a_row: 50, one_more: Duration::from_millis(200) },
        }
    }
}

/// Nodes and accounts of which it is remembered what was found.
const ENTRIES: usize = 20_000;

/// Knows who is on a node.
pub(crate) struct OfCluster {
    client: Client,
    trust_domain: String,
    pods: Arc<dyn Pods>,
    limits: Limits,
    found: Answers<(String, Account), Result<Presence, Why>>,
    budgets: Budgets<String>,
    places: Semaphore,
}

/// Why something was not looked up.
type Why = &'static str;

impl OfCluster {
    /// Identities are in this trust domain, and the pods are known by that.
    pub(crate) fn new(client: Client, trust_domain: &str, pods: Arc<dyn Pods>, limits: Limits) -> Self {
        Self {
            client,
            trust_domain: trust_domain.to_owned(),
            pods,
            limits,
            found: Answers::new(ENTRIES),
            budgets: Budgets::new(limits.of_a_node),
            places: Semaphore::new(limits.at_once),
        }
    }

    async fn look_up(&self, node: &str, account: Account) -> Result<Presence, Why> {
        let key = (node.to_owned(), account);
        self.found.get(&key, self.ask(node, &key.1)).await
    }

    /// Asks the API server; says how long what it says is kept.
    async fn ask(&self, node: &str, account: &Account) -> (Result<Presence, Why>, Duration) {
        let Limits { deadline, kept, .. } = self.limits;
        if !self.budgets.spend(&node.to_owned()) {
            metered::lookup("too_many", Duration::ZERO);
            return (Err("this node has had too many looked up"), Duration::ZERO);
        }
        let began = Instant::now();
        let asked = async {
            let _place = self.places.acquire().await.expect("the semaphore is never closed");
            lookup::presence(&self.client, self.pods.settings(), (node, account), deadline).await
        };
        let (answer, result) = match timeout(deadline, asked).await {
            Ok(Ok(presence)) => (Ok(presence), "ok"),
            Ok(Err(error)) => {
                tracing::warn!(node, %account, error = %Chain(&error), "pods cannot be looked up");
                (Err("the API server cannot be asked"), error.reason())
            }
            Err(_) => {
                tracing::warn!(node, %account, ?deadline, "pods cannot be looked up in time (lookup deadline)");
                (Err("the API server does not answer in time"), "timeout")
            }
        };
        metered::lookup(result, began.elapsed());
        (answer, kept)
    }
}

#[tonic::async_trait]
impl Residents for OfCluster {
    async fn admit(&self, node: &str, wanted: &SpiffeId) -> Result<(), Refusal> {
        if wanted.trust_domain() != self.trust_domain {
            return Err(Refusal::Foreign { trust_domain: self.trust_domain.clone() });
        }
        let (namespace, account) = (wanted.namespace(), wanted.service_account());
        if self.pods.presence(node, namespace, account) == Presence::There(Membership::In) {
            return Ok(());
        }
        let account = Account { namespace: namespace.to_owned(), name: account.to_owned() };
        let found = self.look_up(node, account).await;
        let node = node.to_owned();
        match found {
            Ok(Presence::There(Membership::In)) => Ok(()),
            Ok(Presence::There(Membership::Out(why))) => Err(Refusal::NotInMesh { node, why }),
            Ok(Presence::Absent) => Err(Refusal::NotOnNode { node }),
            Err(why) => Err(Refusal::Unavailable { node, why }),
        }
    }
}
