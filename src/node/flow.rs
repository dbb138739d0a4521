//! The life of a connection, from the pod's socket to the other pod's socket. Reviews begin here.
//!
//! ```text
//! outbound        captured ─▶ route ─▶ tunnel (or plain TCP) ─▶ splice
//! inbound tunnel  accept   ─▶ each CONNECT: where to ─▶ policy ─▶ dial the workload ─▶ splice
//! inbound plain   captured ─▶ policy ─▶ dial the workload ─▶ splice
//! ```
//! Each connection gives exactly one report. Any step that fails ends it there; a client whose connection was already
//! accepted by the kernel is then reset, never closed as if all were well.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;

use culvert_core::hbone::{Authority, baggage::Baggage, forwarded::Forwarded, traceparent::TraceParent};
use culvert_core::policy::Peer;
use culvert_core::refusal::Refusal;
use culvert_core::route::{self, Route};
use culvert_core::service::Service;
use culvert_core::workload::Workload;

use culvert_core::tunnel::http2::Fields;
use tokio::net::TcpStream;

use crate::admission;
use crate::capture::Captured;
use crate::deliver::splice::{Ended, spliced_until};
use crate::deliver::tcp;
use crate::drain::Guard;
use crate::outcome::{Direction, Failure, Report};
use crate::proxy::{Local, Proxy};
use crate::tunnel::pool::Opened;
use crate::tunnel::{Carried, Connect, Key, server};

/// Carries a connection the pod makes.
///
/// What is over when bytes begin to flow is boxed, here and below: an idle connection keeps no room for it.
pub(crate) fn outbound(
    proxy: Arc<Proxy>,
    captured: Captured,
    guard: Guard,
) -> impl Future<Output = ()> + Send + 'static {
    let begun = Box::pin(async move {
        let mut report = Report::of(Direction::Outbound, &captured);
        let result = begin_outbound(&proxy, captured, &mut report).await;
        (report, result)
    });
    async move {
        let (report, result) = begun.await;
        let result = match result {
            Ok(Begun::Tunnel(Opened { carried, place })) => {
                let result = carry(carried, pin!(cut(&guard))).await;
                drop(place);
                result
            }
            Ok(Begun::Plain { client, server }) => {
                Box::pin(relay(client, server, &report, cut(&guard))).await
            }
            Err(failure) => Err(failure),
        };
        report.end(result);
    }
}

/// A connection to where it goes.
enum Begun {
    Tunnel(Opened),
    Plain { client: TcpStream, server: TcpStream },
}

async fn begin_outbound(proxy: &Proxy, captured: Captured, report: &mut Report) -> Result<Begun, Failure> {
    let Captured { stream, client, destination } = captured;
    let local = proxy.local().await?;
    report.from.workload = Some(Arc::clone(&local.workload));
    proxy.mesh.know_address(&local.workload.network, destination.ip()).await?;
    let route = route::outbound(&proxy.mesh.snapshot(), &local.workload, destination, rand::random())?;
    match route {
        Route::Passthrough { to, workload, service } => {
            report.destination = to;
            report.to.workload = workload;
            report.service = service;
            if route::is_own_port(to.port()) && proxy.owns(to.ip()) {
                return Err(Refusal::Loop { destination: to }.into());
            }
            let server = proxy.dialer.connect(to).await?;
            report.count_bytes();
            report.opened();
            Ok(Begun::Plain { client: stream, server })
        }
        Route::Tunnel { peer, authority, expected, workload, service } => {
            report.destination = peer;
            report.authority = Some(authority.to_string());
            report.from.identity = Some(local.identity.clone());
            report.to.identity = workload.identity().ok();
            report.to.workload = Some(workload);
            report.service.clone_from(&service);
            let connect = connect(&local, client, &authority, service.as_deref());
            let key = Key { identity: local.identity, expected, peer, source: client.ip() };
            let opened = proxy.tunnels.carry(&key, connect, stream, report.count_bytes()).await?;
            report.opened();
            Ok(Begun::Tunnel(opened))
        }
    }
}

/// What we tell the peer about this connection.
fn connect(local: &Local, client: SocketAddr, authority: &Authority, service: Option<&Service>) -> Connect {
    let forwarded = Forwarded::new(client, service.map(|service| service.hostname.as_ref()));
    let mut fields = Fields::default();
    fields.add(b"baggage", Baggage::of(&local.workload).to_string().as_bytes());
    fields.add(b"forwarded", forwarded.to_string().as_bytes());
    let trace = TraceParent::new(rand::random(), rand::random());
    fields.add(b"traceparent", trace.to_string().as_bytes());
    Connect { authority: authority.to_string(), fields }
}

