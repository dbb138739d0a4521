//! Connections others make to the pod in tunnels.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use culvert_core::hbone::{Authority, baggage::Baggage, forwarded::Forwarded, traceparent::TraceParent};
use culvert_core::policy::Peer;
use culvert_core::proxy_protocol;
use culvert_core::refusal::Refusal;
use culvert_core::route;
use culvert_core::service::Service;
use culvert_core::workload::Workload;
use culvert_serving::guests::Pulse;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::unproven::Unproven;
use super::{carry, cut};
use crate::admission;
use crate::capture::Captured;
use crate::drain::Guard;
use crate::ledger::{Direction, Party, Stage, onward};
use crate::limits::{self, Account, By, Limit};
use crate::outcome::{Failure, Report};
use crate::proxy::{Local, Proxy};
use crate::stats;
use crate::tunnel::{Carried, server};

/// Accepts a tunnel to the pod and serves what its peer asks for.
///
/// Until the peer has proven who it is, it may have to go for another one: then this is not run any more.
pub(crate) async fn inbound_tunnel(
    proxy: Arc<Proxy>,
    (captured, pulse): (Captured, Arc<Pulse>),
    guard: Guard,
) {
    let _open = stats::open::socket(Direction::Inbound);
    let Captured { stream, client, destination } = captured;
    let stranger = proxy.limits.stranger(client.ip());
    let unproven = Unproven::new(&proxy, &stranger, (client, destination), &guard);
    let begun = async {
        let held = proxy.limits.descriptors(1, By::Peer(&stranger)).inspect_err(|_| turn_away(&stream))?;
        let by = proxy.limits.peer(client.ip());
        let accepted = accept(&proxy, stream, proxy.limits.account(By::Peer(&by))).await?;
        let place = by.take(Limit::TunnelsOfPeer)?;
        Ok((accepted, by, (held, place)))
    };
    let (accepted, by, _held) = match Box::pin(begun).await {
        Ok(begun) => begun,
        Err(failure) => return unproven.fails(failure),
    };
    unproven.proves();
    pulse.stays();
    let peer = accepted.peer.clone();
    let each = |offer: server::Offer| {
        let caller = Peer { identity: Some(peer.clone()), source: client, destination };
        inbound_stream((Arc::clone(&proxy), Arc::clone(&by)), caller, offer, guard.clone())
    };
    if let Err(error) = accepted.serve(&by.turnstile, guard.clone(), each).await {
        tracing::debug!(%client, %peer, error, "tunnel ended");
    }
}

/// Has a connection reset when it is dropped, so that nothing of it stays.
fn turn_away(stream: &TcpStream) {
    // Fails only for what is not a socket.
    let _ = culvert_sys::tcp::reset_on_close(stream);
}

async fn accept(
    proxy: &Proxy,
    stream: TcpStream,
    account: Arc<Account>,
) -> Result<server::Accepted, Failure> {
    let local = proxy.local().await?;
    let certificate = proxy.identities.certificate(&local.identity).await.map_err(Failure::NoCertificate)?;
    let (config, tunnels) = (&proxy.tunnel, &proxy.ledger.book().tunnels);
    let accepted = server::accept(stream, &certificate, config, tunnels, account).await;
    if let Err(server::Error::TimedOut) = accepted {
        proxy.limits.refuse(Limit::AcceptDeadline);
    }
    let accepted = accepted.map_err(Failure::from);
    stats::handshake(Direction::Inbound, accepted.as_ref().err().map_or("ok", Failure::reason));
    accepted
}

/// How long a connection waits for its turn to ask the control plane; then what is known has to do.
const ASK_DEADLINE: Duration = Duration::from_secs(5);

/// How much of an authority is logged: more than a host name and a port have, less than a peer may send.
const MOST_AUTHORITY: usize = 300;

/// Serves one CONNECT. `peer.destination` is where the tunnel arrived.
fn inbound_stream(
    (proxy, by): (Arc<Proxy>, Arc<limits::Peer>),
    peer: Peer,
    offer: server::Offer,
    guard: Guard,
) -> impl Future<Output = ()> + Send + 'static {
    let begun = Box::pin(async move {
        let mut report =
            Report::begin(proxy.ledger.book(), Direction::Inbound, peer.source, peer.destination);
        read_about(&offer, &peer, &report);
        let result = begin_stream((&proxy, &by), peer, offer, &mut report).await;
        (proxy, report, result)
    });
    async move {
        let (proxy, report, result) = begun.await;
        let result = match result {
            Ok(Delivery { local, peer, carried }) => {
                carry(carried, &report.moved(), pin!(stop(&proxy, &local, &peer, &guard))).await
            }
            Err(failure) => Err(failure),
        };
        report.end(result);
    }
}

