//! Applications that do not read, and a network that takes nothing.

use std::sync::atomic::AtomicBool;

use tokio::sync::watch;

use super::app::Settles as _;
use super::cable::{Cable, How};
use super::*;

/// Says as much as goes while nobody reads it.
async fn stands_still(caller: &mut Caller) {
    let chunk = vec![0; 1 << 20];
    while tokio::time::timeout(Duration::from_millis(500), caller.socket.write_all(&chunk)).await.is_ok() {}
}

#[tokio::test]
async fn a_stream_nobody_reads_does_not_stop_the_others() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, echo).await;
    let (pool, key) = (pool(&authority, config(&[]).tunnel), key(&server));
    let mut stuck = open(&pool, &key).await.unwrap();
    let mut lively = open(&pool, &key).await.unwrap();
    // Nobody reads the echo: it fills both windows of this stream, and then the writer stands still.
    stands_still(&mut stuck).await;
    lively.echoes("quick").await;
    assert_eq!(server.tunnels(), 1);
}

#[tokio::test]
async fn what_nobody_reads_is_bounded_by_the_windows_and_the_others_go_on() {
    const STREAMS: usize = 20;
    let mut net = Net::with(&[], Buffers::Small).await;
    let mut stuck = Vec::new();
    for _ in 0..STREAMS {
        stuck.push(net.connect().await);
    }
    // Streams whose reader keeps up have larger windows; then it does not any more.
    for (caller, callee) in &mut stuck {
        for _ in 0..4 {
            let said = noise(1, 100_000);
            tokio::join!(caller.says(&said), callee.hears(&said));
            tokio::join!(callee.says(&said), caller.hears(&said));
        }
    }
    let (mut caller, mut callee) = net.connect().await;
    for (one, other) in &stuck {
        for app in [&one.socket, &other.socket] {
            while let Ok(ready) = tokio::time::timeout(Duration::from_millis(20), app.writable()).await {
                ready.unwrap();
                let _ = app.try_write(&[7; 64 * 1024]);
            }
        }
    }
    caller.says("quick").await;
    callee.hears("quick").await;
    callee.says("answer").await;
    caller.hears("answer").await;
    let held = |taken: u64, given: u64| usize::try_from(taken - given).unwrap();
    let forth = stuck.iter().map(|(one, other)| held(one.moved.forth.bytes(), other.moved.forth.bytes()));
    let back = stuck.iter().map(|(one, other)| held(other.moved.back.bytes(), one.moved.back.bytes()));
    let (forth, back): (usize, usize) = (forth.sum(), back.sum());
    let window = config(&[]).tunnel.connection_window as usize;
    assert!(forth > STREAMS * 20_000 && back > STREAMS * 20_000, "they stand still: {forth}, {back}");
    assert!(forth <= window && back <= window, "{forth}, {back}");
    assert_eq!(net.server.tunnels(), 1);
}

/// Fills a direction, and says when all was taken.
fn writes(
    mut said: tokio::net::tcp::OwnedWriteHalf,
    what: Vec<u8>,
) -> tokio::task::JoinHandle<tokio::net::tcp::OwnedWriteHalf> {
    tokio::spawn(async move {
        said.write_all(&what).await.unwrap();
        said.shutdown().await.unwrap();
        said
    })
}

/// Waits until nothing moves any more.
async fn standstill(moved: &[Arc<Moved>]) {
    let sum = || moved.iter().map(|moved| moved.forth.bytes() + moved.back.bytes()).sum::<u64>();
    let mut before = u64::MAX;
    while before != sum() {
        before = sum();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Reads all, but stands still in the middle until it may go on.
fn reads(
    mut hears: tokio::net::tcp::OwnedReadHalf,
    what: Vec<u8>,
    mut go_on: watch::Receiver<bool>,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let mut all = vec![0; what.len() / 3];
        hears.read_exact(&mut all).await.unwrap();
        go_on.wait_for(|go_on| *go_on).await.unwrap();
        hears.read_to_end(&mut all).await.unwrap();
        assert!(all == what, "it is what was said");
    })
}

