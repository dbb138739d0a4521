//! Asking for what a snapshot lacks, while a connection waits: in on-demand mode the control plane tells a node only what it
//! asks for.
//!
//! A connection goes on only when the answer is there: the thing asked for is in the snapshot, or it does not exist. While
//! the answer is pending nothing is routed, so nothing falls through to plaintext.

use std::net::IpAddr;
use std::sync::Arc;

use culvert_core::address::NetworkAddress;
use culvert_core::snapshot::Snapshot;
use culvert_core::workload::{GatewayAddress, GatewayDestination};
use tokio::sync::oneshot;

use super::Mesh;

/// A question of a connection that waits. Whoever drops the answer's other end no longer wants to know.
#[derive(Debug)]
pub(crate) struct Demand {
    /// `<network>/<ip>` or `<namespace>/<hostname>`.
    pub(crate) name: Arc<str>,
    /// `Ok` once it is settled: in the snapshot, or known not to exist.
    answer: oneshot::Sender<Result<Heard, Unanswered>>,
}

/// When the control plane said what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Before it was asked for.
    Before,
    /// It just did.
    Now,
}

/// The control plane did not say whether something exists.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the control plane has not said what {name} is: {why}")]
pub(crate) struct Unanswered {
    name: Arc<str>,
    why: &'static str,
}

impl Demand {
    /// Tells whoever waits that it is settled, or why it is not.
    pub(crate) fn settle(self, settled: Result<Heard, &'static str>) {
        let Self { name, answer } = self;
        // Who no longer waits is not told.
        let _ = answer.send(settled.map_err(|why| Unanswered { name, why }));
    }
}

impl Mesh {
    /// Returns when the snapshot has what there is to know of an address.
    pub(crate) async fn know_address(&self, network: &str, ip: IpAddr) -> Result<(), Unanswered> {
        let known = |snapshot: &Snapshot| {
            snapshot.workload_by_address(network, ip).is_some() || snapshot.has_vip(network, ip)
        };
        self.know(known, || NetworkAddress::new(network, ip).to_string()).await
    }

    /// Returns when the snapshot has what there is to know of a service.
    pub(crate) async fn know_service(&self, namespace: &str, hostname: &str) -> Result<(), Unanswered> {
        let known = |snapshot: &Snapshot| snapshot.has_hostname(hostname);
        self.know(known, || format!("{namespace}/{hostname}")).await
    }

    /// Returns when the snapshot has what there is to know of a waypoint.
    pub(crate) async fn know_gateway(&self, gateway: &GatewayAddress) -> Result<(), Unanswered> {
        match &gateway.destination {
            GatewayDestination::Address(address) => self.know_address(&address.network, address.ip).await,
            GatewayDestination::Hostname { namespace, hostname } => {
                let key = || format!("{namespace}/{hostname}");
                let known = |snapshot: &Snapshot| {
                    snapshot.service(&key()).is_some()
                        || snapshot.workload_by_hostname(namespace, hostname).is_some()
                };
                self.know(known, key).await
            }
        }
    }

    /// Whether snapshots have only what was asked for.
    pub(crate) fn is_on_demand(&self) -> bool {
        self.demands.is_some()
    }

    /// Asks for a name, be it known, and returns when the snapshot has what there is to know of it.
    pub(crate) async fn ask(&self, name: Arc<str>) -> Result<Heard, Unanswered> {
        let Some(demands) = &self.demands else { return Ok(Heard::Before) };
        let gone = || Unanswered { name: Arc::clone(&name), why: "this node is shutting down" };
        let (answer, answered) = oneshot::channel();
        let demand = Demand { name: Arc::clone(&name), answer };
        demands.send(demand).await.map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    async fn know(
        &self,
        known: impl Fn(&Snapshot) -> bool,
        name: impl Fn() -> String,
    ) -> Result<(), Unanswered> {
        if !self.is_on_demand() || known(&self.snapshot()) {
            return Ok(());
        }
        self.ask(name().into()).await.map(drop)
    }
}
