//! How tunnels end: unused, drained, cut, and with an expired certificate.

use super::cable::{Cable, How};
use super::*;

#[tokio::test]
async fn after_a_goaway_the_next_stream_takes_a_new_tunnel_and_the_old_one_finishes() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, echo).await;
    let (pool, key) = (pool(&authority, config(&[]).tunnel), key(&server));
    let mut old = open(&pool, &key).await.unwrap();
    let draining = tokio::spawn(server.drain().drain(Duration::from_secs(20)));
    soon(async {
        while server.tunnels() == 1 {
            drop(open(&pool, &key).await.unwrap());
        }
    })
    .await;
    old.echoes("still here").await;
    old.ends().await;
    old.hears_the_end().await;
    assert_eq!(old.result().await, Ok(()));
    assert!(soon(draining).await.unwrap(), "the drain ends by itself");
}

#[tokio::test]
async fn a_cut_tunnel_resets_the_applications_at_both_ends() {
    let mut net = Net::start().await;
    let (mut caller, mut callee) = net.connect().await;
    caller.says("hello").await;
    callee.hears("hello").await;
    soon(net.server.drain().cut()).await;
    callee.hears_a_reset().await;
    caller.hears_a_reset().await;
    assert!(matches!(callee.result().await, Err(Early::Client(Broken::Tunnel(_)))));
    assert!(matches!(caller.result().await, Err(Early::Server(_))));
}

#[tokio::test]
async fn a_tunnel_without_streams_is_let_go() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, echo).await;
    let pool = pool(&authority, config(&[("POOL_UNUSED_RELEASE_TIMEOUT", "100ms")]).tunnel);
    let key = key(&server);
    let mut caller = open(&pool, &key).await.unwrap();
    caller.echoes("one").await;
    // The guard of a tunnel's serving task is gone exactly when the tunnel is.
    let gone = tokio::spawn(server.drain().drain(Duration::from_secs(20)));
    drop(caller);
    assert!(soon(gone).await.unwrap());
    open(&pool, &key).await.unwrap();
    assert_eq!(server.tunnels(), 2);
}

#[tokio::test]
async fn a_tunnel_with_a_stream_is_not_let_go_however_quiet_it_is() {
    const IDLE: Duration = Duration::from_millis(50);
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, echo).await;
    let pool = pool(&authority, config(&[("POOL_UNUSED_RELEASE_TIMEOUT", "50ms")]).tunnel);
    let mut quiet = open(&pool, &key(&server)).await.unwrap();
    // The time is what is tested; it can only be too long.
    tokio::time::sleep(IDLE * 10).await;
    quiet.echoes("still here").await;
    open(&pool, &key(&server)).await.unwrap();
    assert_eq!(server.tunnels(), 1);
}

#[tokio::test]
async fn the_tunnels_of_a_pod_end_with_its_pool() {
    let Net { pool, server, mut taken, key, .. } = Net::start().await;
    let mut caller = open(&pool, &key).await.unwrap();
    let mut callee = soon(taken.recv()).await.unwrap().callee;
    drop(pool);
    caller.hears_a_reset().await;
    callee.hears_a_reset().await;
    assert!(caller.result().await.is_err() && callee.result().await.is_err());
    assert!(soon(server.drain().drain(Duration::from_secs(20))).await);
}

#[tokio::test]
async fn a_pool_that_leaves_first_says_what_is_left_to_say() {
    const CONNECTIONS: usize = 100;
    const SAID: usize = 30_000;
    let mut net = Net::start().await;
    let cable = Cable::to(net.server.address).await;
    net.key = key_of(cable.address);
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let (caller, mut callee) = net.connect().await;
        callee.ends().await;
        connections.push((caller, callee));
    }
    for (caller, _) in &mut connections {
        caller.hears_the_end().await;
    }
    // More than the network holds.
    cable.is(How::Stuck);
    let mut callees = Vec::new();
    for (seed, (mut caller, callee)) in connections.into_iter().enumerate() {
        caller.says(noise(seed, SAID)).await;
        caller.ends().await;
        assert_eq!(caller.result().await, Ok(()), "as far as the application's side goes");
        callees.push(callee);
    }
    let Net { pool, server: _server, .. } = net;
    let left = tokio::spawn(async move { pool.leave().await });
    cable.is(How::Passing);
    soon(left).await.unwrap();
    for (seed, mut callee) in callees.into_iter().enumerate() {
        callee.hears_all(noise(seed, SAID)).await;
        assert_eq!(callee.result().await, Ok(()));
    }
}

#[tokio::test]
async fn after_a_certificate_has_expired_old_streams_go_on_and_new_ones_need_a_new_tunnel() {
    let authority = TestAuthority::new("one");
    let brief = authority.brief(&account("web"), Duration::from_secs(3));
    let server = Server::presenting(brief, echo).await;
    let pool = pool(&authority, config(&[]).tunnel);
    let mut old = open(&pool, &key(&server)).await.unwrap();
    let refused = soon(async {
        loop {
            match open(&pool, &key(&server)).await {
                Ok(mut caller) => {
                    caller.echoes("new").await;
                    caller.ends().await;
                    caller.hears_the_end().await;
                }
                Err(error) => return error,
            }
        }
    });
    let error = refused.await;
    assert_eq!(error.flag(), Flag::TlsFailure, "the new handshake sees that it is expired: {error}");
    old.echoes("still here").await;
}
