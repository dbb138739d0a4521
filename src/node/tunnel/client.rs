//! The client's end of a tunnel: brings it up, and has connections carried by it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use culvert_core::identity::SpiffeId;
use culvert_core::tunnel::http2::{Fields, Role};
use culvert_tls::Handshake;
use rustls_pki_types::ServerName;
use tokio::sync::oneshot;

use super::carried::Carried;
use super::driver::{Driver, Gauge, Step, Terms};
use super::handshake::{self, Agreement, Secured};
use super::inbox::{Closed, Inbox, Opening, Order, Unopened, Why};
use super::socket::Socket;
use super::{ANSWER_DEADLINE, Connect, ESTABLISH_DEADLINE, Error, Key, limits as allowed};
use crate::config::TunnelConfig;
use crate::deliver::dial::{self, Dialer};
use crate::identity::{Certificate, Identities, Proof, Refused};
use crate::ledger::tunnels::{Listed, New, Tunnels, Way, new_id};
use crate::ledger::{Direction, OnTunnel};
use crate::limits::{self, By, OfPod};
use crate::stats;
use crate::stream::{Early, Moved};
use crate::tasks::Tasks;

/// What bringing a tunnel up takes.
#[derive(Clone)]
pub(crate) struct Establish {
    pub(crate) identities: Identities,
    pub(crate) dialer: Dialer,
    pub(crate) config: TunnelConfig,
    /// Where they are listed.
    pub(crate) tunnels: Tunnels,
    /// What the pod may have only so much of.
    pub(crate) limits: Arc<OfPod>,
}

/// A tunnel that is up, as those see it who want to use it.
#[derive(Debug)]
pub(super) struct Tunnel {
    id: u64,
    inbox: Arc<Inbox>,
    gauge: Arc<Gauge>,
    peer: SocketAddr,
    proof: Arc<Proof>,
    tls: Agreement,
    /// Streams open or being opened.
    streams: AtomicUsize,
    most_streams: usize,
    life: Life,
    closed: AtomicBool,
}

/// How long a tunnel is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// Until nobody has used it for a while.
    Shared,
    /// As long as its only stream. No peer is told before that there will be no other: some would take it for the end of all.
    Single,
}

impl Establish {
    /// What we show to peers.
    pub(super) async fn certificate(&self, key: &Key) -> Result<Arc<Certificate>, Error> {
        let certificate = self.identities.certificate(&key.identity).await;
        certificate.map_err(|source| Error::Identity { id: key.identity.clone(), source })
    }

    /// TCP and TLS under one deadline; says when the peer has been `connected`. The second value must be run for the tunnel to work.
    pub(super) async fn tunnel(
        &self,
        key: &Key,
        certificate: &Certificate,
        connected: &(dyn Fn() + Sync),
    ) -> Result<(Arc<Tunnel>, impl Future<Output = ()> + use<>), Error> {
        let held = self.limits.descriptors(1, By::Pod)?;
        let reached = AtomicBool::new(false);
        let all = async {
            let tcp = self.dialer.connect(key.peer).await.map_err(Error::Dial)?;
            reached.store(true, Ordering::Relaxed);
            connected();
            let local = tcp.local_addr().ok().map(culvert_sys::tcp::canonical);
            let (secured, proof) = secure(key, certificate, tcp.into()).await?;
            Ok((secured, proof, Way::Tcp { local, peer: Some(key.peer) }))
        };
        // Connecting has a deadline of its own, of the same length: which of the two is noticed first says nothing.
        let late = || match reached.load(Ordering::Relaxed) {
            true => Error::EstablishTimedOut { peer: key.peer },
            false => Error::Dial(dial::Error::TimedOut { to: key.peer }),
        };
        let (secured, proof, way) = in_time(all, late).await?;
        Ok(self.begin(key, (secured, proof), way, held))
    }

    /// The same on what `outer`, another tunnel, carries, for one stream.
    pub(super) async fn inner_tunnel(
        &self,
        key: &Key,
        certificate: &Certificate,
        (outer, carried): (u64, Socket),
    ) -> Result<(Arc<Tunnel>, impl Future<Output = ()> + use<>), Error> {
        // Both ends of what the outer one carries.
        let held = self.limits.descriptors(2, By::Pod)?;
        let late = || Error::EstablishTimedOut { peer: key.peer };
        let (secured, proof) = in_time(secure(key, certificate, carried), late).await?;
        let way = Way::Through { gateway: key.peer, tunnel: outer };
        Ok(self.begin(key, (secured, proof), way, held))
    }

