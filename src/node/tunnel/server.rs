//! The server's end of a tunnel: accepts it, names the peer, and hands out what the peer asks for.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use culvert_core::hbone::ProxyStatus;
use culvert_core::identity::SpiffeId;
use culvert_core::tunnel::Fault;
use culvert_core::tunnel::http2::{Fields, Request, Role, StreamId};
use culvert_tls::Handshake;
use tokio::net::TcpStream;

use super::carried::Carried;
use super::driver::{Driver, Over, Step, Terms, Wish};
use super::handshake::{self, Agreement};
use super::inbox::{Inbox, Order, Withdrawn};
use super::{MOST_STREAMS, limits};
use crate::config::TunnelConfig;
use crate::drain::Guard;
use crate::identity::{Certificate, Proof, Refused};
use crate::ledger::tunnels::{Listed, New, Tunnels, Way, new_id};
use crate::ledger::{Direction, OnTunnel};
use crate::limits::{Account, Exceeded, Limit, Turnstile, hit};
use crate::stream::{Early, Moved};
use crate::tasks::Tasks;

/// How long a peer may take to prove who it is.
pub(crate) const ACCEPT_DEADLINE: Duration = Duration::from_secs(10);

/// How long a peer that has proven who it is may take to ask for its first stream: a tunnel is opened because somebody wants one.
pub(crate) const FIRST_REQUEST_DEADLINE: Duration = Duration::from_secs(30);

/// How long a peer that was told to take its streams elsewhere may go on opening them here, if it does not say that it knows.
const LEAVE_DEADLINE: Duration = Duration::from_secs(20);

/// When so many streams wait for their turn, nothing is read: a peer that opens and resets them keeps no more here than one that does not.
const MOST_WAITING: usize = MOST_STREAMS as usize;

/// Why a peer was not let in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("TLS handshake failed: {0}")]
    Tls(String),
    #[error("TLS handshake failed")]
    Peer(#[source] Refused),
    #[error("the handshake was not over within {ACCEPT_DEADLINE:?} (accept deadline)")]
    TimedOut,
}

/// An accepted tunnel.
#[derive(Debug)]
pub(crate) struct Accepted {
    on: OnTunnel,
    driver: Box<Driver>,
    inbox: Arc<Inbox>,
    proof: Arc<Proof>,
    /// Who the peer has proven to be.
    pub(crate) peer: SpiffeId,
    listed: Listed,
}

/// One CONNECT of the peer, not answered yet. Dropping it resets the stream.
#[derive(Debug)]
pub(crate) struct Offer {
    tunnel: OnTunnel,
    stream: StreamId,
    request: Request,
    withdrawn: Withdrawn,
    inbox: Option<Arc<Inbox>>,
}

/// Lets a peer prove who it is, under one deadline. What it sends and nobody takes goes to `account`.
pub(crate) async fn accept(
    tcp: TcpStream,
    certificate: &Certificate,
    config: &TunnelConfig,
    tunnels: &Tunnels,
    account: Arc<Account>,
) -> Result<Accepted, Error> {
    let address = |address: io::Result<SocketAddr>| address.ok().map(culvert_sys::tcp::canonical);
    let (local, peer) = (address(tcp.local_addr()), address(tcp.peer_addr()));
    let secure = async {
        let failed = |error: handshake::Error| match error.refused() {
            Some(refused) => Error::Peer(refused),
            None => Error::Tls(error.to_string()),
        };
        let handshake = Handshake::server(certificate.server_config());
        let handshake = handshake.map_err(|error| failed(handshake::Error::Tls(error)))?;
        handshake::run(tcp.into(), handshake).await.map_err(failed)
    };
    let secured = tokio::time::timeout(ACCEPT_DEADLINE, secure).await.map_err(|_| Error::TimedOut)??;
    let proof = certificate.client(Some(&secured.agreed.peer_certificates)).map_err(Error::Peer)?;
    let inbox = Arc::new(Inbox::default());
    let tls = Agreement::of(&secured.agreed);
    let begun = secured.begin(Role::Server, limits(Role::Server, config));
    let terms =
        Terms { idle: Some(FIRST_REQUEST_DEADLINE), half_closed_probe: config.half_closed_probe, account };
    let driver = Box::new(Driver::new(Role::Server, begun, Arc::clone(&inbox), terms));
    let (on, peer_identity) = (OnTunnel { id: new_id(), tls }, proof.id().clone());
    let listed = tunnels.begin(New {
        id: on.id,
        direction: Direction::Inbound,
        identity: certificate.id().clone(),
        peer_identity: peer_identity.clone(),
        way: Way::Tcp { local, peer },
        tls,
        gauge: driver.gauge(),
    });
    Ok(Accepted { on, driver, inbox, peer: peer_identity, proof: Arc::new(proof), listed })
}

