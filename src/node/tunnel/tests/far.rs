//! The far node.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Mutex;

use super::*;
use crate::limits::OfPod;

/// A server of tunnels.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    tunnels: Arc<AtomicUsize>,
    drains: Arc<Mutex<VecDeque<Drain>>>,
    /// Those there are.
    pub(super) listed: Tunnels,
    /// What its pod has.
    pub(super) limits: Arc<OfPod>,
    tasks: Tasks,
}

impl Server {
    /// One under the identity `web` that answers every offer in the same way.
    pub(super) async fn start<R: Responds>(authority: &TestAuthority, respond: R) -> Self {
        Self::presenting(authority.good(&account("web")), respond).await
    }

    pub(super) async fn presenting<R: Responds>(certificate: Certificate, respond: R) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, certificate, respond)
    }

    pub(super) fn on<R: Responds>(listener: TcpListener, certificate: Certificate, respond: R) -> Self {
        let server = Self {
            address: listener.local_addr().unwrap(),
            tunnels: Arc::default(),
            drains: Arc::default(),
            listed: Tunnels::default(),
            limits: crate::limits::tests::alone(),
            tasks: Tasks::default(),
        };
        let (count, drains) = (Arc::clone(&server.tunnels), Arc::clone(&server.drains));
        let (listed, limits) = (server.listed.clone(), Arc::clone(&server.limits));
        let (certificate, connections) = (Arc::new(certificate), Tasks::default());
        server.tasks.spawn(async move {
            while let Ok((tcp, peer)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let (drain, guard) = drain::channel();
                drains.lock().unwrap().push_back(drain);
                let known = (Arc::clone(&certificate), listed.clone());
                let by = (Arc::clone(&limits), peer);
                let serving = serve(tcp, known, by, guard, respond.clone());
                connections.spawn(TUNNEL.scope(number, serving));
            }
        });
        server
    }

    /// How many there were so far.
    pub(super) fn tunnels(&self) -> usize {
        self.tunnels.load(Ordering::SeqCst)
    }

    /// What ends the oldest of its tunnels.
    pub(super) fn drain(&self) -> Drain {
        self.drains.lock().unwrap().pop_front().unwrap()
    }

    /// What ends all of its tunnels.
    pub(super) fn drains(&self) -> Vec<Drain> {
        self.drains.lock().unwrap().drain(..).collect()
    }
}

tokio::task_local! {
    /// The number of the tunnel that is served.
    static TUNNEL: usize;
}

/// What a server does with an offer.
pub(super) trait Responds: Clone + Send + Sync + 'static {
    type Done: Future<Output = ()> + Send + 'static;

    fn respond(&self, offer: Offer) -> Self::Done;
}

impl<D, R> Responds for R
where
    D: Future<Output = ()> + Send + 'static,
    R: Fn(Offer) -> D + Clone + Send + Sync + 'static,
{
    type Done = D;

    fn respond(&self, offer: Offer) -> D {
        self(offer)
    }
}

async fn serve(
    tcp: TcpStream,
    (certificate, listed): (Arc<Certificate>, Tunnels),
    (limits, peer): (Arc<OfPod>, SocketAddr),
    guard: Guard,
    respond: impl Responds,
) {
    let config = config(&[]).tunnel;
    let by = limits.peer(peer.ip());
    let account = limits.account(By::Peer(&by));
    if let Ok(accepted) = server::accept(tcp, &certificate, &config, &listed, account).await {
        // How a tunnel ends is what the tests look at from the other side.
        let _ = accepted.serve(&by.turnstile, guard, move |offer| respond.respond(offer)).await;
    }
}

/// Takes an offer for a new application.
pub(super) async fn take(offer: Offer, buffers: Buffers) -> Option<Callee> {
    let (near, socket) = pair(buffers).await;
    let moved = Arc::default();
    let carried = offer.accept(None, near, &moved)?;
    Some(App { socket, carried, moved })
}

/// An application that says what it hears.
pub(super) async fn echo(offer: Offer) {
    let Some(App { mut socket, carried, .. }) = take(offer, Buffers::Usual).await else { return };
    let echo = async {
        let (mut heard, mut said) = socket.split();
        // A connection that breaks is a test's own business.
        if tokio::io::copy(&mut heard, &mut said).await.is_ok() {
            let _ = said.shutdown().await;
        }
    };
    let _ = tokio::join!(echo, carried);
}

/// An application that was connected to.
#[derive(Debug)]
pub(super) struct Taken {
    /// On which tunnel, counted from 0.
    pub(super) tunnel: usize,
    pub(super) callee: Callee,
}

/// Gives the applications that are connected to away.
pub(super) fn giving_to(taken: mpsc::UnboundedSender<Taken>, buffers: Buffers) -> impl Responds {
    move |offer| -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let (taken, tunnel) = (taken.clone(), TUNNEL.try_with(|number| *number).unwrap_or(0));
        Box::pin(async move {
            if let Some(callee) = take(offer, buffers).await {
                // The test may be over.
                let _ = taken.send(Taken { tunnel, callee });
            }
        })
    }
}