    fn begin(
        &self,
        key: &Key,
        (secured, proof): (Secured, Proof),
        way: Way,
        held: limits::Place,
    ) -> (Arc<Tunnel>, impl Future<Output = ()> + use<>) {
        let life = match way {
            Way::Tcp { .. } => Life::Shared,
            Way::Through { .. } => Life::Single,
        };
        let tls = Agreement::of(&secured.agreed);
        let begun = secured.begin(Role::Client, allowed(Role::Client, &self.config));
        let inbox = Arc::new(Inbox::default());
        let TunnelConfig { idle, half_closed_probe, .. } = self.config;
        let terms = Terms { idle: Some(idle), half_closed_probe, account: self.limits.account(By::Pod) };
        let driver = Driver::new(Role::Client, begun, Arc::clone(&inbox), terms);
        let id = new_id();
        let listed = self.tunnels.begin(New {
            id,
            direction: Direction::Outbound,
            identity: key.identity.clone(),
            peer_identity: proof.id().clone(),
            way,
            tls,
            gauge: driver.gauge(),
        });
        let tunnel = Arc::new(Tunnel {
            id,
            inbox,
            gauge: driver.gauge(),
            peer: key.peer,
            proof: Arc::new(proof),
            tls,
            streams: AtomicUsize::new(0),
            most_streams: self.config.streams,
            life,
            closed: AtomicBool::new(false),
        });
        (Arc::clone(&tunnel), async move {
            let _held = held;
            drive(tunnel, driver, listed).await;
        })
    }
}

/// Lets both ends prove who they are.
async fn secure(key: &Key, certificate: &Certificate, socket: Socket) -> Result<(Secured, Proof), Error> {
    // The name is never sent: the peer is known by its SPIFFE id, which the verifier of this config checks.
    let name = ServerName::IpAddress(key.peer.ip().into());
    let refused = |source| Error::Peer { peer: key.peer, source };
    let failed = |error: handshake::Error| match (error.refused(), &error) {
        (Some(source), _) => refused(source),
        (None, handshake::Error::Tls(_)) => Error::Tls { peer: key.peer, reason: error.to_string() },
        (None, handshake::Error::Io(_) | handshake::Error::Closed) => {
            Error::HungUp { peer: key.peer, reason: error.to_string() }
        }
    };
    let handshake = Handshake::client(certificate.client_config(&key.expected), name);
    let handshake = handshake.map_err(|error| failed(handshake::Error::Tls(error)))?;
    let secured = handshake::run(socket, handshake).await.map_err(failed)?;
    let proof = certificate.server(Some(&secured.agreed.peer_certificates), &key.expected);
    Ok((secured, proof.map_err(refused)?))
}

async fn in_time<T>(
    establish: impl Future<Output = Result<T, Error>>,
    late: impl FnOnce() -> Error,
) -> Result<T, Error> {
    let established = tokio::time::timeout(ESTABLISH_DEADLINE, establish).await;
    let established = established.unwrap_or_else(|_| Err(late()));
    stats::handshake(Direction::Outbound, established.as_ref().err().map_or("ok", Error::reason));
    established
}

impl handshake::Error {
    /// What this end refused its peer for, if that is why.
    pub(super) fn refused(&self) -> Option<Refused> {
        let Self::Tls(culvert_tls::Error::Tls(error)) = self else { return None };
        Refused::of(error)
    }
}

/// A place for one stream on a tunnel.
#[derive(Debug)]
pub(crate) struct Place(Arc<Tunnel>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
        if self.0.life == Life::Single {
            self.0.close();
        }
    }
}

impl Tunnel {
    /// Takes a place for one stream, or `None` when the tunnel is full or closed, or its peer seems to have gone.
    pub(super) fn place(self: &Arc<Self>) -> Option<Place> {
        if self.gauge.is_leaving() || self.proof.is_expired() {
            // Old streams may keep the tunnel up for long; nobody opens any that an expired certificate would vouch for.
            self.close();
        }
        let most = self.most_streams.min(self.gauge.capacity() as usize);
        if self.gauge.is_doubtful() {
            return None;
        }
        let taken = self.streams.fetch_update(Ordering::AcqRel, Ordering::Acquire, |streams| {
            (streams < most && self.is_open()).then_some(streams + 1)
        });
        taken.is_ok().then(|| Place(Arc::clone(self)))
    }

    pub(super) fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
    }

    /// Whether it takes any streams, be they all taken.
    pub(super) fn has_room_at_all(&self) -> bool {
        self.is_open() && !self.gauge.is_leaving() && !self.gauge.is_doubtful() && self.gauge.capacity() > 0
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Who the peer has proven to be.
    pub(super) fn peer_identity(&self) -> &SpiffeId {
        self.proof.id()
    }

    /// Whether streams that want to be quick had better take another one.
    pub(super) fn is_bulk(&self) -> bool {
        self.gauge.is_bulk()
    }

    /// No new streams; those there go on.
    pub(super) fn close(&self) {
        if !self.closed.swap(true, Ordering::AcqRel) {
            // Fails when the tunnel has ended.
            let _ = self.inbox.order(Order::Leave);
        }
    }
}

