//! Tunnels that are lost while they carry something.

use super::cable::{Cable, How};
use super::peer::{DATA, EARLY, END_STREAM, NO_ERROR, PING, Script, WINDOW_UPDATE};
use super::*;

#[tokio::test]
async fn a_lost_tunnel_is_a_break_and_not_an_end() {
    let mut net = Net::start().await;
    let (mut caller, callee) = net.connect().await;
    drop(net.server);
    caller.hears_a_reset().await;
    let result = caller.result().await;
    assert!(matches!(result, Err(Early::Server(Broken::Reset(_) | Broken::Tunnel(_)))), "{result:?}");
    assert!(matches!(callee.result().await, Err(Early::Client(_))));
}

/// More than the kernel takes for an application that does not read, less than a window.
const SOME: usize = 25_000;

/// One that has been sent whole and is not read yet, one that waits for more, and one that is not answered.
async fn breaks_with(how: How) {
    let mut net = Net::with(&[], Buffers::Tiny).await;
    let cable = Cable::to(net.server.address).await;
    net.key = key_of(cable.address);
    let ((mut forth, mut forth_to), (mut back_to, mut back)) = (net.connect().await, net.connect().await);
    let (mut caller, mut callee) = net.connect().await;
    let (question, answer) = (noise(1, SOME), noise(2, SOME));
    // Whole both ways, as far as the side that speaks knows.
    forth_to.ends().await;
    forth.hears_the_end().await;
    forth.says(&question).await;
    forth.ends().await;
    back_to.ends().await;
    back.hears_the_end().await;
    back.says(&answer).await;
    back.ends().await;
    assert_eq!((forth.result().await, back.result().await), (Ok(()), Ok(())));
    // What was sent before this has come when this has.
    caller.says("hello").await;
    callee.hears("hello").await;
    callee.says("hello").await;
    caller.hears("hello").await;
    caller.says("last").await;
    callee.says("last").await;
    callee.hears("last").await;
    caller.hears("last").await;

    cable.is(how);
    caller.hears_a_reset().await;
    callee.hears_a_reset().await;
    assert!(matches!(caller.result().await, Err(Early::Server(_))));
    assert!(matches!(callee.result().await, Err(Early::Client(_))));
    forth_to.hears_all(&question).await;
    back_to.hears_all(&answer).await;
    let (forth, back) = (Arc::clone(&forth_to.moved), Arc::clone(&back_to.moved));
    assert_eq!((forth_to.result().await, back_to.result().await), (Ok(()), Ok(())));
    assert_eq!((forth.forth.bytes(), back.back.bytes()), (SOME as u64, SOME as u64));
}

#[tokio::test]
async fn when_a_tunnel_is_reset_what_had_come_whole_is_delivered_whole_and_the_rest_is_reset() {
    breaks_with(How::Reset).await;
}

#[tokio::test]
async fn when_a_tunnel_is_closed_without_a_word_it_is_the_same() {
    breaks_with(How::Closed).await;
}

