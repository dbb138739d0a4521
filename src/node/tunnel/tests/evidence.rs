//! What is known of a connection when it is over: who ended it, and the state of the network then.

use super::app::Settles;
use super::*;

/// Who has ended it, as each node sees it: the nearer one first.
fn closers(moved: &[Arc<Moved>; 2]) -> [Option<Closer>; 2] {
    moved.each_ref().map(|moved| moved.ends().closed_by)
}

async fn over<A: Settles, B: Settles>(
    first: App<A>,
    second: App<B>,
) -> ([Arc<Moved>; 2], [Result<(), Early>; 2]) {
    let moved = [Arc::clone(&first.moved), Arc::clone(&second.moved)];
    (moved, [first.result().await, second.result().await])
}

async fn ends_first<A: Settles, B: Settles>(mut first: App<A>, mut second: App<B>) -> [Arc<Moved>; 2] {
    first.ends().await;
    second.hears_the_end().await;
    second.ends().await;
    first.hears_the_end().await;
    let (moved, results) = over(first, second).await;
    assert_eq!(results, [Ok(()), Ok(())]);
    moved
}

#[tokio::test]
async fn whoever_ends_first_is_known_at_both_ends() {
    let mut net = Net::start().await;
    let (caller, callee) = net.connect().await;
    assert_eq!(closers(&ends_first(caller, callee).await), [Some(Closer::Client); 2]);
    let (caller, callee) = net.connect().await;
    assert_eq!(closers(&ends_first(callee, caller).await), [Some(Closer::Server); 2]);
}

async fn resets_first<A: Settles, B: Settles>(
    first: App<A>,
    mut second: App<B>,
) -> ([Arc<Moved>; 2], [Broken; 2]) {
    let moved = [Arc::clone(&first.moved), Arc::clone(&second.moved)];
    let carried = first.resets();
    second.hears_a_reset().await;
    let (near, far) = (soon(carried.settles()).await.unwrap_err(), second.result().await.unwrap_err());
    (moved, [near, far].map(|early| early.broken().clone()))
}

#[tokio::test]
async fn an_applications_reset_is_told_from_a_cut_at_both_ends() {
    let application = [Broken::Reset(Reset::Socket), Broken::Reset(Reset::Application)];
    let mut net = Net::start().await;
    let (caller, callee) = net.connect().await;
    let (moved, how) = resets_first(caller, callee).await;
    assert_eq!((closers(&moved), &how), ([Some(Closer::Client); 2], &application));
    let (caller, callee) = net.connect().await;
    let (moved, how) = resets_first(callee, caller).await;
    assert_eq!((closers(&moved), &how), ([Some(Closer::Server); 2], &application));

    let cut = Broken::Reset(Reset::Cancelled);
    let (App { carried, moved: here, .. }, callee) = net.connect().await;
    drop(carried);
    assert_eq!((callee.moved.ends().closed_by, here.ends().closed_by), (None, None), "nobody has ended it");
    let there = Arc::clone(&callee.moved);
    assert_eq!(callee.result().await, Err(Early::Client(cut.clone())));
    assert_eq!(closers(&[here, there]), [None, Some(Closer::Client)]);
    let (caller, App { carried, moved: here, .. }) = net.connect().await;
    drop(carried);
    let there = Arc::clone(&caller.moved);
    assert_eq!(caller.result().await, Err(Early::Server(cut)));
    assert_eq!(closers(&[here, there]), [None, Some(Closer::Server)]);
}

#[tokio::test]
async fn a_tunnel_that_was_ended_is_told_from_one_that_is_lost() {
    let mut net = Net::start().await;
    let (caller, callee) = net.connect().await;
    net.server.drain().cut().await;
    let (moved, [result, _]) = over(caller, callee).await;
    assert_eq!(result, Err(Early::Server(Broken::Tunnel(Loss::Closed))));
    assert_eq!(closers(&moved)[0], Some(Closer::Server));
}

#[tokio::test]
async fn both_sockets_are_looked_at_before_they_are_closed() {
    let mut net = Net::start().await;
    let (mut caller, mut callee) = net.connect().await;
    caller.says([7; 5000]).await;
    callee.hears([7; 5000]).await;
    callee.says([7; 300]).await;
    caller.hears([7; 300]).await;
    assert_eq!(caller.moved.ends().near, None, "it is not over");
    let moved = ends_first(caller, callee).await;
    let [caller, callee] = moved.map(|moved| moved.ends());
    let near = [caller, callee].map(|ends| ends.near.unwrap());
    assert_eq!(near.map(|info| info.bytes_received), [5000 + 1, 300 + 1].map(|with_fin| with_fin));
    for far in [caller, callee].map(|ends| ends.far.unwrap()) {
        assert!(far.rtt > 0 && far.bytes_received > 300, "{far:?}");
        assert_eq!(far.retransmits, 0);
    }
}