/// A connection that could not be carried.
#[derive(Debug)]
pub(crate) struct NotCarried {
    pub(crate) error: Error,
    /// The connection, and what it has said so far, when nobody has acted on that: another peer may be tried.
    pub(crate) again: Option<Connection>,
    /// Another tunnel to the same peer may be tried.
    pub(super) unseen: bool,
}

impl NotCarried {
    /// No peer was asked.
    pub(super) fn before_all(error: Error, connection: Connection) -> Self {
        Self { error, again: Some(connection), unseen: true }
    }

    /// Asking somebody else would go around a decision.
    pub(super) fn for_good(error: Error) -> Self {
        Self { error, again: None, unseen: false }
    }

    /// Whoever was asked is behind a gateway.
    pub(super) fn behind(self, gateway: SocketAddr) -> Self {
        Self { error: Error::Behind { gateway, source: Box::new(self.error) }, ..self }
    }
}

/// An application's connection, and what was read from it.
pub(crate) type Connection = (Socket, Vec<u8>);

impl Place {
    /// The tunnel it is on.
    pub(crate) fn tunnel(&self) -> OnTunnel {
        OnTunnel { id: self.0.id, tls: self.0.tls }
    }

    /// Asks the peer for a stream and has it carry `socket`, which has `said` something already. Gives what the peer answered, too.
    pub(super) async fn carry(
        &self,
        connect: &Arc<Connect>,
        (socket, said): Connection,
        moved: &Arc<Moved>,
    ) -> Result<(Carried, Fields), NotCarried> {
        let tunnel = &self.0;
        let (carried, carry) = Carried::new(&tunnel.inbox, socket, moved, Early::Server);
        let (answer, answered) = oneshot::channel();
        let opening = Opening { connect: Arc::clone(connect), carry, said, answer };
        if let Err(Closed(order)) = tunnel.inbox.order(Order::Open(Box::new(opening))) {
            return Err(tunnel.gone(order));
        }
        let failed = |error| NotCarried { error, again: None, unseen: false };
        match tokio::time::timeout(ANSWER_DEADLINE, answered).await {
            Err(_) => Err(failed(Error::AnswerTimedOut { peer: tunnel.peer })),
            Ok(Ok(Ok(answer))) => Ok((carried, answer)),
            Ok(Ok(Err(unopened))) => Err(tunnel.not_carried(unopened)),
            Ok(Err(_)) => Err(failed(Error::Gone { peer: tunnel.peer })),
        }
    }
}

impl Tunnel {
    fn gone(&self, order: Order) -> NotCarried {
        self.close();
        let mut again = None;
        if let Order::Open(opening) = order {
            again = Some((opening.carry.socket, opening.said));
        }
        NotCarried { error: Error::Gone { peer: self.peer }, again, unseen: true }
    }

    fn not_carried(&self, Unopened { why, socket, said, silent }: Unopened) -> NotCarried {
        // A connection on which nothing was said leaves no trace but itself.
        let unheard = silent && matches!(why, Why::Broken(_));
        let (peer, unseen) = (self.peer, why == Why::Unseen || unheard);
        // It could not reach its workload, so nobody has seen what was said.
        let untouched = unseen || matches!(why, Why::Status(503, _));
        let error = match why {
            Why::Unseen => Error::Gone { peer },
            Why::Status(status, said) => Error::Status { peer, status, hint: hint(status), said },
            Why::Broken(reason) => Error::Broken { peer, reason },
            Why::Fault(reason) => Error::Http2 { peer, reason },
            Why::Alert(reason) => Error::Tls { peer, reason },
            Why::Revoked => Error::Revoked { peer },
            Why::ClientGone(broken) => Error::ClientGone(Early::Client(broken)),
        };
        NotCarried { error, again: untouched.then_some((socket, said)), unseen }
    }
}

fn hint(status: u16) -> &'static str {
    match status {
        401 | 403 => " (its policy does not allow this identity)",
        400 => " (it does not serve this address)",
        503 => " (it could not pass the connection on)",
        _ => "",
    }
}

/// Runs the tunnel to its end.
async fn drive(tunnel: Arc<Tunnel>, mut driver: Driver, listed: Listed) {
    let watch = Tasks::default();
    let (inbox, proof) = (Arc::clone(&tunnel.inbox), Arc::clone(&tunnel.proof));
    watch.spawn(async move {
        proof.revoked().await;
        // Fails when the tunnel has ended.
        let _ = inbox.order(Order::Revoked);
    });
    let over = loop {
        match driver.step().await {
            Step::Over(over) => break over,
            // Nobody asks a client for streams: the engine does not let it through.
            Step::Offers(_) => {}
        }
    };
    tunnel.closed.store(true, Ordering::Release);
    drop(listed);
    tracing::debug!(peer = %tunnel.peer, identity = %tunnel.proof.id(), why = %over, "tunnel closed");
    driver.part(&over).await;
}