impl Accepted {
    /// Serves the peer's offers, each in a task of its own, until the tunnel ends. On a drain, and when a certificate has
    /// run out, it says so to the peer and lets the streams finish; when cut, and when the peer's certificate is
    /// revoked, it ends them.
    ///
    /// # Errors
    /// Why it did not end in order.
    pub(crate) async fn serve<F>(
        self,
        turnstile: &Turnstile,
        guard: Guard,
        each: impl Fn(Offer) -> F,
    ) -> Result<(), String>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Self { on: tunnel, mut driver, inbox, proof, listed, .. } = self;
        let (streams, watch) = (Tasks::default(), Tasks::default());
        watch.spawn(end_when_due(Arc::clone(&inbox), proof, guard.clone()));
        let begin = |Wish { stream, request, withdrawn }| {
            let inbox = Some(Arc::clone(&inbox));
            streams.spawn(each(Offer { tunnel, stream, request, withdrawn, inbox }));
        };
        let (over, mut waiting) = drive(&mut driver, turnstile, &begin).await;
        if matches!(over, Over::Cut | Over::Revoked) {
            waiting.clear();
        }
        drop((watch, listed));
        match over {
            Over::Unused => hit(Limit::FirstRequestDeadline),
            Over::Fault(Fault::NoPreface) => hit(Limit::PrefaceDeadline),
            Over::Done | Over::Cut | Over::Revoked | Over::Lost(_) | Over::Fault(_) => {}
        }
        if matches!(over, Over::Cut) {
            drop(streams);
            driver.part(&over).await;
            return Ok(());
        }
        // What has arrived whole is still delivered; streams that miss something find out by themselves.
        let rest = async {
            tokio::join!(driver.part(&over), begin_rest(waiting, turnstile, &begin));
            streams.finished().await;
        };
        tokio::select! {
            () = rest => {}
            () = guard.cut() => {}
        }
        match over {
            Over::Done | Over::Unused | Over::Cut => Ok(()),
            Over::Revoked | Over::Lost(_) | Over::Fault(_) => Err(over.to_string()),
        }
    }
}

/// Drives a tunnel until it is over, and begins what the peer asks for when it is its turn; bytes wait only where very much waits for that.
/// What was asked for and has not had its turn comes back.
async fn drive(driver: &mut Driver, turnstile: &Turnstile, begin: &impl Fn(Wish)) -> (Over, VecDeque<Wish>) {
    let mut waiting = VecDeque::new();
    let mut turn = pin!(turnstile.pass());
    let mut may_begin = true;
    loop {
        if may_begin && let Some(wish) = next(&mut waiting) {
            begin(wish);
            turn.set(turnstile.pass());
            may_begin = false;
        }
        if waiting.len() >= MOST_WAITING {
            waiting.retain_mut(|wish| !wish.withdrawn.is_taken_back());
        }
        tokio::select! {
            biased;
            () = &mut turn, if !may_begin => may_begin = true,
            step = driver.step(), if waiting.len() < MOST_WAITING => match step {
                Step::Over(over) => return (over, waiting),
                Step::Offers(offers) => waiting.extend(offers),
            },
        }
    }
}

