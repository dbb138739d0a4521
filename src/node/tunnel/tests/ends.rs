//! How connections end: in order, or broken, from either side.

use super::app::Settles;
use super::*;

#[tokio::test]
async fn bytes_go_both_ways_and_ends_are_ends() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, echo).await;
    let pool = pool(&authority, config(&[]).tunnel);
    let mut caller = open(&pool, &key(&server)).await.unwrap();
    caller.echoes("hello").await;
    caller.ends().await;
    caller.hears_the_end().await;
    assert_eq!((caller.moved.forth.bytes(), caller.moved.back.bytes()), (5, 5));
    assert_eq!(caller.result().await, Ok(()));
}

#[tokio::test]
async fn a_stream_that_is_let_go_of_is_a_break() {
    let mut net = Net::start().await;
    let (mut caller, callee) = net.connect().await;
    let App { socket: mut called, carried, .. } = callee;
    drop(carried);
    caller.hears_a_reset().await;
    assert_eq!(caller.result().await, Err(Early::Server(Broken::Reset(Reset::Cancelled))));
    let error = soon(called.read(&mut [0; 1])).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn an_answer_is_delivered_whole_when_the_peer_takes_no_more() {
    const LENGTH: usize = 3_000_000;
    let mut net = Net::start().await;
    let (mut caller, mut callee) = net.connect().await;
    // The caller never ends its own side, and reads slower than the peer sends.
    let answer = tokio::spawn(async move {
        callee.socket.write_all(&vec![7; LENGTH]).await.unwrap();
        callee.ends().await;
        callee
    });
    let (mut piece, mut total) = ([0; 4096], 0);
    loop {
        match soon(caller.socket.read(&mut piece)).await.unwrap() {
            0 => break,
            read => total += read,
        }
    }
    assert_eq!(total, LENGTH);
    drop((caller, answer));
}

/// One says something and ends, the other one answers and ends.
async fn half_closes<A: Settles, B: Settles>(mut first: App<A>, mut second: App<B>) {
    let (question, answer) = (noise(1, 100_000), noise(2, 200_000));
    first.says(&question).await;
    first.ends().await;
    second.hears_all(&question).await;
    second.says(&answer).await;
    second.ends().await;
    first.hears_all(&answer).await;
    assert_eq!((first.result().await, second.result().await), (Ok(()), Ok(())));
}

#[tokio::test]
async fn either_side_may_end_first_and_is_still_answered() {
    let mut net = Net::start().await;
    let (caller, callee) = net.connect().await;
    half_closes(caller, callee).await;
    let (caller, callee) = net.connect().await;
    half_closes(callee, caller).await;
}

#[tokio::test]
async fn what_was_said_before_the_connection_was_carried_arrives() {
    let mut net = Net::start().await;
    let (mut socket, near) = pair(Buffers::Usual).await;
    socket.write_all(b"hello").await.unwrap();
    socket.shutdown().await.unwrap();
    let mut caller = carry(&net.pool, &net.key, (socket, near)).await.unwrap();
    let mut callee = soon(net.taken.recv()).await.unwrap().callee;
    callee.hears_all("hello").await;
    callee.ends().await;
    caller.hears_the_end().await;
    assert_eq!((caller.result().await, callee.result().await), (Ok(()), Ok(())));
}
