//! Many connections with little to say, and some with more: whoever is not woken in time is found here.

use super::app::Settles;
use super::*;

/// What is going on at a time.
#[derive(Clone, Copy)]
struct Crowd {
    connections: usize,
    /// Bytes each side says.
    length: usize,
    buffers: Buffers,
}

/// More streams than any other test has; what they say fits into their windows.
const MANY: Crowd = Crowd { connections: 200, length: 30_000, buffers: Buffers::Usual };
const MANY_TINY: Crowd = Crowd { buffers: Buffers::Tiny, ..MANY };
/// They wait for their windows, and for the tunnel's.
const LONG: Crowd = Crowd { connections: 30, length: 600_000, buffers: Buffers::Small };

/// Says all in pieces of any size, hears all, and ends.
async fn converses<C: Settles>(app: App<C>, length: usize, says: usize, hears: usize) {
    let App { socket, carried, .. } = app;
    let (mut heard, mut said) = socket.into_split();
    let chances = noise(says + 10_000, 100);
    let speak = async {
        for (piece, chance) in noise(says, length).chunks(length / 30).zip(&chances) {
            let (first, second) = piece.split_at(piece.len() * usize::from(*chance) / 256);
            said.write_all(first).await.unwrap();
            pause(*chance).await;
            said.write_all(second).await.unwrap();
        }
        said.shutdown().await.unwrap();
    };
    let listen = async {
        let (mut all, mut buffer) = (Vec::new(), vec![0; length / 20]);
        for chance in chances.iter().cycle() {
            match heard.read(&mut buffer).await.unwrap() {
                0 => break,
                read => all.extend_from_slice(&buffer[..read]),
            }
            pause(*chance).await;
        }
        assert!(all == noise(hears, length), "{says} hears what {hears} says");
    };
    tokio::join!(speak, listen);
    assert_eq!(carried.settles().await, Ok(()));
}

/// Any length of time, mostly none.
async fn pause(chance: u8) {
    if chance.is_multiple_of(4) {
        tokio::task::yield_now().await;
    }
    if chance.is_multiple_of(16) {
        tokio::time::sleep(Duration::from_millis(u64::from(chance % 7))).await;
    }
}

async fn all_converse(crowd: Crowd) {
    let Crowd { connections, length, buffers } = crowd;
    let mut net = Net::with(&[("POOL_MAX_STREAMS_PER_CONNECTION", "200")], buffers).await;
    let mut both = Vec::new();
    for _ in 0..connections {
        both.push(net.connect().await);
    }
    let mut talks = tokio::task::JoinSet::new();
    for (i, (caller, callee)) in both.into_iter().enumerate() {
        talks.spawn(converses(caller, length, 2 * i, 2 * i + 1));
        talks.spawn(converses(callee, length, 2 * i + 1, 2 * i));
    }
    let all = tokio::time::timeout(Duration::from_secs(60), talks.join_all()).await;
    assert_eq!(all.expect("nobody waits for ever").len(), 2 * connections);
    assert_eq!(net.server.tunnels(), 1);
}

#[tokio::test]
async fn everybody_is_heard_on_one_thread() {
    all_converse(MANY).await;
}

#[tokio::test]
async fn everybody_is_heard_through_tiny_buffers_on_one_thread() {
    all_converse(MANY_TINY).await;
}

#[tokio::test]
async fn whoever_waits_for_a_window_is_heard_on_one_thread() {
    all_converse(LONG).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everybody_is_heard_on_many_threads() {
    all_converse(MANY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everybody_is_heard_through_tiny_buffers_on_many_threads() {
    all_converse(MANY_TINY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_waits_for_a_window_is_heard_on_many_threads() {
    all_converse(LONG).await;
}
