//! Both ends of tunnels against each other, over real TCP and TLS on loopback. The tests are the applications at both ends, and
//! what is between the nodes.

mod app;
mod bulk;
mod cable;
mod doubt;
mod early;
mod ends;
mod evidence;
mod far;
mod lending;
mod lifetime;
mod listed;
mod lost;
mod nested;
mod overfull;
mod patience;
mod peer;
mod pressure;
mod quiet;
mod refused;
mod resets;
mod revoked;
mod sharing;
mod taken_back;
mod turnstile;
mod waiting;
mod wakeups;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::client::Establish;
use super::pool::{Opened, Pool};
use super::server::{self, Offer};
use super::*;
use crate::config::{Config, Environment, TunnelConfig};
use crate::deliver::dial::Dialer;
use crate::drain::{self, Drain, Guard};
use crate::identity::testing::{TestAuthority, account};
use crate::identity::{Certificate, Identities, Trust};
use crate::ledger::tunnels::Tunnels;
use crate::limits::{Account, By};
use crate::stream::{Broken, Closer, Loss, Moved, Reset};
use crate::tasks::Tasks;
use app::{App, Buffers, Callee, Caller, carry, open, pair};
use far::{Server, Taken, echo, giving_to, take};

fn config(set: &[(&'static str, &'static str)]) -> Config {
    let base = [("LOCAL_XDS", "workloads: []"), ("CA_ADDRESS", "unused:1"), ("PACKET_MARK", "0")];
    Config::read(&Environment::of(base.iter().chain(set).copied())).unwrap_or_else(|error| panic!("{error}"))
}

fn pool(authority: &TestAuthority, tunnel: TunnelConfig) -> Pool {
    pool_trusting(authority, Trust::default(), tunnel)
}

fn pool_trusting(authority: &TestAuthority, trust: Trust, tunnel: TunnelConfig) -> Pool {
    pool_of(Identities::new(authority.clone(), trust), tunnel)
}

fn pool_of(identities: Identities, tunnel: TunnelConfig) -> Pool {
    pool_listed(identities, tunnel, Tunnels::default())
}

fn pool_listed(identities: Identities, tunnel: TunnelConfig, tunnels: Tunnels) -> Pool {
    let socket = config(&[]).socket;
    Pool::new(Establish {
        identities,
        dialer: Dialer::new(None, socket),
        config: tunnel,
        tunnels,
        limits: crate::limits::tests::alone(),
    })
}

/// Of a pod that no other is beside.
fn of_a_pod() -> Arc<Account> {
    crate::limits::tests::alone().account(By::Pod)
}

fn key(server: &Server) -> Key {
    key_of(server.address)
}

fn key_of(peer: SocketAddr) -> Key {
    let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let (identity, expected) = (account("client"), vec![account("web")]);
    Key { identity, expected, peer, workload: "web".into(), incarnation: 0, source }
}

fn connect() -> Connect {
    let mut fields = Fields::default();
    fields.add(b"forwarded", b"for=\"10.0.0.2:4000\"");
    Connect { authority: "10.0.0.1:80".into(), fields, waiting: None }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("in time")
}

/// Waits until something is so that nobody tells of.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let look = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), look).await.unwrap_or_else(|_| panic!("{what}"));
}

/// Bytes without a pattern, the same for the same seed.
fn noise(seed: usize, length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed as u64 + 1) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(&mut next).take(length).collect()
}

/// A client and a server, with the applications at both ends.
struct Net {
    server: Server,
    taken: mpsc::UnboundedReceiver<Taken>,
    pool: Pool,
    /// The pool's tunnels.
    listed: Tunnels,
    key: Key,
    buffers: Buffers,
}

impl Net {
    async fn start() -> Self {
        Self::with(&[], Buffers::Usual).await
    }

    async fn with(client: &[(&'static str, &'static str)], buffers: Buffers) -> Self {
        let authority = TestAuthority::new("one");
        let (taking, taken) = mpsc::unbounded_channel();
        let certificate = authority.good(&account("web"));
        let server = Server::on(buffers.listener(), certificate, giving_to(taking, buffers));
        let (listed, key) = (Tunnels::default(), key(&server));
        let identities = Identities::new(authority.clone(), Trust::default());
        let pool = pool_listed(identities, config(client).tunnel, listed.clone());
        Self { server, taken, pool, listed, key, buffers }
    }

    /// One more connection.
    async fn connect(&mut self) -> (Caller, Callee) {
        let (caller, taken) = self.connect_on().await;
        (caller, taken.callee)
    }

    /// One more connection, and on which tunnel it is.
    async fn connect_on(&mut self) -> (Caller, Taken) {
        let ends = pair(self.buffers).await;
        let caller = carry(&self.pool, &self.key, ends).await.unwrap();
        (caller, soon(self.taken.recv()).await.unwrap())
    }
}
