//! The list of tunnels at both ends: what is on it, and for how long.

use super::*;
use crate::ledger::tunnels::Tunnel;
use crate::ledger::{Direction, OnTunnel};

/// The only one there is.
fn only(listed: &Tunnels) -> Arc<Tunnel> {
    let [tunnel] = listed.list().try_into().expect("there is one");
    tunnel
}

#[tokio::test]
async fn a_tunnel_is_listed_at_both_ends_for_as_long_as_it_lives() {
    let mut net = Net::start().await;
    assert_eq!((net.listed.open(), net.server.listed.open()), (0, 0));
    let (caller, callee) = net.connect().await;
    let (ours, theirs) = (only(&net.listed), only(&net.server.listed));
    assert_eq!((ours.direction, theirs.direction), (Direction::Outbound, Direction::Inbound));
    assert_eq!((&ours.identity, &ours.peer_identity), (&account("client"), &account("web")));
    assert_eq!((&theirs.identity, &theirs.peer_identity), (&account("web"), &account("client")));
    assert_eq!((ours.peer(), ours.local()), (Some(net.server.address), theirs.peer()));
    assert_eq!(theirs.local(), ours.peer());
    assert_eq!(
        (ours.tls, ours.tls.version(), ours.tls.group()),
        (theirs.tls, "TLSv1_3", Some("X25519MLKEM768"))
    );
    assert!(ours.tls.cipher().starts_with("TLS13_AES_"), "{}", ours.tls.cipher());
    assert_eq!(caller.carried.place.tunnel(), OnTunnel { id: ours.id, tls: ours.tls });
    assert_eq!((ours.name().len(), net.listed.find(ours.id).is_some()), (16, true));
    assert_eq!((ours.gauge.state(), ours.gauge.streams(), theirs.gauge.streams()), (TunnelState::Open, 1, 1));
    assert_eq!(theirs.gauge.capacity(), 200);

    let (another, another_callee) = net.connect().await;
    assert_eq!((net.listed.open(), another.carried.place.tunnel().id), (1, ours.id));
    until("both are counted", || ours.gauge.streams() == 2 && theirs.gauge.streams() == 2).await;
    drop((another, another_callee));
    until("one has gone", || ours.gauge.streams() == 1 && theirs.gauge.streams() == 1).await;

    let drain = net.server.drain();
    let drained = tokio::spawn(drain.drain(Duration::from_secs(20)));
    until("it says that it takes no more", || ours.gauge.state() == TunnelState::Leaving).await;
    assert_eq!((net.listed.open(), net.server.listed.open()), (1, 1), "it has a stream");
    drop((caller, callee));
    until("it is over", || net.listed.open() == 0 && net.server.listed.open() == 0).await;
    assert!(soon(drained).await.unwrap(), "in order");
}

#[tokio::test]
async fn a_tunnel_that_is_lost_is_on_no_list() {
    let mut net = Net::start().await;
    let ends = net.connect().await;
    let (seen, _there) = (only(&net.listed), only(&net.server.listed));
    net.server.drain().cut().await;
    until("it is over", || net.listed.open() == 0 && net.server.listed.open() == 0).await;
    drop((ends, net.pool));
    assert_eq!(Arc::strong_count(&seen), 1, "nobody else keeps what was listed");
}