#[tokio::test]
async fn what_arrived_is_delivered_after_the_tunnel_has_closed() {
    let mut net = Net::with(&[("POOL_UNUSED_RELEASE_TIMEOUT", "50ms")], Buffers::Tiny).await;
    let (mut caller, mut callee) = net.connect().await;
    let said = noise(1, SOME);
    callee.ends().await;
    caller.hears_the_end().await;
    caller.says(&said).await;
    caller.ends().await;
    assert_eq!(caller.result().await, Ok(()));
    // The pool brings up another tunnel only when the first one is closed.
    soon(async {
        while net.server.tunnels() == 1 {
            drop(open(&net.pool, &net.key).await.unwrap());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    callee.hears_all(&said).await;
    assert_eq!(callee.result().await, Ok(()));
}

#[tokio::test]
async fn a_peer_that_says_all_and_breaks_has_still_said_all() {
    for clean in [true, false] {
        let script = Script::new().await;
        let (mut peer, mut caller) = script.established(EARLY).await;
        caller.ends().await;
        assert_eq!(peer.frame().await.flags, END_STREAM);
        let answer = noise(1, 16_000);
        for part in 0..4 {
            peer.sends(
                DATA,
                if part == 3 { END_STREAM } else { 0 },
                1,
                &answer[part * 4000..(part + 1) * 4000],
            )
            .await;
        }
        if clean {
            peer.closes()
        } else {
            peer.breaks()
        }
        caller.hears_all(&answer).await;
        assert_eq!(caller.result().await, Ok(()));
    }
}

#[tokio::test]
async fn a_peer_that_breaks_in_the_middle_has_said_what_it_said() {
    for clean in [true, false] {
        let script = Script::new().await;
        let (mut peer, mut caller) = script.established(EARLY).await;
        let part = noise(1, 16_000);
        peer.sends(DATA, 0, 1, &part).await;
        if clean {
            peer.closes()
        } else {
            peer.breaks()
        }
        caller.hears_a_reset_after(&part).await;
        assert!(matches!(caller.result().await, Err(Early::Server(_))));
    }
}

#[tokio::test]
async fn a_stream_that_was_not_answered_when_the_tunnel_was_lost_fails_and_is_not_sent_again() {
    let script = Script::new().await;
    let (mut peer, _first) = script.established(EARLY).await;
    let mut calling = script.calls().await;
    calling.says("once").await;
    let stream = peer.asked().await;
    peer.hears(stream, b"once").await;
    peer.breaks();
    let error = calling.refused().await;
    assert!(matches!(error, Error::Broken { .. }), "{error}");
    let again = tokio::time::timeout(Duration::from_millis(200), script.listener.accept()).await;
    assert!(again.is_err(), "the peer may have acted on it");
}

#[tokio::test]
async fn a_peer_that_takes_no_more_after_a_complete_answer_has_answered() {
    let script = Script::new().await;
    let (mut peer, mut caller) = script.established(EARLY).await;
    caller.says("a long upload").await;
    peer.hears(1, b"a long upload").await;
    let answer = noise(1, 16_000);
    peer.sends(DATA, END_STREAM, 1, &answer).await;
    peer.resets(1, NO_ERROR).await;
    caller.hears_all(&answer).await;
    assert_eq!(caller.result().await, Ok(()));
    assert_eq!(peer.is_heard().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_had_come_when_the_peer_stopped_listening_is_delivered() {
    const STREAMS: u32 = 10;
    for _ in 0..10 {
        let script = Script::new().await;
        let (mut peer, mut uploads) = script.established(EARLY).await;
        for stream in [0, 1] {
            peer.sends(WINDOW_UPDATE, 0, stream, &0x4000_0000_u32.to_be_bytes()).await;
        }
        let mut callers = Vec::new();
        for i in 1..=STREAMS {
            let calling = script.calls().await;
            let stream = peer.asked().await;
            peer.accepts(stream).await;
            assert_eq!(stream, 2 * i + 1);
            let mut caller = calling.connected().await;
            caller.ends().await;
            assert_eq!(peer.frame().await.flags, END_STREAM);
            callers.push(caller);
        }
        let upload =
            tokio::spawn(async move { while uploads.socket.write_all(&[7; 100_000]).await.is_ok() {} });
        let answer = noise(1, 4_000);
        for i in 1..=STREAMS {
            peer.sends(DATA, END_STREAM, 2 * i + 1, &answer).await;
        }
        peer.breaks();
        for mut caller in callers {
            caller.hears_all(&answer).await;
            assert_eq!(caller.result().await, Ok(()));
        }
        upload.await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_that_ends_an_upload_is_delivered_whole() {
    let script = Script::new().await;
    let serve = async {
        let mut peer = script.tunnel(EARLY).await;
        let stream = peer.asked().await;
        peer.accepts(stream).await;
        peer
    };
    let ends = pair(Buffers::Tiny).await;
    let (mut peer, caller) = tokio::join!(serve, carry(&script.pool, &script.key, ends));
    let App { socket, carried, .. } = caller.unwrap();
    let (mut hears, mut says) = socket.into_split();
    let upload = tokio::spawn(async move { while says.write_all(&[7; 1000]).await.is_ok() {} });
    assert_eq!(peer.frame().await.kind, DATA);
    let answer = noise(1, 16_000);
    peer.sends(DATA, END_STREAM, 1, &answer).await;
    peer.resets(1, NO_ERROR).await;
    peer.sends(PING, 0, 0, b"heard it").await;
    while peer.any_frame().await.kind != PING {}
    // It is slower than everything else.
    let mut all = Vec::new();
    while all.len() < answer.len() {
        let mut piece = [0; 100];
        match soon(hears.read(&mut piece)).await.unwrap() {
            0 => break,
            read => all.extend_from_slice(&piece[..read]),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(all == answer, "it is heard to its end: {} of {}", all.len(), answer.len());
    soon(upload).await.unwrap();
    assert_eq!(soon(carried.carried).await, Ok(()));
}