#[tokio::test]
async fn both_directions_full_at_once_are_no_deadlock() {
    const STREAMS: usize = 4;
    const LENGTH: usize = 12_000_000;
    let mut net = Net::with(&[], Buffers::Small).await;
    let mut connections = Vec::new();
    for _ in 0..STREAMS {
        connections.push(net.connect().await);
    }
    let (go_on, may_go_on) = watch::channel(false);
    let (mut moved, mut results, mut writing, mut reading) = (vec![], vec![], vec![], vec![]);
    for (i, (caller, callee)) in connections.into_iter().enumerate() {
        moved.extend([caller.moved, callee.moved]);
        results.extend([tokio::spawn(caller.carried.settles()), tokio::spawn(callee.carried.settles())]);
        for (socket, seed) in [(caller.socket, 2 * i), (callee.socket, 2 * i + 1)] {
            let (hears, says) = socket.into_split();
            writing.push(writes(says, noise(seed, LENGTH)));
            reading.push(reads(hears, noise(seed ^ 1, LENGTH), may_go_on.clone()));
        }
    }
    standstill(&moved).await;
    assert!(writing.iter().all(|writing| !writing.is_finished()), "both directions are full");
    go_on.send_replace(true);
    for reading in reading {
        tokio::time::timeout(Duration::from_secs(60), reading).await.unwrap().unwrap();
    }
    for result in results {
        assert_eq!(soon(result).await.unwrap(), Ok(()));
    }
    assert_eq!(net.server.tunnels(), 1);
}

#[tokio::test]
async fn a_network_that_is_stuck_for_a_while_loses_nothing() {
    const LENGTH: usize = 6_000_000;
    let mut net = Net::start().await;
    let cable = Cable::to(net.server.address).await;
    net.key = key_of(cable.address);
    let (caller, callee) = net.connect().await;
    let ((caller_hears, caller_says), (callee_hears, callee_says)) =
        (caller.socket.into_split(), callee.socket.into_split());
    let writing = [writes(caller_says, noise(1, LENGTH)), writes(callee_says, noise(2, LENGTH))];
    let all = Arc::new(AtomicBool::new(false));
    let reading = [(caller_hears, 2), (callee_hears, 1)].map(|(mut hears, seed)| {
        tokio::spawn(async move {
            let mut all = Vec::new();
            hears.read_to_end(&mut all).await.unwrap();
            assert!(all == noise(seed, LENGTH));
        })
    });
    let (done, moved) = (Arc::clone(&all), [caller.moved, callee.moved]);
    let cable = tokio::spawn(async move {
        while !done.load(Ordering::SeqCst) {
            cable.is(How::Stuck);
            standstill(&moved).await;
            cable.is(How::Passing);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    for reading in reading {
        tokio::time::timeout(Duration::from_secs(60), reading).await.unwrap().unwrap();
    }
    all.store(true, Ordering::SeqCst);
    soon(caller.carried.settles()).await.unwrap();
    soon(callee.carried.settles()).await.unwrap();
    drop(writing);
    soon(cable).await.unwrap();
}

/// How much a callee may say before the network and the node take no more.
async fn capacity(cable: &Cable, caller: &mut Caller, callee: &mut Callee) -> usize {
    cable.is(How::Stuck);
    let mut said = 0;
    let taken = |callee: &Callee| callee.moved.back.bytes();
    let before = taken(callee);
    loop {
        callee.says(&[7; 8192]).await;
        said += 8192;
        let all_taken = async {
            while taken(callee) - before < said as u64 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        if tokio::time::timeout(Duration::from_millis(200), all_taken).await.is_err() {
            break;
        }
    }
    cable.is(How::Passing);
    caller.hears(vec![7; said]).await;
    said
}

#[tokio::test]
async fn the_last_bytes_of_a_tunnel_that_is_drained_wait_for_the_network() {
    let mut net = Net::start().await;
    let cable = Cable::to(net.server.address).await;
    net.key = key_of(cable.address);
    let (mut caller, mut callee) = net.connect().await;
    // Its window grows.
    for _ in 0..20 {
        let said = noise(2, 100_000);
        tokio::join!(callee.says(&said), caller.hears(&said));
    }
    let mut most = 0;
    for _ in 0..3 {
        // The kernel's buffers grow with what they have held.
        most = capacity(&cable, &mut caller, &mut callee).await;
    }
    caller.ends().await;
    callee.hears_the_end().await;
    let draining = tokio::spawn(net.server.drain().drain(Duration::from_secs(20)));
    // The server may only end the tunnel once the client has said that it knows.
    soon(async {
        while net.server.tunnels() == 1 {
            drop(net.connect().await);
        }
    })
    .await;
    cable.is(How::Stuck);
    // The node has taken all of it, and the network has not.
    let answer = noise(1, most / 4 * 3);
    callee.says(&answer).await;
    callee.ends().await;
    // Longer than last bytes may take where something is broken: here nothing is.
    tokio::time::sleep(crate::stream::LAST_BYTES * 2).await;
    cable.is(How::Passing);
    caller.hears_all(&answer).await;
    assert_eq!((caller.result().await, callee.result().await), (Ok(()), Ok(())));
    assert!(soon(draining).await.unwrap());
}
