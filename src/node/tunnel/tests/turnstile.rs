//! Streams that are asked for begin one by one.

use super::*;

#[tokio::test]
async fn bytes_do_not_wait_for_streams_that_have_not_had_their_turn() {
    let mut net = Net::start().await;
    let peer = net.server.limits.peer(net.key.source);
    let closed = peer.turnstile.closed().await;
    let (mut caller, mut callee) = net.connect().await;
    let (pool, key) = (net.pool.clone(), net.key.clone());
    let next = tokio::spawn(async move { open(&pool, &key).await });
    for said in ["one", "two"] {
        caller.says(said).await;
        callee.hears(said).await;
        callee.says(said).await;
        caller.hears(said).await;
    }
    assert_eq!(net.server.tunnels(), 1);
    assert!(!next.is_finished(), "it has not had its turn");
    drop(closed);
    let _opened = soon(next).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_taken_back_before_its_turn_is_never_begun() {
    let mut net = Net::start().await;
    let peer = net.server.limits.peer(net.key.source);
    let closed = peer.turnstile.closed().await;
    let (mut caller, mut callee) = net.connect().await;
    let (app, near) = pair(net.buffers).await;
    let (pool, key) = (net.pool.clone(), net.key.clone());
    let asks = tokio::spawn(async move { app::begin(&pool, &key, near, &Arc::default()).await.map(drop) });
    for said in ["asked", "for"] {
        caller.says(said).await;
        callee.hears(said).await;
        callee.says(said).await;
        caller.hears(said).await;
    }
    culvert_sys::tcp::reset_on_close(&app).unwrap();
    drop(app);
    assert!(soon(asks).await.unwrap().is_err());
    caller.says("taken back").await;
    callee.hears("taken back").await;
    drop(closed);
    let (mut other, mut others) = net.connect().await;
    other.says("hello").await;
    others.hears("hello").await;
    assert!(net.taken.try_recv().is_err(), "nothing else was begun");
}