/// Accepts a tunnel to the pod and serves what its peer asks for.
pub(crate) async fn inbound_tunnel(proxy: Arc<Proxy>, captured: Captured, guard: Guard) {
    let Captured { stream, client, destination } = captured;
    let accepted = match Box::pin(accept(&proxy, stream)).await {
        Ok(accepted) => accepted,
        Err(failure) => return Report::begin(Direction::Inbound, client, destination).end(Err(failure)),
    };
    let peer = accepted.peer.clone();
    let each = |offer: server::Offer| {
        let caller = Peer { identity: Some(peer.clone()), source: client, destination };
        inbound_stream(Arc::clone(&proxy), caller, offer, guard.clone())
    };
    if let Err(error) = accepted.serve(guard.clone(), each).await {
        tracing::debug!(%client, %peer, error, "tunnel ended");
    }
}

async fn accept(proxy: &Proxy, stream: TcpStream) -> Result<server::Accepted, Failure> {
    let local = proxy.local().await?;
    let certificate = proxy.identities.certificate(&local.identity).await.map_err(Failure::NoCertificate)?;
    Ok(server::accept(stream, &certificate, &proxy.tunnel).await?)
}

/// How much of an authority is logged: more than a host name and a port have, less than a peer may send.
const MOST_AUTHORITY: usize = 300;

/// Serves one CONNECT. `peer.destination` is where the tunnel arrived.
fn inbound_stream(
    proxy: Arc<Proxy>,
    peer: Peer,
    offer: server::Offer,
    guard: Guard,
) -> impl Future<Output = ()> + Send + 'static {
    let begun = Box::pin(async move {
        let mut report = Report::begin(Direction::Inbound, peer.source, peer.destination);
        report.from.identity.clone_from(&peer.identity);
        report.authority = Some(offer.authority().chars().take(MOST_AUTHORITY).collect());
        let result = begin_stream(&proxy, peer, offer, &mut report).await;
        (proxy, report, result)
    });
    async move {
        let (proxy, report, result) = begun.await;
        let result = match result {
            Ok(Delivery { local, peer, carried }) => {
                carry(carried, pin!(stop(&proxy, &local, &peer, &guard))).await
            }
            Err(failure) => Err(failure),
        };
        report.end(result);
    }
}

/// A stream to the workload it was let in to.
struct Delivery {
    local: Local,
    peer: Peer,
    carried: Carried,
}

async fn begin_stream(
    proxy: &Proxy,
    peer: Peer,
    mut offer: server::Offer,
    report: &mut Report,
) -> Result<Delivery, Failure> {
    let arrived = peer.destination;
    let Forwarded { client, host } = forwarded(&offer);
    let client = client_address(client, peer.source);
    let wanted = match read_offer(&offer) {
        Ok(wanted) => wanted,
        Err(failure) => return Err(refuse(offer, failure)),
    };
    let upstream = async {
        let (local, peer) = admit_stream(proxy, peer, &wanted, arrived, report).await?;
        report.service = host.and_then(|host| called_service(proxy, &local.workload, &host));
        let upstream = dial_workload(proxy, &peer, client).await?;
        Ok((local, peer, upstream))
    };
    let ready = tokio::select! {
        biased;
        () = offer.withdrawn() => Err(Failure::PeerGone),
        ready = upstream => ready,
    };
    let (local, peer, upstream) = match ready {
        Ok(ready) => ready,
        Err(failure) => return Err(refuse(offer, failure)),
    };
    // The policies may have changed while the workload was dialled.
    if let Err(failure) = admission::admit(proxy, &local, &peer).await {
        return Err(refuse(offer, failure));
    }
    let baggage = proxy.tunnel.baggage.then(|| Baggage::of(&local.workload).to_string());
    let carried = offer.accept(baggage.as_deref(), upstream, report.count_bytes());
    let carried = carried.ok_or(Failure::PeerGone)?;
    report.opened();
    Ok(Delivery { local, peer, carried })
}

/// Answers a CONNECT with the status its failure deserves.
fn refuse(offer: server::Offer, failure: Failure) -> Failure {
    offer.refuse(failure.http_status());
    failure
}

fn read_offer(offer: &server::Offer) -> Result<Authority, Failure> {
    if !offer.is_connect() {
        return Err(Failure::BadRequest("its method is not CONNECT".into()));
    }
    offer
        .authority()
        .parse()
        .map_err(|error: culvert_core::hbone::NotAnAuthority| Failure::BadRequest(error.to_string()))
}

