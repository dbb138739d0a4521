//! Bytes that no application takes, where there is no memory left for them.

use super::app::begin;
use super::cable::{Cable, How};
use super::early::offers;
use super::*;
use crate::limits::tests::{fill, in_use};
use crate::limits::{Exceeded, Limit};

/// Less than a connection comes to that nobody reads.
const LITTLE: u64 = 20_000;

const OVERFULL: Exceeded = Exceeded(Limit::BufferedBytesOfPod);

fn kept(net: &Net) -> u64 {
    in_use(&net.server.limits, Limit::BufferedBytesOfPod)
}

/// Says something that nobody reads, until it is more than the kernel takes, and the rest is kept.
async fn overfills(net: &Net, caller: &mut Caller) -> usize {
    let chunk = vec![7; 16 * 1024];
    let mut all = 0;
    let fill = async {
        while kept(net) == 0 {
            let said = tokio::time::timeout(Duration::from_millis(20), caller.socket.write(&chunk)).await;
            all += said.map_or(0, Result::unwrap);
        }
    };
    soon(fill).await;
    all
}

#[tokio::test]
async fn a_connection_whose_bytes_have_no_place_is_reset_at_both_ends_and_the_others_go_on() {
    let mut net = Net::with(&[], Buffers::Small).await;
    let (mut caller, callee) = net.connect().await;
    let (mut lively, mut reader) = net.connect().await;
    let others = fill(&net.server.limits, LITTLE);
    let before = kept(&net);
    let said = vec![7; 1 << 20];
    // How much of it goes is not the point.
    let _ = tokio::time::timeout(Duration::from_secs(20), caller.socket.write_all(&said)).await;
    caller.notices_a_reset().await;
    assert_eq!(caller.result().await, Err(Early::Server(Broken::Reset(Reset::Overfull))));
    let App { mut socket, carried, .. } = callee;
    assert_eq!(soon(carried).await, Err(Early::Server(Broken::Overfull(OVERFULL))));
    let mut heard = Vec::new();
    let error = soon(socket.read_to_end(&mut heard)).await.expect_err("it is reset, not ended");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(heard.len() < said.len(), "what had no place was not kept");
    assert_eq!(kept(&net), before, "nothing of it stays");
    for _ in 0..50 {
        lively.says("of the same tunnel").await;
        reader.hears("of the same tunnel").await;
    }
    assert_eq!(net.server.tunnels(), 1);
    drop(others);
}

#[tokio::test]
async fn what_is_kept_is_counted_until_it_is_taken() {
    let mut net = Net::with(&[], Buffers::Small).await;
    let (mut caller, mut callee) = net.connect().await;
    caller.says("taken at once").await;
    callee.hears("taken at once").await;
    assert_eq!(kept(&net), 0);
    let said = overfills(&net, &mut caller).await;
    assert_eq!(in_use(&net.server.limits, Limit::BufferedBytesOfPeer), kept(&net));
    caller.ends().await;
    callee.hears_all(vec![7; said]).await;
    until("nothing is kept any more", || kept(&net) == 0).await;
}

#[tokio::test]
async fn what_has_come_whole_is_counted_until_it_is_taken_though_its_tunnel_is_lost() {
    // More than the kernel takes, and less than the window of a stream that has just begun.
    const SOME: usize = 25_000;
    let mut net = Net::with(&[], Buffers::Tiny).await;
    let cable = Cable::to(net.server.address).await;
    net.key = key_of(cable.address);
    let ((mut caller, mut callee), (mut next, mut last)) = (net.connect().await, net.connect().await);
    callee.ends().await;
    caller.hears_the_end().await;
    caller.says([7; SOME]).await;
    caller.ends().await;
    assert_eq!(caller.result().await, Ok(()));
    // What was sent before this has come when this has.
    next.says("last").await;
    last.hears("last").await;
    cable.is(How::Reset);
    last.hears_a_reset().await;
    assert!(kept(&net) > 0, "nobody has taken it");
    callee.hears_all([7; SOME]).await;
    until("nothing is kept any more", || kept(&net) == 0).await;
}

#[tokio::test]
async fn what_is_kept_of_a_tunnel_that_is_cut_is_given_back() {
    let mut net = Net::with(&[], Buffers::Small).await;
    let (mut caller, callee) = net.connect().await;
    overfills(&net, &mut caller).await;
    net.server.drain().drain(Duration::ZERO).await;
    until("nothing is kept any more", || kept(&net) == 0).await;
    drop((caller, callee));
}

#[tokio::test]
async fn a_connection_nobody_has_accepted_yet_is_given_up_with_the_reason() {
    let authority = TestAuthority::new("one");
    let (respond, mut offers) = offers();
    let server = Server::start(&authority, respond).await;
    let (pool, key) = (pool(&authority, config(&[]).tunnel), key(&server));
    // Whether the peer takes early data is known once the tunnel is up.
    let (first, offer) = tokio::join!(open(&pool, &key), async {
        take(soon(offers.recv()).await.unwrap(), Buffers::Usual).await
    });
    let others = fill(&server.limits, 100);
    for (said, expected) in [("more than is left: ".repeat(10), Some(OVERFULL)), (String::new(), None)] {
        let (mut app, near) = pair(Buffers::Usual).await;
        app.write_all(said.as_bytes()).await.unwrap();
        let moved = Arc::default();
        let asking = tokio::spawn({
            let (pool, key) = (pool.clone(), key.clone());
            async move { begin(&pool, &key, near, &moved).await.map(drop) }
        });
        let mut offer = soon(offers.recv()).await.unwrap();
        if said.is_empty() {
            culvert_sys::tcp::reset_on_close(&app).unwrap();
            drop(app);
        }
        assert_eq!(soon(offer.withdrawn()).await, expected);
        drop(offer);
        assert!(soon(asking).await.unwrap().is_err());
    }
    drop((first, offer, others));
}