/// Begins what had not had its turn when the tunnel ended: as before, one after the other.
async fn begin_rest(mut waiting: VecDeque<Wish>, turnstile: &Turnstile, begin: &impl Fn(Wish)) {
    while let Some(wish) = next(&mut waiting) {
        turnstile.pass().await;
        begin(wish);
    }
}

/// The first that is still wanted.
fn next(waiting: &mut VecDeque<Wish>) -> Option<Wish> {
    loop {
        let mut wish = waiting.pop_front()?;
        if !wish.withdrawn.is_taken_back() {
            return Some(wish);
        }
    }
}

/// Tells the task of a tunnel when the peer should take its next streams elsewhere, and when all must end.
async fn end_when_due(inbox: Arc<Inbox>, proof: Arc<Proof>, guard: Guard) {
    let leave = async {
        tokio::select! {
            () = guard.draining() => {}
            () = proof.expired() => {}
        }
        // Fails when the tunnel has ended.
        let _ = inbox.order(Order::Leave);
        tokio::time::sleep(LEAVE_DEADLINE).await;
        let _ = inbox.order(Order::Leave);
        std::future::pending::<()>().await;
    };
    let order = tokio::select! {
        () = leave => return,
        () = guard.cut() => Order::Cut,
        () = proof.revoked() => Order::Revoked,
    };
    // Fails when the tunnel has ended.
    let _ = inbox.order(order);
}

impl Offer {
    /// The tunnel it is on.
    pub(crate) fn tunnel(&self) -> OnTunnel {
        self.tunnel
    }

    /// Whether it is a CONNECT (RFC 9113 §8.5): the only request there is.
    pub(crate) fn is_connect(&self) -> bool {
        self.request.method == b"CONNECT"
    }

    /// Where the peer wants to go, as written; nothing when it is not text.
    pub(crate) fn authority(&self) -> &str {
        str::from_utf8(&self.request.authority).unwrap_or_default()
    }

    /// The values of a header that are visible ASCII; `None` when one is not.
    pub(crate) fn header<'o>(&'o self, name: &'o str) -> Option<Vec<&'o str>> {
        let visible = |value: &'o [u8]| {
            let text = str::from_utf8(value).ok()?;
            text.bytes().all(|octet| matches!(octet, b'\t' | b' '..=b'~')).then_some(text)
        };
        self.request.fields.all(name).map(visible).collect()
    }

    /// Resolves when the peer has taken it back, or it was given up for a reason: whatever is done for it is done for nobody. Cancel safe.
    pub(crate) async fn withdrawn(&mut self) -> Option<Exceeded> {
        self.withdrawn.wait().await
    }

    /// Says no, and perhaps why.
    pub(crate) fn refuse(mut self, status: u16, why: Option<ProxyStatus>) {
        let mut fields = Fields::default();
        if let Some(why) = why {
            fields.add(b"proxy-status", why.to_string().as_bytes());
        }
        if let Some(inbox) = self.inbox.take() {
            // The peer may be gone already, and then there is nobody to tell.
            let _ = inbox.order(Order::Refuse { stream: self.stream, status, fields });
        }
    }

    /// Says yes, describing the destination, and has the stream carried to `socket`; `None` when the peer has gone meanwhile.
    pub(crate) fn accept(
        mut self,
        baggage: Option<&str>,
        socket: TcpStream,
        moved: &Arc<Moved>,
    ) -> Option<Carried> {
        // Whatever cuts the work short, the application cannot take what it has for complete. A captured connection has
        // this from its listener. Fails only for what is not a socket.
        let _ = culvert_sys::tcp::reset_on_close(&socket);
        let inbox = self.inbox.take()?;
        let mut fields = Fields::default();
        if let Some(baggage) = baggage {
            fields.add(b"baggage", baggage.as_bytes());
        }
        let (carried, carry) = Carried::new(&inbox, socket.into(), moved, Early::Client);
        let carry = Box::new(carry);
        inbox.order(Order::Accept { stream: self.stream, fields, carry }).ok()?;
        Some(carried)
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        if let Some(inbox) = self.inbox.take() {
            // Fails when the tunnel has ended.
            let _ = inbox.order(Order::Forget(self.stream));
        }
    }
}