/// Decides where the stream goes and whether its peer may go there; `peer` comes back with the real destination.
async fn admit_stream(
    proxy: &Proxy,
    peer: Peer,
    wanted: &Authority,
    arrived: SocketAddr,
    report: &mut Report,
) -> Result<(Local, Peer), Failure> {
    let local = proxy.local().await?;
    if let Authority::Host { host, .. } = wanted {
        proxy.mesh.know_service(&local.workload.namespace, host).await?;
    }
    let snapshot = proxy.mesh.snapshot();
    report.from.workload = snapshot.workload_by_address(snapshot.local_network(), peer.source.ip()).cloned();
    report.to.workload = Some(Arc::clone(&local.workload));
    report.to.identity = Some(local.identity.clone());
    let destination = route::inbound(&snapshot, &local.workload, arrived.ip(), wanted)?;
    let peer = Peer { destination, ..peer };
    report.policy = admission::admit(proxy, &local, &peer).await?;
    Ok((local, peer))
}

/// What the peer says of the connection it forwards. It proves nothing.
fn forwarded(offer: &server::Offer) -> Forwarded {
    let values = offer.header("forwarded").unwrap_or_default();
    values.first().map(|value| Forwarded::parse(value.as_bytes())).unwrap_or_default()
}

/// The client's own address, with its port when the peer says which it was. Only the port is believed: the address is
/// the one the tunnel comes from.
fn client_address(said: Option<SocketAddr>, peer: SocketAddr) -> SocketAddr {
    said.filter(|client| client.ip() == peer.ip()).unwrap_or(SocketAddr::new(peer.ip(), 0))
}

/// The service the client called, for the report: believed only when the workload is part of it.
fn called_service(proxy: &Proxy, local: &Workload, host: &str) -> Option<Arc<Service>> {
    let snapshot = proxy.mesh.snapshot();
    let service = snapshot.service_by_hostname(host, &local.namespace)?;
    local.services.get(&service.key()).is_some().then(|| Arc::clone(service))
}

/// Carries a plain connection somebody made to the pod.
pub(crate) async fn inbound_plain(proxy: Arc<Proxy>, captured: Captured, guard: Guard) {
    let mut report = Report::of(Direction::Inbound, &captured);
    let result = Box::pin(carry_plain(&proxy, captured, &guard, &mut report)).await;
    report.end(result);
}

async fn carry_plain(
    proxy: &Proxy,
    captured: Captured,
    guard: &Guard,
    report: &mut Report,
) -> Result<(), Failure> {
    let Captured { stream, client, destination } = captured;
    if route::is_own_port(destination.port()) {
        return Err(Refusal::OwnPort { port: destination.port() }.into());
    }
    if !proxy.owns(destination.ip()) {
        return Err(Failure::NotOurAddress(destination));
    }
    let local = proxy.local().await?;
    let snapshot = proxy.mesh.snapshot();
    report.from.workload = snapshot.workload_by_address(snapshot.local_network(), client.ip()).cloned();
    report.to.workload = Some(Arc::clone(&local.workload));
    let peer = Peer { identity: None, source: client, destination };
    report.policy = admission::admit(proxy, &local, &peer).await?;
    // The client's own port is in use by the very connection that was captured.
    let upstream = dial_workload(proxy, &peer, SocketAddr::new(client.ip(), 0)).await?;
    report.count_bytes();
    report.opened();
    relay(stream, upstream, report, stop(proxy, &local, &peer, guard)).await
}

async fn dial_workload(proxy: &Proxy, peer: &Peer, client: SocketAddr) -> Result<TcpStream, Failure> {
    if proxy.keep_client_address {
        return Ok(proxy.dialer.connect_as(peer.destination, client).await?);
    }
    Ok(proxy.dialer.connect(peer.destination).await?)
}

/// Resolves when an inbound connection must end early: it was cut, or the policies changed against it.
async fn stop(proxy: &Proxy, local: &Local, peer: &Peer, guard: &Guard) -> Failure {
    tokio::select! {
        failure = cut(guard) => failure,
        denial = admission::denied(proxy, local, peer) => Failure::PolicyChanged(denial),
    }
}

async fn cut(guard: &Guard) -> Failure {
    guard.cut().await;
    Failure::Drained
}

/// Waits for the end of a connection on a tunnel; one that is stopped is broken.
async fn carry(
    carried: Carried,
    stop: Pin<&mut (impl Future<Output = Failure> + Send)>,
) -> Result<(), Failure> {
    tokio::select! {
        biased;
        ended = carried => ended.map_err(Failure::Broken),
        failure = stop => Err(failure),
    }
}

/// Carries a connection as it is.
async fn relay(
    client: TcpStream,
    server: TcpStream,
    report: &Report,
    stop: impl Future<Output = Failure> + Send,
) -> Result<(), Failure> {
    match spliced_until(tcp::split(client), tcp::split(server), report.moved(), stop).await {
        Ok(()) => Ok(()),
        Err(Ended::Early(early)) => Err(Failure::Broken(early)),
        Err(Ended::Stopped(failure)) => Err(failure),
    }
}
