//! Connections others make to the pod in plaintext: let in by the policies, or because they are kubelet's probes.

use std::net::SocketAddr;
use std::sync::Arc;

use culvert_core::policy::Peer;
use culvert_core::refusal::Refusal;
use tokio::net::TcpStream;

use super::inbound::{dial_workload, stop};
use super::{cut, relay};
use crate::admission;
use crate::capture::Captured;
use crate::drain::Guard;
use crate::ledger::{Direction, Stage, onward};
use crate::limits::By;
use crate::outcome::{Failure, Report};
use crate::proxy::{PodInfo, Proxy};
use crate::stats;

/// Carries a plain connection somebody made to the pod.
pub(crate) async fn inbound_plain(proxy: Arc<Proxy>, captured: Captured, guard: Guard) {
    let _open = stats::open::socket(Direction::Inbound);
    let mut report = Report::of(proxy.ledger.book(), Direction::Inbound, &captured);
    let by = proxy.limits.stranger(captured.client.ip());
    let result = match report.hold(&proxy.limits, By::Peer(&by)) {
        Ok(()) => Box::pin(carry_plain(&proxy, captured, &guard, &mut report)).await,
        Err(failure) => Err(failure),
    };
    report.end(result);
}

async fn carry_plain(
    proxy: &Proxy,
    captured: Captured,
    guard: &Guard,
    report: &mut Report,
) -> Result<(), Failure> {
    let Captured { stream, client, destination } = captured;
    if proxy.is_own_port(destination.port()) {
        return Err(Refusal::OwnPort { port: destination.port() }.into());
    }
    if !proxy.owns(destination.ip()) {
        return Err(Failure::NotOurAddress(destination));
    }
    let peer = Peer { identity: None, source: client, destination };
    if proxy.probes.knows(&peer) {
        return Box::pin(carry_probe(proxy, stream, &peer, guard, report)).await;
    }
    let local = proxy.local().await?;
    let snapshot = proxy.mesh.snapshot();
    let from = snapshot.workload_by_address(snapshot.local_network(), client.ip()).cloned();
    {
        let mut facts = report.facts();
        (facts.from.workload, facts.to.workload) = (from, Some(Arc::clone(&local.workload)));
    }
    let policy = admission::admit(proxy, &local, &peer).await?;
    {
        let mut facts = report.facts();
        (facts.policy, facts.delivered) = (policy, Some(destination));
        facts.enter(Stage::Connecting);
    }
    report.needs(2)?;
    // The client's own port is in use by the very connection that was captured.
    let upstream = dial_workload(proxy, &peer, SocketAddr::new(client.ip(), 0)).await?;
    report.facts().onward = onward(&upstream, peer.destination);
    report.opened();
    let probe = proxy.dialer.half_closed_probe();
    relay((stream, upstream), report, probe, stop(proxy, &local, &peer, guard)).await
}

/// Carries what kubelet asks of the pod. The mesh state is not waited for: no pod shall seem ill because a control plane is away.
async fn carry_probe(
    proxy: &Proxy,
    stream: TcpStream,
    peer: &Peer,
    guard: &Guard,
    report: &mut Report,
) -> Result<(), Failure> {
    let PodInfo { name, namespace, service_account } = &proxy.pod;
    let workload = proxy.mesh.snapshot().local_workload(namespace, name, service_account).cloned();
    {
        let mut facts = report.facts();
        (facts.probe, facts.to.workload) = (true, workload);
        facts.enter(Stage::Connecting);
    }
    report.needs(2)?;
    let upstream = dial_workload(proxy, peer, SocketAddr::new(peer.source.ip(), 0)).await?;
    report.facts().onward = onward(&upstream, peer.destination);
    report.opened();
    let half_closed_probe = proxy.dialer.half_closed_probe();
    relay((stream, upstream), report, half_closed_probe, stop_probe(proxy, peer, guard)).await
}

/// Resolves when a probe must end early: it was cut, or it is no probe any more and the policies do not let it in.
async fn stop_probe(proxy: &Proxy, peer: &Peer, guard: &Guard) -> Failure {
    let judged = async {
        proxy.probes.no_longer_knows(peer).await;
        match proxy.local().await {
            Ok(local) => Failure::PolicyChanged(admission::denied(proxy, &local, peer).await),
            Err(failure) => failure,
        }
    };
    tokio::select! {
        failure = cut(guard) => failure,
        failure = judged => failure,
    }
}
