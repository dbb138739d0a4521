//! The ways a connection of the pod is tried, one after the other, under one deadline.
//!
//! Goes in: where the application wants to go, and what became of each attempt. Comes out: the next way, while there is one that
//! was not tried, and how long to wait for it. Only what nobody has acted on is tried again.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use culvert_core::refusal::{Missing, Refusal};
use culvert_core::route::{self, Known, Reputation, Route};
use culvert_core::workload::{GatewayAddress, Workload};
use tokio::net::TcpStream;

use super::clock::{ALL_DEADLINE, Clock};
use crate::dns::hosts;
use crate::outcome::Failure;
use crate::proxy::{Local, Proxy};
use crate::set_aside::Endpoint;
use crate::tunnel;
use crate::tunnel::client::NotCarried;
use crate::waiting::Waiting;

/// Endpoints that are tried for one connection.
const MOST_ATTEMPTS: usize = 3;

/// How long an endpoint may take while there is another one: far more than a handshake takes across an ocean.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often what is missing for a way is found out: a waypoint, the gateway to it, and their addresses may be.
const MOST_LOOK_UPS: usize = 6;

/// An application's connection, and what was read from it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: TcpStream,
    pub(super) said: Vec<u8>,
}

/// What an application wants, and what is known of that.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) client: SocketAddr,
    pub(super) destination: SocketAddr,
    /// Whether it was tried at another address before.
    pub(super) again: bool,
    /// Whether it may be had at another address yet.
    pub(super) elsewhere: bool,
    /// How long all of that takes.
    pub(super) clock: &'a Clock,
    /// The application, when it waits to hear that it is connected.
    pub(super) waiting: Option<&'a Arc<Waiting>>,
}

/// An attempt that failed; the connection is there when another one may be made.
pub(super) struct Failed {
    pub(super) failure: Failure,
    /// Whether it speaks against the endpoint.
    pub(super) of_endpoint: bool,
    pub(super) again: Option<Connection>,
}

impl Failed {
    /// Trying another endpoint would not help, or would do something twice.
    pub(super) fn for_good(failure: Failure) -> Self {
        Self { failure, of_endpoint: false, again: None }
    }
}

impl From<NotCarried> for Failed {
    fn from(NotCarried { error, again, .. }: NotCarried) -> Self {
        // With what is missing here no other endpoint can be reached either.
        let (of_endpoint, again) = (error.is_of_the_peer(), again.filter(|_| !error.is_ours()));
        let connection = |(socket, said): tunnel::client::Connection| {
            Some(Connection { socket: socket.into_tcp()?, said })
        };
        Self { failure: error.into(), of_endpoint, again: again.and_then(connection) }
    }
}

impl From<Connection> for tunnel::client::Connection {
    fn from(Connection { socket, said }: Connection) -> Self {
        (socket.into(), said)
    }
}

/// What follows an attempt that failed.
pub(super) enum Next {
    Way(Route, Connection),
    /// There is nothing else to try; the attempt comes back.
    Over(Failed),
}

/// Where a host is, or why that is not known.
type LookedUp = Result<Arc<[IpAddr]>, hosts::Error>;

