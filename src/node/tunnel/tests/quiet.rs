//! Tunnels on which nothing is said.

use super::peer::{ACK, EARLY, PING, Script};

#[tokio::test]
async fn a_peer_that_is_quiet_is_asked_whether_it_is_there() {
    let script = Script::new().await;
    let (mut peer, mut caller) = script.established(EARLY).await;
    let frame = peer.any_frame().await;
    assert_eq!((frame.kind, frame.flags), (PING, 0));
    peer.sends(PING, ACK, 0, &frame.payload).await;
    caller.says("still here").await;
    peer.hears(1, b"still here").await;
}
