//! Peers that go without a word, while others want to be carried to them.

use super::app::begin;
use super::cable::{Cable, How};
use super::*;
use crate::tunnel::client::NotCarried;

/// How long connections here wait for a tunnel.
const PATIENCE: Duration = Duration::from_millis(500);

/// A server, its cable, and a tunnel through it that works.
async fn over_a_cable() -> (Server, Cable, Pool, Key) {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, echo).await;
    let cable = Cable::to(server.address).await;
    let (pool, key) = (pool(&authority, config(&[]).tunnel), key_of(cable.address));
    open(&pool, &key).await.unwrap().echoes("it works").await;
    (server, cable, pool, key)
}

async fn carry_for_a_moment(pool: &Pool, key: &Key) -> Result<Opened, NotCarried> {
    let (_, near) = pair(Buffers::Usual).await;
    soon(pool.carry((key, PATIENCE), connect(), (near.into(), Vec::new()), &Arc::default())).await
}

#[tokio::test]
async fn a_tunnel_whose_peer_seems_to_have_gone_takes_nobody_new_until_it_is_heard_again() {
    let (server, cable, pool, key) = over_a_cable().await;
    cable.is(How::Stuck);
    // The first one cannot know.
    let first = tokio::spawn({
        let (pool, key) = (pool.clone(), key.clone());
        async move {
            let (socket, near) = pair(Buffers::Usual).await;
            let moved = Arc::default();
            begin(&pool, &key, near, &moved).await.map(|carried| App { socket, carried, moved })
        }
    });
    // It takes a second to be in doubt.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    for _ in 0..3 {
        let NotCarried { error, again, .. } = carry_for_a_moment(&pool, &key).await.unwrap_err();
        // Another tunnel is tried, and is not up in time.
        assert!(matches!(error, Error::OutOfPatience { .. }), "{error}");
        assert!(again.is_some());
    }
    cable.is(How::Passing);
    let mut first = soon(first).await.unwrap().unwrap();
    first.echoes("heard again").await;
    let before = server.tunnels();
    open(&pool, &key).await.unwrap().echoes("welcome").await;
    assert_eq!(server.tunnels(), before, "there is no need for yet another tunnel");
}

#[tokio::test]
async fn a_peer_that_takes_long_to_answer_is_not_in_doubt_as_long_as_it_is_there() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, |offer: Offer| async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        echo(offer).await;
    })
    .await;
    let (pool, key) = (pool(&authority, config(&[]).tunnel), key(&server));
    let mut callers = tokio::task::JoinSet::new();
    for nth in 0..6 {
        let (pool, key) = (pool.clone(), key.clone());
        callers.spawn(async move {
            tokio::time::sleep(Duration::from_millis(500) * nth).await;
            open(&pool, &key).await.unwrap().echoes("at last").await;
        });
    }
    soon(callers.join_all()).await;
    assert_eq!(server.tunnels(), 1);
}

#[tokio::test]
async fn who_has_said_nothing_is_carried_again_when_its_tunnel_turns_out_to_be_gone() {
    let (server, cable, pool, key) = over_a_cable().await;
    cable.is(How::Stuck);
    let opening = tokio::spawn({
        let (pool, key) = (pool.clone(), key.clone());
        async move { open(&pool, &key).await.unwrap().echoes("a new one").await }
    });
    // Its CONNECT is on the way when the peer's kernel says that there is no such connection.
    tokio::time::sleep(Duration::from_millis(100)).await;
    cable.is(How::Reset);
    // The cable of the old tunnel gets to know; the new one is not there yet.
    tokio::task::yield_now().await;
    cable.is(How::Passing);
    soon(opening).await.unwrap();
    assert_eq!(server.tunnels(), 2);
}
