//! Connections that an application breaks.

use super::app::Settles;
use super::*;

const SOCKET: Broken = Broken::Reset(Reset::Socket);
const APPLICATION: Broken = Broken::Reset(Reset::Application);

/// Fits into every window and every buffer.
const LITTLE: usize = 30_000;

async fn last_bytes<A: Settles, B: Settles>(mut breaks: App<A>, mut hears: App<B>) -> [Early; 2] {
    let last = noise(1, LITTLE);
    breaks.says(&last).await;
    breaks.has_been_heard().await;
    let carried = breaks.resets();
    hears.hears_a_reset_after(&last).await;
    [soon(carried.settles()).await.unwrap_err(), hears.result().await.unwrap_err()]
}

#[tokio::test]
async fn last_bytes_before_a_reset_arrive_and_then_the_reset() {
    let mut net = Net::start().await;
    for _ in 0..20 {
        let (caller, callee) = net.connect().await;
        let results = last_bytes(caller, callee).await;
        assert_eq!(results, [Early::Client(SOCKET), Early::Client(APPLICATION)]);
        let (caller, callee) = net.connect().await;
        let results = last_bytes(callee, caller).await;
        assert_eq!(results, [Early::Server(SOCKET), Early::Server(APPLICATION)]);
    }
    assert_eq!(net.server.tunnels(), 1);
}

/// An application that answers, and closes without having read all it was sent: the kernel makes a reset of that.
async fn answers_and_closes<A: Settles, B: Settles>(mut closes: App<A>, mut hears: App<B>) {
    let last = noise(1, LITTLE);
    hears.says("it is not read").await;
    closes.hears("it").await;
    closes.says(&last).await;
    closes.has_been_heard().await;
    drop(closes.socket);
    hears.hears_a_reset_after(&last).await;
    soon(closes.carried.settles()).await.unwrap_err();
    hears.result().await.unwrap_err();
}

#[tokio::test]
async fn an_answer_before_a_careless_close_arrives() {
    let mut net = Net::start().await;
    let (caller, callee) = net.connect().await;
    answers_and_closes(caller, callee).await;
    let (caller, callee) = net.connect().await;
    answers_and_closes(callee, caller).await;
}