/// What was tried for one connection, and what may be.
pub(super) struct Attempts<'a> {
    proxy: &'a Proxy,
    local: &'a Local,
    wanted: Wanted<'a>,
    entropy: u64,
    /// What was asked for because the mesh state lacked it.
    asked: Vec<GatewayAddress>,
    /// Where hosts are, as far as that was asked.
    hosts: Vec<(Arc<str>, LookedUp)>,
    /// The last one is the one at hand.
    tried: Vec<Endpoint>,
    /// Whether there is another one than those.
    more: bool,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(proxy: &'a Proxy, local: &'a Local, wanted: Wanted<'a>) -> Self {
        Self {
            proxy,
            local,
            wanted,
            entropy: rand::random(),
            asked: Vec::new(),
            hosts: Vec::new(),
            tried: Vec::new(),
            more: false,
        }
    }

    /// The first way.
    pub(super) async fn first(&mut self) -> Result<Route, Failure> {
        let destination = self.wanted.destination.ip();
        let know = self.proxy.mesh.know_address(&self.local.workload.network, destination);
        self.wanted.clock.look(know).await.transpose()?;
        let route = self.find().await?;
        self.take(&route);
        Ok(route)
    }

    /// The next way, after one has failed.
    pub(super) async fn next(&mut self, failed: Failed) -> Next {
        let Failed { failure, of_endpoint, again } = failed;
        if let Some(last) = self.tried.last()
            && of_endpoint
        {
            self.proxy.set_aside.failed(last, Instant::now());
        }
        let Some(connection) = again else { return Next::Over(Failed { failure, of_endpoint, again }) };
        let found = if self.more && self.wanted.clock.is_in_time() { self.find().await.ok() } else { None };
        match found {
            // The mesh may have changed since the last attempt: what is not another endpoint is not tried.
            Some(route) if self.is_new(&route) => {
                tracing::debug!(error = %failure, "an endpoint could not be reached; trying another one");
                self.take(&route);
                Next::Way(route, connection)
            }
            _ => Next::Over(Failed { failure, of_endpoint, again: Some(connection) }),
        }
    }

    /// Finds a way. What has to be found out for that has a deadline of its own, for all attempts together.
    async fn find(&mut self) -> Result<Route, Failure> {
        let clock = self.wanted.clock;
        // In the end what is known has to do.
        clock.look(self.find_out()).await.unwrap_or_else(|| Ok(self.route()?))
    }

    /// Finds a way, and what the mesh state lacks for that: waypoints, gateways, the addresses of hosts.
    async fn find_out(&mut self) -> Result<Route, Failure> {
        for _ in 0..MOST_LOOK_UPS {
            let refusal = match self.route() {
                Ok(route) => return Ok(route),
                Err(refusal) => refusal,
            };
            match refusal.missing() {
                Some(Missing::Gateway(reference)) if !self.has_asked_for(&reference) => {
                    self.proxy.mesh.know_gateway(&reference).await?;
                    self.asked.push(reference);
                }
                Some(Missing::Addresses(host)) => self.look_up(host).await?,
                Some(Missing::Gateway(_)) | None => return Err(refusal.into()),
            }
        }
        Ok(self.route()?)
    }

    /// Looks up where a host is. When that is asked for again it could not be found out, and there is no way around it.
    async fn look_up(&mut self, host: Arc<str>) -> Result<(), Failure> {
        if let Some((_, Err(error))) = self.hosts.iter().find(|(known, _)| *known == host) {
            return Err(error.clone().into());
        }
        let found = self.proxy.hosts.of_workload(&host).await;
        self.hosts.push((host, found));
        Ok(())
    }

    /// The way at hand was gone to its end.
    pub(super) fn succeeded(&self) {
        if let Some(last) = self.tried.last() {
            self.proxy.set_aside.succeeded(last);
        }
    }

    /// How long to wait for the way at hand. Without another one, what is waited for has a deadline of its own.
    pub(super) fn patience(&self) -> Duration {
        let left = self.wanted.clock.left();
        match (self.more || self.wanted.elsewhere, self.is_retry()) {
            (true, _) => left.min(PATIENCE),
            (false, false) => 2 * ALL_DEADLINE,
            (false, true) => left,
        }
    }

    /// Whether something else was tried before the way at hand.
    pub(super) fn is_retry(&self) -> bool {
        self.wanted.again || self.tried.len() > 1
    }

    /// Notes that a way is tried, and looks whether there would be another.
    fn take(&mut self, route: &Route) {
        self.more = false;
        let Some((workload, address)) = route.choice() else { return };
        self.tried.push(Endpoint::new(workload, address));
        // To look whether there is a way past a gateway may mean to look at all that is behind it.
        let may_go_on = matches!(route, Route::Gateway { .. }) || self.may_go_on();
        self.more = self.tried.len() < MOST_ATTEMPTS && may_go_on;
    }

    /// Whether there may be another way.
    fn may_go_on(&self) -> bool {
        match self.route() {
            Ok(other) => self.is_new(&other),
            Err(refusal) => self.may_find_out(&refusal),
        }
    }

    fn is_new(&self, route: &Route) -> bool {
        route.choice().is_some_and(|(workload, address)| !self.was_tried(workload, address))
    }

    fn was_tried(&self, workload: &Workload, address: SocketAddr) -> bool {
        self.tried.iter().any(|tried| tried.is(workload, address))
    }

    fn route(&self) -> Result<Route, Refusal> {
        let snapshot = self.proxy.mesh.snapshot();
        route::outbound(&snapshot, &self.local.workload, self.wanted.destination, self.entropy, self)
    }
}

impl Known for Attempts<'_> {
    fn reputation(&self, workload: &Workload, address: SocketAddr) -> Reputation {
        if self.was_tried(workload, address) {
            return Reputation::Tried;
        }
        self.proxy.set_aside.reputation(workload, address, Instant::now())
    }

    fn addresses(&self, hostname: &str) -> Option<&[IpAddr]> {
        let (_, found) = self.hosts.iter().find(|(known, _)| **known == *hostname)?;
        Some(found.as_deref().unwrap_or_default())
    }

    fn has_asked_for(&self, gateway: &GatewayAddress) -> bool {
        self.asked.contains(gateway)
    }
}
