//! Connections the pod makes.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use culvert_core::hbone::{Authority, baggage::Baggage, forwarded::Forwarded, traceparent::TraceParent};
use culvert_core::identity::SpiffeId;
use culvert_core::refusal::Refusal;
use culvert_core::route::Route;
use culvert_core::service::Service;
use culvert_core::tunnel::http2::Fields;
use culvert_core::workload::Workload;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::attempts::{Attempts, Connection, Failed, Next, Wanted};
use super::clock::Clock;
use super::{carry, cut, relay};
use crate::capture::Captured;
use crate::deliver::dial;
use crate::drain::Guard;
use crate::ledger::{Direction, Party, onward};
use crate::limits::By;
use crate::outcome::{Failure, Report};
use crate::proxy::{Local, Proxy};
use crate::stats;
use crate::stream::{Broken, Early};
use crate::tunnel::pool::{Met, Nested, Opened};
use crate::tunnel::{self, Connect, Key};

/// Carries a connection the pod makes.
///
/// What is over when bytes begin to flow is boxed: an idle connection keeps no room for it.
pub(crate) fn outbound(
    proxy: Arc<Proxy>,
    captured: Captured,
    guard: Guard,
) -> impl Future<Output = ()> + Send + 'static {
    let begun = Box::pin(async move {
        let mut report = Report::of(proxy.ledger.book(), Direction::Outbound, &captured);
        if let Err(failure) = report.hold(&proxy.limits, By::Pod) {
            return (report, Err(failure));
        }
        let Captured { stream, client, destination } = captured;
        let (again, elsewhere, clock) = (false, false, &Clock::start());
        let wanted = Wanted { client, destination, again, elsewhere, clock, waiting: None };
        let connection = Connection { socket: stream, said: Vec::new() };
        let result = begin(&proxy, wanted, connection, &mut report).await;
        (report, result.map_err(|failed| failed.failure))
    });
    to_its_end(begun, guard)
}

/// Carries what was begun until it ends, and reports on it.
pub(super) async fn to_its_end(
    begun: impl Future<Output = (Box<Report>, Result<Begun, Failure>)>,
    guard: Guard,
) {
    let _open = stats::open::socket(Direction::Outbound);
    let (report, result) = begun.await;
    let result = match result {
        Ok(Begun::Tunnel(Opened { carried, place })) => {
            let result = carry(carried, &report.moved(), pin!(cut(&guard))).await;
            drop(place);
            result
        }
        Ok(Begun::Plain { sockets, half_closed_probe }) => {
            Box::pin(relay(sockets, &report, half_closed_probe, cut(&guard))).await
        }
        Err(failure) => Err(failure),
    };
    report.end(result);
}

/// A connection to where it goes.
pub(super) enum Begun {
    Tunnel(Opened),
    /// The client's socket and the server's, and how often they are probed once one direction has ended.
    Plain {
        sockets: (TcpStream, TcpStream),
        half_closed_probe: Option<Duration>,
    },
}

/// Finds a way and goes it. When that fails before anybody has acted on what the application said, another endpoint is tried.
///
/// The connection comes back when neither did, and it may be tried at another address.
pub(super) async fn begin(
    proxy: &Proxy,
    wanted: Wanted<'_>,
    mut connection: Connection,
    report: &mut Report,
) -> Result<Begun, Failed> {
    let local = proxy.local().await.map_err(Failed::for_good)?;
    report.facts().from.workload = Some(Arc::clone(&local.workload));
    refuse_loop(proxy, wanted.destination).map_err(Failed::for_good)?;
    let mut attempts = Attempts::new(proxy, &local, wanted);
    let mut route = match attempts.first().await {
        Ok(route) => route,
        Err(failure) => return Err(Failed { again: Some(connection), ..Failed::for_good(failure) }),
    };
    loop {
        let attempt = Attempt { proxy, local: &local, wanted, attempts: &attempts };
        let failed = match attempt.go(route, connection, report).await {
            Ok(begun) => {
                attempts.succeeded();
                return Ok(begun);
            }
            Err(failed) => failed,
        };
        let tried = report.attempt(&failed.failure);
        match attempts.next(failed).await {
            Next::Way(other, returned) => {
                report.facts().tried.push(tried);
                (route, connection) = (other, returned);
            }
            Next::Over(failed) => return Err(failed),
        }
    }
}