/// One whose other side writes on after it has gone still brings what it said before.
async fn written_to_while_it_breaks<A: Settles, B: Settles>(mut breaks: App<A>, hears: App<B>) {
    let last = noise(1, LITTLE);
    breaks.says(&last).await;
    breaks.has_been_heard().await;
    let App { socket, carried, .. } = hears;
    let (mut heard, mut said) = socket.into_split();
    let writes = tokio::spawn(async move { while said.write_all(&[0; 10_000]).await.is_ok() {} });
    soon(breaks.socket.readable()).await.unwrap();
    let broken = breaks.resets();
    let mut all = Vec::new();
    let error = soon(heard.read_to_end(&mut all)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(all == last);
    soon(broken.settles()).await.unwrap_err();
    soon(carried.settles()).await.unwrap_err();
    soon(writes).await.unwrap();
}

#[tokio::test]
async fn last_bytes_of_a_side_that_is_written_to_arrive() {
    let mut net = Net::start().await;
    for _ in 0..5 {
        let (caller, callee) = net.connect().await;
        written_to_while_it_breaks(caller, callee).await;
        let (caller, callee) = net.connect().await;
        written_to_while_it_breaks(callee, caller).await;
    }
}

async fn after_its_end<A: Settles, B: Settles>(mut breaks: App<A>, mut idle: App<B>) {
    breaks.says("all").await;
    breaks.ends().await;
    idle.hears_all("all").await;
    let carried = breaks.resets();
    idle.notices_a_reset().await;
    soon(carried.settles()).await.unwrap_err();
    idle.result().await.unwrap_err();
}

#[tokio::test]
async fn a_reset_after_the_end_is_noticed_while_nobody_says_anything() {
    let mut net = Net::start().await;
    let (caller, callee) = net.connect().await;
    after_its_end(caller, callee).await;
    let (caller, callee) = net.connect().await;
    after_its_end(callee, caller).await;
}

async fn after_the_others_end<A: Settles, B: Settles>(mut breaks: App<A>, mut ended: App<B>) {
    ended.says("all").await;
    ended.ends().await;
    breaks.hears_all("all").await;
    let carried = breaks.resets();
    ended.notices_a_reset().await;
    soon(carried.settles()).await.unwrap_err();
    ended.result().await.unwrap_err();
}

#[tokio::test]
async fn a_reset_after_the_end_of_the_other_side_is_noticed() {
    let mut net = Net::start().await;
    let (caller, callee) = net.connect().await;
    after_the_others_end(caller, callee).await;
    let (caller, callee) = net.connect().await;
    after_the_others_end(callee, caller).await;
}

/// Says as much as goes while nobody reads it.
async fn fills<C: Settles>(app: &App<C>) -> usize {
    let mut said = 0;
    while let Ok(ready) = tokio::time::timeout(Duration::from_millis(500), app.socket.writable()).await {
        ready.unwrap();
        said += app.socket.try_write(&[7; 64 * 1024]).unwrap_or(0);
    }
    said
}

async fn without_a_window<A: Settles, B: Settles>(breaks: App<A>, does_not_read: App<B>) {
    let said = fills(&breaks).await;
    assert!(said > 100_000, "windows and buffers have taken {said}");
    let carried = breaks.resets();
    let noticed = tokio::time::timeout(Duration::from_secs(1), carried.settles());
    noticed.await.expect("it is noticed within a second").unwrap_err();
    does_not_read.notices_a_reset().await;
    does_not_read.result().await.unwrap_err();
}

#[tokio::test]
async fn a_reset_is_noticed_while_the_stream_has_no_window() {
    let mut net = Net::start().await;
    let (caller, callee) = net.connect().await;
    without_a_window(caller, callee).await;
    let (caller, callee) = net.connect().await;
    without_a_window(callee, caller).await;
}

async fn while_it_does_not_read<A: Settles, B: Settles>(breaks: App<A>, speaks: App<B>) {
    fills(&speaks).await;
    let carried = breaks.resets();
    let noticed = tokio::time::timeout(Duration::from_secs(1), carried.settles());
    noticed.await.expect("it is noticed within a second").unwrap_err();
    speaks.notices_a_reset().await;
    speaks.result().await.unwrap_err();
}

#[tokio::test]
async fn a_reset_of_a_side_that_does_not_read_is_noticed() {
    let mut net = Net::start().await;
    let (caller, callee) = net.connect().await;
    while_it_does_not_read(caller, callee).await;
    let (caller, callee) = net.connect().await;
    while_it_does_not_read(callee, caller).await;
    let (mut caller, callee) = net.connect().await;
    caller.ends().await;
    while_it_does_not_read(caller, callee).await;
    let (caller, mut callee) = net.connect().await;
    callee.ends().await;
    while_it_does_not_read(callee, caller).await;
}

#[tokio::test]
async fn a_connection_that_is_stopped_is_reset_even_after_its_end_was_told() {
    let mut net = Net::start().await;
    let (mut caller, mut callee) = net.connect().await;
    callee.ends().await;
    caller.hears_the_end().await;
    drop(caller.carried);
    let ready = soon(caller.socket.ready(tokio::io::Interest::ERROR)).await.unwrap();
    assert!(ready.is_error());
    callee.notices_a_reset().await;
}

#[tokio::test]
async fn a_connection_that_is_stopped_is_reset_at_both_ends() {
    let mut net = Net::start().await;
    let (mut caller, mut callee) = net.connect().await;
    drop(caller.carried);
    let error = soon(caller.socket.read(&mut [0; 1])).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    callee.hears_a_reset().await;
    assert_eq!(callee.result().await, Err(Early::Client(Broken::Reset(Reset::Cancelled))));
}
