//! What an application says before the far node has answered.

use super::peer::{DATA, EARLY, END_STREAM, Frame, REFUSED_STREAM, RST_STREAM, Script};
use super::*;

#[tokio::test]
async fn first_bytes_follow_the_request_when_the_peer_takes_them() {
    let script = Script::new().await;
    let (mut peer, _first) = script.established(EARLY).await;
    let mut calling = script.calls().await;
    calling.says("hello").await;
    let stream = peer.asked().await;
    assert!(!peer.hears(stream, b"hello").await);
    calling.says(", it is me").await;
    assert!(!peer.hears(stream, b", it is me").await);
    peer.accepts(stream).await;
    let mut caller = calling.connected().await;
    caller.says("again").await;
    assert!(!peer.hears(stream, b"again").await);
    assert_eq!(caller.moved.forth.bytes(), 20);
}

#[tokio::test]
async fn no_bytes_follow_the_request_when_the_peer_does_not_say_that_it_takes_them() {
    let script = Script::new().await;
    let (mut peer, _first) = script.established(&[]).await;
    let mut calling = script.calls().await;
    calling.says("hello").await;
    let stream = peer.asked().await;
    calling.says(", it is me").await;
    for _ in 0..5 {
        assert_eq!(peer.is_heard().await, []);
    }
    assert_eq!(calling.moved.forth.bytes(), 0);
    peer.accepts(stream).await;
    assert!(!peer.hears(stream, b"hello, it is me").await);
    calling.connected().await;
}

#[tokio::test]
async fn what_is_kept_until_the_answer_is_bounded() {
    const LENGTH: usize = 200_000;
    let script = Script::new().await;
    let (mut peer, _first) = script.established(EARLY).await;
    let mut calling = script.calls().await;
    let said = noise(1, LENGTH);
    calling.says(&said).await;
    let stream = peer.asked().await;
    peer.hears(stream, &said[..16 * 1024]).await;
    for _ in 0..5 {
        assert_eq!(peer.is_heard().await, []);
    }
    peer.accepts(stream).await;
    // What is left of the window that streams begin with.
    peer.hears(stream, &said[16 * 1024..65_535]).await;
    assert_eq!(calling.connected().await.moved.forth.bytes(), 65_535);
}

#[tokio::test]
async fn a_refused_stream_is_asked_for_again_and_what_was_said_is_said_again() {
    let script = Script::new().await;
    let (mut peer, _first) = script.established(EARLY).await;
    let mut calling = script.calls().await;
    calling.says("hello").await;
    let refused = peer.asked().await;
    peer.hears(refused, b"hello").await;
    peer.resets(refused, REFUSED_STREAM).await;
    let stream = peer.asked().await;
    assert!(!peer.hears(stream, b"hello").await);
    calling.says(" again").await;
    assert!(!peer.hears(stream, b" again").await);
    peer.accepts(stream).await;
    let mut caller = calling.connected().await;
    caller.ends().await;
    let end = peer.frame().await;
    assert_eq!(end, Frame { kind: DATA, flags: END_STREAM, stream, payload: Vec::new() });
    assert_eq!(caller.moved.forth.bytes(), 11, "each byte counts once");
}

#[tokio::test]
async fn a_stream_that_a_leaving_peer_has_not_seen_goes_to_another_tunnel_with_what_was_said() {
    let script = Script::new().await;
    let (mut peer, first) = script.established(EARLY).await;
    let mut calling = script.calls().await;
    calling.says("hello").await;
    let unseen = peer.asked().await;
    assert!(!peer.hears(unseen, b"hello").await);
    calling.socket.shutdown().await.unwrap();
    assert!(peer.hears(unseen, b"").await);
    peer.leaves(unseen - 1).await;
    let mut next = script.tunnel(EARLY).await;
    let stream = next.asked().await;
    let end = |frame: &Frame| frame.kind == DATA && frame.flags == END_STREAM && frame.payload.is_empty();
    next.accepts(stream).await;
    next.hears(stream, b"hello").await;
    assert!(end(&next.frame().await));
    let caller = calling.connected().await;
    next.sends(DATA, END_STREAM, stream, b"").await;
    assert_eq!(caller.moved.forth.bytes(), 5);
    assert_eq!(caller.result().await, Ok(()));
    assert!(peer.is_heard().await.iter().all(|frame| frame.stream == 0), "nothing more of it on the old one");
    drop(first);
}

