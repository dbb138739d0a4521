//! How long a connection waits for a tunnel, and whom that is held against.

use super::app::pair;
use super::*;
use crate::identity::issuer::{Authority, Issuing};
use crate::tunnel::client::NotCarried;

/// How long the connections here wait, and how much longer other things take.
const PATIENCE: Duration = Duration::from_millis(300);

/// Issues nothing before it is asked to.
#[derive(Clone)]
struct Slow(TestAuthority, Arc<tokio::sync::Notify>);

impl Authority for Slow {
    fn issue<'a>(&'a self, id: &'a SpiffeId) -> Issuing<'a> {
        Box::pin(async move {
            self.1.notified().await;
            Ok(self.0.good(id))
        })
    }
}

async fn carry(pool: &Pool, key: &Key) -> Result<Opened, NotCarried> {
    let (_, near) = pair(Buffers::Usual).await;
    soon(pool.carry((key, PATIENCE), connect(), (near.into(), Vec::new()), &Arc::default())).await
}

#[tokio::test]
async fn waiting_for_our_own_certificate_is_not_held_against_the_peer() {
    let (authority, issue) = (TestAuthority::new("one"), Arc::new(tokio::sync::Notify::new()));
    let server = Server::start(&authority, echo).await;
    let identities = Identities::new(Slow(authority, Arc::clone(&issue)), Trust::default());
    let (pool, key) = (pool_of(identities, config(&[]).tunnel), key(&server));
    let carried = tokio::spawn({
        let pool = pool.clone();
        async move { carry(&pool, &key).await.map(drop).map_err(|failed| failed.error) }
    });
    tokio::time::sleep(PATIENCE * 3).await;
    issue.notify_waiters();
    soon(carried).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_peer_that_accepts_and_says_nothing_is_given_up() {
    let pool = pool(&TestAuthority::new("one"), config(&[]).tunnel);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let NotCarried { error, again, .. } =
        carry(&pool, &key_of(silent.local_addr().unwrap())).await.unwrap_err();
    assert!(matches!(error, Error::OutOfPatience { connected: true, .. }), "{error}");
    assert_eq!((error.flag(), error.is_of_the_peer(), again.is_some()), (Flag::Connect, true, true));
}

#[tokio::test]
async fn packets_that_are_dropped_look_like_a_network_policy() {
    let pool = pool(&TestAuthority::new("one"), config(&[]).tunnel);
    // A listener whose queue is full lets the kernel drop what else comes.
    let full = tokio::net::TcpSocket::new_v4().unwrap();
    full.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let full = full.listen(0).unwrap();
    let at = full.local_addr().unwrap();
    let _first = soon(TcpStream::connect(at)).await.unwrap();
    let NotCarried { error, again, .. } = carry(&pool, &key_of(at)).await.unwrap_err();
    assert!(matches!(error, Error::OutOfPatience { connected: false, .. }), "{error}");
    assert_eq!((error.flag(), error.is_of_the_peer(), again.is_some()), (Flag::NetworkPolicy, true, true));
}

#[tokio::test]
async fn the_patience_of_one_connection_is_for_all_tunnels_it_tries() {
    let authority = TestAuthority::new("one");
    // Each tunnel comes up and closes at once, so that there is always another one to try.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let key = key_of(listener.local_addr().unwrap());
    let certificate = Arc::new(authority.good(&account("web")));
    let closing = Tasks::default();
    closing.spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::time::sleep(PATIENCE * 9 / 10).await;
            drop(
                server::accept(tcp, &certificate, &config(&[]).tunnel, &Tunnels::default(), of_a_pod()).await,
            );
        }
    });
    let pool = pool(&authority, config(&[]).tunnel);
    let began = tokio::time::Instant::now();
    let carried = carry(&pool, &key).await;
    assert!(carried.is_err());
    assert!(began.elapsed() < PATIENCE * 2, "{:?}", began.elapsed());
}
