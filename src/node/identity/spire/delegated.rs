//! SPIRE's Delegated Identity API: what workloads of this host are entitled to, for somebody who is trusted to act for them.
//!
//! A workload is named by selectors: its namespace, its service account, and the UIDs of the pods of this node that run under it. The
//! agent gives the SVIDs of all entries whose selectors are among them. Those that were made by hand name the first two as a rule, those
//! of SPIRE's controller name a pod, so all are said. Trust bundles come on a stream of their own, for all identities together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use culvert_core::identity::SpiffeId;
use culvert_core::renewal;
use culvert_proto::spire::delegated::delegated_identity_client::DelegatedIdentityClient;
use culvert_proto::spire::delegated::{SubscribeToX509BundlesRequest, SubscribeToX509sviDsRequest};
use culvert_proto::spire::types::Selector;
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::sync::watch;

use super::agent::{Agent, Said, messages};
use super::residents::Residents;
use super::svid::{Bundle, Svid};
use super::{Error, Hint};
use crate::identity::x509;

/// The attestor whose selectors these are.
const ATTESTOR: &str = "k8s";

/// The longest pause between two attempts to follow the bundles: identities that wait for the agent wake with it.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// All trust bundles the agent has, by trust domain; `None` before it has said.
pub(super) type Bundles = Option<Arc<BTreeMap<String, Bundle>>>;

/// What a delegate knows besides SVIDs.
pub(super) struct Delegate {
    pub(super) bundles: watch::Receiver<Bundles>,
    pub(super) residents: Residents,
}

/// Follows the trust bundles.
pub(crate) struct Follow {
    agent: Agent,
    publish: watch::Sender<Bundles>,
}

impl Delegate {
    pub(super) fn new(agent: Agent, residents: &Residents) -> (Self, Follow) {
        let (publish, bundles) = watch::channel(None);
        (Self { bundles, residents: residents.clone() }, Follow { agent, publish })
    }

    /// What a workload is asked for by.
    pub(super) fn selectors(&self, id: &SpiffeId) -> Vec<String> {
        let account = [format!("ns:{}", id.namespace()), format!("sa:{}", id.service_account())];
        let pods = self.residents.of(id).into_iter().map(|uid| format!("pod-uid:{uid}"));
        account.into_iter().chain(pods).map(|value| format!("{ATTESTOR}:{value}")).collect()
    }
}

/// Asks for a workload, and listens from then on.
pub(super) fn subscribe(agent: &Agent, selectors: &[String]) -> Said {
    let mut client = DelegatedIdentityClient::new(agent.channel());
    let selector = |text: &String| {
        let (kind, value) = text.split_once(':').unwrap_or((ATTESTOR, text));
        Selector { r#type: kind.to_owned(), value: value.to_owned() }
    };
    let request = SubscribeToX509sviDsRequest { selectors: selectors.iter().map(selector).collect(), pid: 0 };
    let said = messages(async move { client.subscribe_to_x509svi_ds(request).await });
    said.map_ok(|response| response.x509_svids.into_iter().map(Svid::of_delegate).collect()).boxed()
}

impl Follow {
    /// Runs for ever. What was known is kept while the agent is away.
    pub(crate) async fn run(self) {
        let mut failures = 0;
        loop {
            let error = self.listen(&mut failures).await;
            failures = failures.saturating_add(1);
            let pause = renewal::after_failure(failures, None, None, rand::random()).min(LONGEST_PAUSE);
            // The first ones, and then less and less often: this may go on for days.
            if failures.is_power_of_two() {
                tracing::warn!(%error, failures, retry_in = ?pause, "trust bundles of SPIRE are not followed");
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Publishes what comes until nothing comes any more; says why.
    async fn listen(&self, failures: &mut u32) -> Error {
        let mut client = DelegatedIdentityClient::new(self.agent.channel());
        let request = SubscribeToX509BundlesRequest {};
        let mut said = messages(async move { client.subscribe_to_x509_bundles(request).await });
        loop {
            match said.next().await {
                Some(Ok(response)) => {
                    *failures = 0;
                    self.agent.status().up();
                    self.publish.send_replace(Some(Arc::new(read(&response.ca_certificates))));
                }
                Some(Err(status)) => return self.agent.failure(&status, Hint::Delegate),
                None => return self.agent.ended(),
            }
        }
    }
}

/// The bundles that can be read, by trust domain. Keys are names or SPIFFE ids of trust domains.
fn read(said: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Bundle> {
    let read = |(name, der): (&String, &Vec<u8>)| {
        let domain = name.strip_prefix("spiffe://").unwrap_or(name);
        let Some(certificates) = x509::series(der) else {
            tracing::warn!(domain, "a trust bundle of SPIRE cannot be read and is left out");
            return None;
        };
        Some((domain.to_owned(), certificates.into()))
    };
    said.iter().filter_map(read).collect()
}