/// Writes down what a request says of itself.
fn read_about(offer: &server::Offer, peer: &Peer, report: &Report) {
    let said = offer.header("traceparent").unwrap_or_default();
    if let Some(Ok(said)) = said.first().map(|value| TraceParent::parse(value.as_bytes())) {
        report.follow(said);
    }
    let mut facts = report.facts();
    facts.tunnel = Some(offer.tunnel());
    facts.from.identity.clone_from(&peer.identity);
    facts.authority = Some(offer.authority().chars().take(MOST_AUTHORITY).collect::<String>().into());
}

/// A stream to the workload it was let in to.
struct Delivery {
    local: Local,
    peer: Peer,
    carried: Carried,
}

async fn begin_stream(
    (proxy, by): (&Proxy, &Arc<limits::Peer>),
    peer: Peer,
    mut offer: server::Offer,
    report: &mut Report,
) -> Result<Delivery, Failure> {
    let arrived = peer.destination;
    let Forwarded { client, host } = forwarded(&offer);
    let client = client_address(client, peer.source);
    report.facts().from.workload = source(proxy, &offer, peer.source.ip());
    // One for the workload's end.
    if let Err(failure) = report.hold(&proxy.limits, By::Peer(by)) {
        return Err(refuse(offer, failure));
    }
    let wanted = match read_offer(&offer) {
        Ok(wanted) => wanted,
        Err(failure) => return Err(refuse(offer, failure)),
    };
    let upstream = async {
        let (local, peer, announced) = admit_stream(proxy, peer, &wanted, arrived, report).await?;
        let service = host.and_then(|host| called_service(proxy, &local.workload, &host));
        {
            let mut facts = report.facts();
            facts.service = service;
            facts.enter(Stage::Connecting);
        }
        let (upstream, to) = match announced {
            Some(asked) => dial_announcing(proxy, &peer, client, asked).await?,
            None => (dial_workload(proxy, &peer, client).await?, peer.destination),
        };
        report.facts().onward = onward(&upstream, to);
        Ok((local, peer, upstream))
    };
    let ready = tokio::select! {
        biased;
        why = offer.withdrawn() => Err(why.map_or(Failure::PeerGone, Failure::Overfull)),
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
    let carried = offer.accept(baggage.as_deref(), upstream, &report.moved());
    let carried = carried.ok_or(Failure::PeerGone)?;
    report.opened();
    Ok(Delivery { local, peer, carried })
}

/// Answers a CONNECT with the status its failure deserves, and says why.
fn refuse(offer: server::Offer, failure: Failure) -> Failure {
    offer.refuse(failure.http_status(), Some(failure.proxy_status()));
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

/// Decides where the stream goes and whether its peer may go there; `peer` comes back with the real destination, and with the
/// one to announce to a workload that wants to know.
async fn admit_stream(
    proxy: &Proxy,
    peer: Peer,
    wanted: &Authority,
    arrived: SocketAddr,
    report: &mut Report,
) -> Result<(Local, Peer, Option<SocketAddr>), Failure> {
    let local = proxy.local().await?;
    know(proxy, &local, wanted, arrived).await?;
    let snapshot = proxy.mesh.snapshot();
    report.facts().to =
        Party { workload: Some(Arc::clone(&local.workload)), identity: Some(local.identity.clone()) };
    let route::Delivery { to, announced } = route::inbound(&snapshot, &local.workload, arrived.ip(), wanted)?;
    if proxy.is_own_port(to.port()) {
        return Err(Refusal::OwnPort { port: to.port() }.into());
    }
    let peer = Peer { destination: to, ..peer };
    let policy = admission::admit(proxy, &local, &peer).await?;
    {
        let mut facts = report.facts();
        (facts.policy, facts.delivered) = (policy, Some(to));
    }
    Ok((local, peer, announced))
}

/// Returns when the mesh state has what there is to know of what a peer asks for.
async fn know(proxy: &Proxy, local: &Local, wanted: &Authority, arrived: SocketAddr) -> Result<(), Failure> {
    let workload = &local.workload;
    if matches!(wanted, Authority::Address(asked) if asked.ip() == arrived.ip()) {
        return Ok(());
    }
    // Only a waypoint is asked for somebody else; peers of any other pod ask in vain, and may not keep the control plane busy with it.
    let turn = tokio::time::timeout(ASK_DEADLINE, proxy.asking.acquire());
    let Ok(Ok(_turn)) = turn.await else { return Ok(()) };
    match wanted {
        Authority::Address(asked) => proxy.mesh.know_address(&workload.network, asked.ip()).await?,
        Authority::Host { host, .. } => {
            proxy.mesh.know_service(&workload.namespace, host).await?;
            if let Some(namespace) = namespace_of(host) {
                proxy.mesh.know_service(namespace, host).await?;
            }
        }
    }
    for waypoint in route::in_front_of(&proxy.mesh.snapshot(), workload, wanted) {
        proxy.mesh.know_gateway(&waypoint).await?;
    }
    Ok(())
}

/// The namespace of a host that is named as Kubernetes names services, `<name>.<namespace>.svc.<domain>`.
fn namespace_of(host: &str) -> Option<&str> {
    let mut labels = host.split('.').skip(1);
    let namespace = labels.next()?;
    (labels.next()? == "svc").then_some(namespace)
}

/// What the peer says of the connection it forwards. It proves nothing.
fn forwarded(offer: &server::Offer) -> Forwarded {
    let values = offer.header("forwarded").unwrap_or_default();
    values.first().map(|value| Forwarded::parse(value.as_bytes())).unwrap_or_default()
}

/// The workload the connection comes from, for the report: the one at the other end of the tunnel, unless it came through a gateway; else
/// what the peer says of it.
fn source(proxy: &Proxy, offer: &server::Offer, ip: IpAddr) -> Option<Arc<Workload>> {
    let snapshot = proxy.mesh.snapshot();
    let here = snapshot.local_network();
    let from_elsewhere = |networks: Vec<&str>| networks.iter().any(|it| !it.eq_ignore_ascii_case(here));
    if !offer.header("x-forwarded-network").is_some_and(from_elsewhere)
        && let Some(known) = snapshot.workload_by_address(here, ip)
    {
        return Some(Arc::clone(known));
    }
    let said = offer.header("baggage").filter(|_| proxy.tunnel.baggage)?;
    let said = Baggage::parse(said.iter().map(|value| value.as_bytes())).ok()?;
    (said != Baggage::default()).then(|| Arc::new(said.workload()))
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

pub(super) async fn dial_workload(
    proxy: &Proxy,
    peer: &Peer,
    client: SocketAddr,
) -> Result<TcpStream, Failure> {
    if proxy.keep_client_address {
        return Ok(proxy.dialer.connect_as(peer.destination, client).await?);
    }
    Ok(proxy.dialer.connect_to_application(peer.destination).await?)
}

/// Connects to a workload that is told of its caller in front of the caller's bytes: who it is, and that it called `asked`.
async fn dial_announcing(
    proxy: &Proxy,
    peer: &Peer,
    client: SocketAddr,
    asked: SocketAddr,
) -> Result<(TcpStream, SocketAddr), Failure> {
    let (mut upstream, to) = if proxy.tunnel.announce_on_loopback {
        let loopback: IpAddr = match peer.destination {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        let to = SocketAddr::new(loopback, peer.destination.port());
        (proxy.dialer.connect_to_application(to).await?, to)
    } else {
        (dial_workload(proxy, peer, client).await?, peer.destination)
    };
    let header = proxy_protocol::header(peer.source, asked, peer.identity.as_ref());
    // A new socket has room for it.
    upstream.write_all(&header).await.map_err(|error| super::broken_server(&error))?;
    Ok((upstream, to))
}

/// Resolves when an inbound connection must end early: it was cut, or the policies changed against it.
pub(super) async fn stop(proxy: &Proxy, local: &Local, peer: &Peer, guard: &Guard) -> Failure {
    tokio::select! {
        failure = cut(guard) => failure,
        denial = admission::denied(proxy, local, peer) => Failure::PolicyChanged(denial),
    }
}
