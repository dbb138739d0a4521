//! Applications that wait to hear whether they are connected.

use super::peer::{DATA, EARLY, RST_STREAM, Script};
use super::*;
use crate::waiting::Waiting;

/// An application that waits, and what becomes of it.
struct Asking {
    socket: TcpStream,
    waiting: Arc<Waiting>,
    carried: tokio::task::JoinHandle<Result<Opened, Error>>,
}

async fn asks(script: &Script) -> Asking {
    let (socket, near) = pair(Buffers::Usual).await;
    culvert_sys::tcp::reset_on_close(&near).unwrap();
    let waiting = Arc::new(Waiting::new(&near, b"yes").unwrap());
    let connect = Connect { waiting: Some(Arc::clone(&waiting)), ..connect() };
    let (pool, key) = (script.pool.clone(), script.key.clone());
    let carried = tokio::spawn(async move {
        let way = (&key, ESTABLISH_DEADLINE * 2);
        let carried = pool.carry(way, connect, (near.into(), Vec::new()), &Arc::default()).await;
        carried.map_err(|not_carried| not_carried.error)
    });
    Asking { socket, waiting, carried }
}

#[tokio::test]
async fn it_hears_that_it_is_connected_before_anything_the_peer_says() {
    let script = Script::new().await;
    let (mut peer, _first) = script.established(EARLY).await;
    let Asking { mut socket, waiting, carried } = asks(&script).await;
    socket.write_all(b"early").await.unwrap();
    let stream = peer.asked().await;
    assert!(!peer.hears(stream, b"early").await);
    let too_early = socket.try_read(&mut [0]).unwrap_err();
    assert_eq!(too_early.kind(), io::ErrorKind::WouldBlock, "nothing is said before the answer");
    peer.accepts(stream).await;
    peer.sends(DATA, 0, stream, b", hello").await;
    let mut caller = App { socket, carried: soon(carried).await.unwrap().unwrap(), moved: Arc::default() };
    caller.hears("yes, hello").await;
    caller.says("again").await;
    assert!(!peer.hears(stream, b"again").await);
    assert!(waiting.take().is_none());
}

#[tokio::test]
async fn it_is_told_nothing_by_a_tunnel_that_says_no() {
    let script = Script::new().await;
    let (mut peer, _first) = script.established(&[]).await;
    let Asking { socket, waiting, carried } = asks(&script).await;
    let stream = peer.asked().await;
    peer.answers(stream, 0x8d).await;
    let error = soon(carried).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Status { status: 404, .. }), "{error}");
    let handle = waiting.take().expect("the word is left to say");
    culvert_sys::stream::write(&handle, &[io::IoSlice::new(b"no")]).unwrap();
    culvert_sys::tcp::end_sending(&handle).unwrap();
    let mut caller = App { socket, carried: (), moved: Arc::default() };
    caller.hears_all("no").await;
}

#[tokio::test]
async fn an_answer_that_comes_too_late_connects_nobody() {
    let script = Script::new().await;
    let (mut peer, _first) = script.established(EARLY).await;
    let Asking { socket, waiting, carried } = asks(&script).await;
    let stream = peer.asked().await;
    let handle = waiting.take().expect("nobody has said it");
    peer.accepts(stream).await;
    peer.sends(DATA, 0, stream, b"hello").await;
    let frame = peer.frame().await;
    assert_eq!((frame.kind, frame.stream), (RST_STREAM, stream));
    let opened = soon(carried).await.unwrap().unwrap();
    assert!(matches!(soon(opened.carried).await, Err(Early::Client(_))));
    drop(handle);
    let mut caller = App { socket, carried: (), moved: Arc::default() };
    caller.hears_a_reset().await;
}