#[tokio::test]
async fn as_much_as_is_kept_is_said_again() {
    let script = Script::new().await;
    let (mut peer, _first) = script.established(EARLY).await;
    let mut calling = script.calls().await;
    let said = noise(1, 20_000);
    calling.says(&said).await;
    let refused = peer.asked().await;
    peer.hears(refused, &said[..16 * 1024]).await;
    peer.leaves(refused - 1).await;
    let mut next = script.tunnel(EARLY).await;
    let stream = next.asked().await;
    // Whether this client knows by now that early data is taken, is not certain.
    next.accepts(stream).await;
    next.hears(stream, &said).await;
    assert_eq!(calling.connected().await.moved.forth.bytes(), 20_000);
}

#[tokio::test]
async fn a_stream_that_is_always_refused_fails() {
    let script = Script::new().await;
    let (mut peer, _first) = script.established(EARLY).await;
    let mut calling = script.calls().await;
    calling.says("hello").await;
    for _ in 0..3 {
        let refused = peer.asked().await;
        peer.hears(refused, b"hello").await;
        peer.resets(refused, REFUSED_STREAM).await;
    }
    let error = calling.refused().await;
    assert!(matches!(error, Error::Gone { .. }), "{error}");
    assert_eq!(peer.is_heard().await, []);
}

#[tokio::test]
async fn an_application_that_goes_before_the_answer_takes_its_stream_back() {
    for settings in [EARLY, &[]] {
        let script = Script::new().await;
        let (mut peer, _first) = script.established(settings).await;
        let mut calling = script.calls().await;
        // More than is kept.
        calling.says(noise(1, 20_000)).await;
        let stream = peer.asked().await;
        if settings == EARLY {
            peer.hears(stream, &noise(1, 20_000)[..16 * 1024]).await;
        }
        assert_eq!(peer.is_heard().await, []);
        let error = calling.resets().await;
        assert!(matches!(error, Error::ClientGone(Early::Client(Broken::Reset(Reset::Socket)))), "{error}");
        let frame = peer.frame().await;
        assert_eq!((frame.kind, frame.stream), (RST_STREAM, stream));
    }
}

/// Hands the offers of a server to a test, which answers them when it likes.
pub(super) fn offers() -> (impl far::Responds, mpsc::UnboundedReceiver<Offer>) {
    let (asking, asked) = mpsc::unbounded_channel();
    let respond = move |offer| {
        // The test may be over.
        let _ = asking.send(offer);
        std::future::ready(())
    };
    (respond, asked)
}

/// A script whose far node is ours.
async fn ours() -> (Script, Server, mpsc::UnboundedReceiver<Offer>) {
    let (respond, offers) = offers();
    let Script { pool, key, listener, certificate } = Script::new().await;
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::on(listener, certificate, respond);
    let certificate = TestAuthority::new("other").good(&account("web"));
    (Script { pool, key, listener: other, certificate }, server, offers)
}

#[tokio::test]
async fn our_own_server_takes_early_bytes_and_delivers_them_after_it_has_said_yes() {
    let (script, _server, mut offers) = ours().await;
    let first = script.calls().await;
    let mut callee = take(soon(offers.recv()).await.unwrap(), Buffers::Usual).await.unwrap();
    let mut first = first.connected().await;
    first.says("the settings have come meanwhile").await;
    callee.hears("the settings have come meanwhile").await;

    let mut calling = script.calls().await;
    calling.says("hello").await;
    let offer = soon(offers.recv()).await.unwrap();
    until("it is said before the answer", || calling.moved.forth.bytes() == 5).await;
    calling.socket.shutdown().await.unwrap();
    let mut callee = take(offer, Buffers::Usual).await.unwrap();
    callee.hears_all("hello").await;
    callee.says("who is there?").await;
    callee.ends().await;
    let mut caller = calling.connected().await;
    caller.hears_all("who is there?").await;
    assert_eq!((caller.result().await, callee.result().await), (Ok(()), Ok(())));
}

