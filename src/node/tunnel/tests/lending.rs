//! Who has a large buffer for what it sends, and for how long.

use culvert_core::tunnel::http2::Role;
use culvert_tls::Handshake;
use tokio::task::JoinSet;

use super::super::driver::{Driver, Step, Terms};
use super::super::handshake;
use super::super::inbox::Inbox;
use super::cable::{Cable, How};
use super::*;
use crate::limits::OfPod;
use crate::limits::tests::all_outputs;

/// A tunnel whose network can be stuck, and what its server's pod has.
async fn through_a_cable(buffers: Buffers) -> (Net, Cable, Arc<OfPod>) {
    let mut net = Net::with(&[], buffers).await;
    let cable = Cable::to(net.server.address).await;
    net.key = key_of(cable.address);
    let limits = Arc::clone(&net.server.limits);
    (net, cable, limits)
}

/// More windows than sockets hold.
async fn many(net: &mut Net) -> (Vec<Caller>, Vec<Callee>) {
    let mut all = (Vec::new(), Vec::new());
    for _ in 0..30 {
        let (caller, callee) = net.connect().await;
        all.0.push(caller);
        all.1.push(callee);
    }
    all
}

/// Callees that each say as much, and hold their connections open.
fn all_say(callees: Vec<Callee>, what: &[u8]) -> JoinSet<Callee> {
    let mut saying = JoinSet::new();
    for mut callee in callees {
        let what = what.to_vec();
        saying.spawn(async move {
            // A tunnel that is lost takes no more; what came is for who hears it to say.
            let _ = callee.socket.write_all(&what).await;
            callee
        });
    }
    saying
}

async fn is_stuck(limits: &OfPod) {
    until("the tunnel holds what it cannot send", || limits.large_outputs() == 1).await;
}

#[tokio::test]
async fn it_is_had_while_the_network_takes_nothing_and_no_longer() {
    let (mut net, cable, limits) = through_a_cable(Buffers::Small).await;
    let (callers, callees) = many(&mut net).await;
    until("nothing is sent", || limits.large_outputs() == 0).await;
    cable.is(How::Stuck);
    let said = noise(1, 300_000);
    let saying = all_say(callees, &said);
    is_stuck(&limits).await;
    cable.is(How::Passing);
    let mut hearing = JoinSet::new();
    for mut caller in callers {
        let said = said.clone();
        hearing.spawn(async move {
            caller.hears(&said).await;
            caller
        });
    }
    let kept = (soon(hearing.join_all()).await, soon(saying.join_all()).await);
    until("all was sent", || limits.large_outputs() == 0).await;
    drop(kept);
}

/// Bulk goes on where there is a large one at one time and none at another.
#[tokio::test]
async fn without_one_a_tunnel_goes_on_with_a_small_one() {
    const ROUNDS: usize = 8;
    const LENGTH: usize = 3_000_000;
    let mut net = Net::start().await;
    let limits = Arc::clone(&net.server.limits);
    let (mut caller, callee) = net.connect().await;
    let said = noise(1, 2 * ROUNDS * LENGTH);
    let saying = all_say(vec![callee], &said);
    for both in said.chunks(2 * LENGTH) {
        let (with, without) = both.split_at(LENGTH);
        caller.hears(with).await;
        let held = all_outputs(&limits);
        until("others have all there are", || limits.large_outputs() == held.len() as u64).await;
        caller.hears(without).await;
        assert_eq!(limits.large_outputs(), held.len() as u64);
    }
    let mut callee = soon(saying.join_all()).await.pop().unwrap();
    let held = all_outputs(&limits);
    caller.says("and the other way").await;
    callee.hears("and the other way").await;
    callee.says("answered").await;
    caller.hears("answered").await;
    drop(held);
    caller.ends().await;
    callee.ends().await;
    assert_eq!((caller.result().await, callee.result().await), (Ok(()), Ok(())));
}

#[tokio::test]
async fn a_tunnel_that_is_dropped_gives_it_back() {
    let (mut net, cable, limits) = through_a_cable(Buffers::Small).await;
    let (_callers, callees) = many(&mut net).await;
    cable.is(How::Stuck);
    let _saying = all_say(callees, &noise(1, 300_000));
    is_stuck(&limits).await;
    drop(net);
    until("it is gone", || limits.large_outputs() == 0).await;
}

#[tokio::test]
async fn a_tunnel_that_is_lost_gives_it_back_while_it_delivers_the_rest() {
    let (mut net, cable, limits) = through_a_cable(Buffers::Tiny).await;
    let (mut caller, mut callee) = net.connect().await;
    let question = noise(1, 15_000);
    caller.says(&question).await;
    caller.ends().await;
    callee.says("answered before all was read").await;
    callee.ends().await;
    caller.hears_all("answered before all was read").await;
    let (_callers, callees) = many(&mut net).await;
    cable.is(How::Stuck);
    let _saying = all_say(callees, &noise(2, 300_000));
    is_stuck(&limits).await;
    cable.is(How::Reset);
    until("nobody will take it", || limits.large_outputs() == 0).await;
    callee.hears_all(&question).await;
    assert_eq!(callee.result().await, Ok(()));
}

/// Who is told something may come back after long: until then others may have it.
#[tokio::test]
async fn a_tunnel_that_has_something_to_tell_holds_none() {
    let authority = TestAuthority::new("one");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (pool, key) = (pool(&authority, config(&[]).tunnel), key_of(listener.local_addr().unwrap()));
    let caller = tokio::spawn(async move { open(&pool, &key).await.map(drop) });
    let (tcp, _) = soon(listener.accept()).await.unwrap();
    let certificate = authority.good(&account("web"));
    let handshake = Handshake::server(certificate.server_config()).unwrap();
    let begun = soon(handshake::run(tcp.into(), handshake)).await.unwrap();
    let begun = begun.begin(Role::Server, limits(Role::Server, &config(&[]).tunnel));
    let pod = crate::limits::tests::alone();
    let terms = Terms { idle: None, half_closed_probe: None, account: pod.account(By::Pod) };
    let mut driver = Driver::new(Role::Server, begun, Arc::new(Inbox::default()), terms);
    let Step::Offers(offers) = soon(driver.step()).await else { panic!("the peer asks for a stream") };
    assert_eq!((offers.len(), pod.large_outputs()), (1, 0));
    caller.abort();
}