/// One way that is tried.
struct Attempt<'a> {
    proxy: &'a Proxy,
    local: &'a Local,
    wanted: Wanted<'a>,
    attempts: &'a Attempts<'a>,
}

impl Attempt<'_> {
    async fn go(&self, route: Route, connection: Connection, report: &mut Report) -> Result<Begun, Failed> {
        report.facts().begin_attempt();
        match route {
            Route::Passthrough { to, workload, service } => {
                {
                    let mut facts = report.facts();
                    (facts.destination, facts.to.workload, facts.service) = (to, workload, service);
                }
                self.go_plain(to, connection, report).await
            }
            Route::Tunnel { peer, authority, expected, endpoint, workload, service } => {
                let direct = authority == Authority::Address(endpoint);
                self.begin_tunnel(report, peer, &authority, &workload);
                report.facts().waypoint = !direct;
                let connect = self.connect(report, &authority, service.as_deref());
                report.facts().service = service;
                let key = self.key(peer, expected, workload);
                self.go_by_tunnel((&key, direct), connect, connection, report).await
            }
            Route::Gateway { gateway, peer, expected, authority, behind, workload, service } => {
                self.begin_tunnel(report, peer, &authority, &workload);
                let mut connect_behind = self.connect(report, &authority, Some(&service));
                // That the gateway is there tells the application nothing.
                let connect = Connect { waiting: None, ..connect_behind.clone() };
                let network = self.local.workload.network.as_bytes();
                connect_behind.fields.add(b"x-forwarded-network", network);
                report.facts().service = Some(service);
                let gateway = self.key(peer, expected, gateway);
                let nested = Nested { gateway, connect, behind, connect_behind };
                self.go_by_gateway(nested, connection, report).await
            }
        }
    }

    fn begin_tunnel(
        &self,
        report: &Report,
        peer: SocketAddr,
        authority: &Authority,
        workload: &Arc<Workload>,
    ) {
        let mut facts = report.facts();
        facts.destination = peer;
        facts.authority = Some(authority.to_string().into());
        facts.from.identity = Some(self.local.identity.clone());
        facts.to = Party { identity: workload.identity().ok(), workload: Some(Arc::clone(workload)) };
    }

    fn key(&self, peer: SocketAddr, expected: Vec<SpiffeId>, workload: Arc<Workload>) -> Key {
        let Workload { uid, incarnation, .. } = &*workload;
        let (identity, source) = (self.local.identity.clone(), self.wanted.client.ip());
        Key { identity, expected, peer, workload: Arc::clone(uid), incarnation: incarnation.number(), source }
    }

    async fn go_by_tunnel(
        &self,
        (key, direct): (&Key, bool),
        connect: Connect,
        connection: Connection,
        report: &mut Report,
    ) -> Result<Begun, Failed> {
        // To this one they are said again.
        report.moved().forth.add(connection.said.len());
        let way = (key, self.attempts.patience());
        let carried = self.proxy.tunnels.carry(way, connect, connection.into(), &report.moved()).await;
        let opened = carried.map_err(|not_carried| {
            // A waypoint that answers is there; what is behind it is its own business.
            if !direct && matches!(not_carried.error, tunnel::Error::Status { .. }) {
                return Failed::for_good(not_carried.error.into());
            }
            not_carried.into()
        })?;
        report.facts().tunnel = Some(opened.place.tunnel());
        report.opened();
        Ok(Begun::Tunnel(opened))
    }

    async fn go_by_gateway(
        &self,
        nested: Nested,
        connection: Connection,
        report: &mut Report,
    ) -> Result<Begun, Failed> {
        // Who it will be is chosen by the gateway.
        {
            let mut facts = report.facts();
            (facts.to.identity, facts.nested) = (None, true);
        }
        report.moved().forth.add(connection.said.len());
        let way = (nested, self.attempts.patience());
        let through = self.proxy.tunnels.carry_through(way, connection.into(), &report.moved()).await;
        let (opened, Met { identity, baggage }) = through?;
        report.facts().tunnel = Some(opened.place.tunnel());
        report.facts().to.identity = Some(identity);
        if baggage != Baggage::default() {
            report.facts().to.workload = Some(Arc::new(baggage.workload()));
        }
        report.opened();
        Ok(Begun::Tunnel(opened))
    }

    /// What we tell a peer about this connection.
    fn connect(&self, report: &Report, authority: &Authority, service: Option<&Service>) -> Connect {
        let forwarded = Forwarded::new(self.wanted.client, service.map(|service| service.hostname.as_ref()));
        let mut fields = Fields::default();
        fields.add(b"baggage", Baggage::of(&self.local.workload).to_string().as_bytes());
        fields.add(b"forwarded", forwarded.to_string().as_bytes());
        let trace = report.facts().trace;
        let trace = TraceParent::new(trace.id, report.record().id.number()).with_sampled(trace.sampled);
        fields.add(b"traceparent", trace.to_string().as_bytes());
        Connect { authority: authority.to_string(), fields, waiting: self.wanted.waiting.cloned() }
    }

    async fn go_plain(
        &self,
        to: SocketAddr,
        Connection { socket: client, said }: Connection,
        report: &mut Report,
    ) -> Result<Begun, Failed> {
        refuse_loop(self.proxy, to).map_err(Failed::for_good)?;
        // Who waits to hear that it is connected has another one meanwhile.
        let descriptors = 2 + u32::from(self.wanted.waiting.is_some());
        report.needs(descriptors).map_err(Failed::for_good)?;
        let patience = self.attempts.patience();
        let dialled = tokio::time::timeout(patience, self.proxy.dialer.connect_to_application(to)).await;
        let mut server = match dialled.unwrap_or(Err(dial::Error::OutOfPatience { to, patience })) {
            Ok(server) => server,
            Err(error @ dial::Error::Socket { .. }) => return Err(Failed::for_good(error.into())),
            Err(error) => {
                return Err(Failed {
                    failure: error.into(),
                    of_endpoint: true,
                    again: Some(Connection { socket: client, said }),
                });
            }
        };
        report.facts().onward = onward(&server, to);
        let client = if self.attempts.is_retry() {
            let broken = |error| Failed::for_good(Failure::Broken(Early::Client(Broken::of(&error))));
            watched_anew(client).map_err(broken)?
        } else {
            client
        };
        if !said.is_empty() {
            // A new socket has room for it.
            let written = server.write_all(&said).await;
            written.map_err(|error| Failed::for_good(super::broken_server(&error)))?;
            report.moved().forth.add(said.len());
        }
        if let Some(Err(error)) = self.wanted.waiting.map(|waiting| waiting.connected()) {
            return Err(Failed::for_good(Failure::Broken(Early::Client(Broken::of(&error)))));
        }
        report.opened();
        let half_closed_probe = self.proxy.dialer.half_closed_probe();
        Ok(Begun::Plain { sockets: (client, server), half_closed_probe })
    }
}

/// What the mesh does not know to be ours, such as loopback addresses and ports the pod was given, may be ours all the same.
fn refuse_loop(proxy: &Proxy, to: SocketAddr) -> Result<(), Failure> {
    if proxy.is_own_port(to.port()) && proxy.owns(to.ip()) {
        return Err(Refusal::Loop { destination: to }.into());
    }
    Ok(())
}

/// A tunnel has taken note of what there is to read, and tokio tells of a change once.
fn watched_anew(client: TcpStream) -> std::io::Result<TcpStream> {
    client.into_std().and_then(TcpStream::from_std)
}