#[tokio::test]
async fn early_bytes_of_a_refused_application_are_delivered_to_nobody() {
    let (script, server, mut offers) = ours().await;
    let first = script.calls().await;
    let mut callee = take(soon(offers.recv()).await.unwrap(), Buffers::Usual).await.unwrap();
    let mut first = first.connected().await;
    first.says("hello").await;
    callee.hears("hello").await;

    let mut calling = script.calls().await;
    calling.says("not for you").await;
    let offer = soon(offers.recv()).await.unwrap();
    until("it is said before the answer", || calling.moved.forth.bytes() == 11).await;
    offer.refuse(401, None);
    let error = calling.refused().await;
    assert!(matches!(error, Error::Status { status: 401, .. }), "{error}");

    let mut next = script.calls().await;
    next.says("for you").await;
    let mut called = take(soon(offers.recv()).await.unwrap(), Buffers::Usual).await.unwrap();
    called.hears("for you").await;
    let mut next = next.connected().await;
    next.ends().await;
    called.hears_the_end().await;
    first.ends().await;
    callee.hears_the_end().await;
    assert_eq!(server.tunnels(), 1);
}

#[tokio::test]
async fn an_application_is_not_told_of_an_end_when_its_caller_has_gone_before_the_answer() {
    let (script, _server, mut offers) = ours().await;
    let first = script.calls().await;
    let mut callee = take(soon(offers.recv()).await.unwrap(), Buffers::Usual).await.unwrap();
    let mut first = first.connected().await;
    first.says("hello").await;
    callee.hears("hello").await;

    let calling = script.calls().await;
    let offer = soon(offers.recv()).await.unwrap();
    calling.resets().await;
    first.says("it is known by then").await;
    callee.hears("it is known by then").await;
    let mut called = take(offer, Buffers::Usual).await.unwrap();
    called.hears_a_reset().await;
    assert_eq!(called.result().await, Err(Early::Client(Broken::Reset(Reset::Cancelled))));
}

#[tokio::test]
async fn whoever_serves_a_stream_learns_that_it_is_taken_back() {
    let (script, _server, mut offers) = ours().await;
    let calling = script.calls().await;
    let mut offer = soon(offers.recv()).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(20), offer.withdrawn()).await;
    assert!(early.is_err(), "it is still wanted");
    calling.resets().await;
    soon(offer.withdrawn()).await;
}

#[tokio::test]
async fn whoever_serves_a_stream_learns_that_its_tunnel_is_over() {
    let (script, server, mut offers) = ours().await;
    let _calling = script.calls().await;
    let mut offer = soon(offers.recv()).await.unwrap();
    soon(server.drain().cut()).await;
    soon(offer.withdrawn()).await;
}

#[tokio::test]
async fn bytes_that_were_said_before_the_settings_came_need_not_wait_for_the_answer() {
    let script = Script::new().await;
    let mut calling = script.calls().await;
    let mut peer = script.tunnel(EARLY).await;
    calling.says("hello").await;
    let stream = peer.asked().await;
    assert!(!peer.hears(stream, b"hello").await);
    peer.accepts(stream).await;
    calling.connected().await;
}

#[tokio::test]
async fn an_answer_that_is_not_yes_ends_the_stream_whatever_follows() {
    let script = Script::new().await;
    let (mut peer, _first) = script.established(EARLY).await;
    let mut calling = script.calls().await;
    calling.says("hello").await;
    let stream = peer.asked().await;
    peer.hears(stream, b"hello").await;
    // `:status: 404`, and a page that explains it.
    peer.answers(stream, 0x8d).await;
    peer.sends(DATA, END_STREAM, stream, b"not here").await;
    let error = calling.refused().await;
    assert!(matches!(error, Error::Status { status: 404, .. }), "{error}");
    let frame = peer.frame().await;
    assert_eq!((frame.kind, frame.stream), (RST_STREAM, stream));
    assert_eq!(peer.is_heard().await, []);
}
