//! Two real TCP connections spliced: ends, breaks, and bytes in both directions.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::deliver::tcp;
use crate::stream::Closer;

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (dialled, accepted) =
        tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (dialled.unwrap(), accepted.unwrap().0)
}

/// How often both sides are probed once one direction has ended.
const PROBE: Duration = Duration::from_secs(20);

fn plain(moved: &Moved) -> Plain<'_> {
    Plain { moved, near: Side::Client, half_closed_probe: Some(PROBE) }
}

type Pair = (TcpStream, TcpStream);

/// The client's end, the server's end, and the splice between them.
type Relay = (TcpStream, TcpStream, tokio::task::JoinHandle<Result<(), Ended<()>>>, Arc<Moved>);

async fn relay() -> Relay {
    relay_of((pair().await, pair().await))
}

/// One that little fits into.
async fn small_relay() -> Relay {
    const LITTLE: usize = 256 * 1024;
    let pairs = (pair().await, pair().await);
    let ((client, near), (far, server)) = &pairs;
    for socket in [client, near, far, server].map(socket2::SockRef::from) {
        socket.set_recv_buffer_size(LITTLE).unwrap();
        socket.set_send_buffer_size(LITTLE).unwrap();
    }
    relay_of(pairs)
}

fn relay_of(((client, near), (far, server)): (Pair, Pair)) -> Relay {
    let moved = Arc::new(Moved::default());
    let count = Arc::clone(&moved);
    let task = tokio::spawn(async move {
        spliced_until(tcp::split(near), tcp::split(far), plain(&count), std::future::pending()).await
    });
    (client, server, task, moved)
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future).await.expect("in time")
}

#[tokio::test]
async fn half_close_passes_and_the_answer_still_comes() {
    let (mut client, mut server, task, moved) = relay().await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut question = String::new();
    soon(server.read_to_string(&mut question)).await.unwrap();
    server.write_all(b"the answer").await.unwrap();
    server.shutdown().await.unwrap();
    let mut answer = String::new();
    soon(client.read_to_string(&mut answer)).await.unwrap();
    assert_eq!((question.as_str(), answer.as_str()), ("question", "the answer"));
    assert!(soon(task).await.unwrap().is_ok());
    assert_eq!((moved.forth.bytes(), moved.back.bytes()), (8, 10));
}

/// What the kernel does with them shows on a second descriptor of each.
#[tokio::test]
async fn both_sides_are_probed_once_one_direction_has_ended() {
    let ((mut client, near), (far, _server)) = (pair().await, pair().await);
    let (near, far) = (near.into_std().unwrap(), far.into_std().unwrap());
    let seen = [&near, &far].map(|socket| socket.try_clone().unwrap());
    let probed = || {
        let every = |socket: &std::net::TcpStream| {
            let socket = socket2::SockRef::from(socket);
            (socket.keepalive().unwrap(), socket.tcp_keepalive_time().unwrap())
        };
        seen.iter().filter(|socket| every(socket) == (true, PROBE)).count()
    };
    let (near, far) = (TcpStream::from_std(near).unwrap(), TcpStream::from_std(far).unwrap());
    let _task = tokio::spawn(async move {
        let moved = Moved::default();
        spliced_until(tcp::split(near), tcp::split(far), plain(&moved), std::future::pending::<()>()).await
    });
    client.write_all(b"question").await.unwrap();
    assert_eq!(probed(), 0);
    client.shutdown().await.unwrap();
    soon(async {
        while probed() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_reset_of_the_client_resets_the_server() {
    let (client, mut server, task, _) = relay().await;
    culvert_sys::tcp::reset_on_close(&client).unwrap();
    drop(client);
    let error = soon(server.read(&mut [0; 1])).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(matches!(
        soon(task).await.unwrap(),
        Err(Ended::Early(Early::Client(Broken::Reset(Reset::Socket))))
    ));
}

#[tokio::test]
async fn a_reset_after_half_close_reaches_an_idle_server() {
    let (mut client, mut server, _task, _) = relay().await;
    client.write_all(b"x").await.unwrap();
    client.shutdown().await.unwrap();
    let mut seen = Vec::new();
    soon(server.read_to_end(&mut seen)).await.unwrap();
    culvert_sys::tcp::reset_on_close(&client).unwrap();
    drop(client);
    // Nobody writes: only the break itself can end the wait.
    let broken = soon(server.ready(tokio::io::Interest::ERROR)).await.unwrap();
    assert!(broken.is_error());
}

#[tokio::test]
async fn large_data_arrives_whole_through_a_slow_reader() {
    let (mut client, mut server, _task, _) = relay().await;
    let sent: Vec<u8> = (0..3_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let expected = sent.clone();
    let writer = tokio::spawn(async move {
        client.write_all(&sent).await.unwrap();
        client.shutdown().await.unwrap();
        client
    });
    let mut got = Vec::new();
    let mut piece = [0; 777];
    loop {
        let read = soon(server.read(&mut piece)).await.unwrap();
        if read == 0 {
            break;
        }
        got.extend_from_slice(&piece[..read]);
    }
    assert!(got == expected);
    drop(writer.await.unwrap());
}

#[tokio::test]
async fn stopping_it_is_a_break_for_both() {
    let ((client, near), (far, server)) = (pair().await, pair().await);
    let result =
        spliced_until(tcp::split(near), tcp::split(far), plain(&Moved::default()), std::future::ready(7))
            .await;
    assert!(matches!(result, Err(Ended::Stopped(7))));
    for mut side in [client, server] {
        let error = soon(side.read(&mut [0; 1])).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn whoever_ends_first_is_known_and_both_sockets_were_looked_at() {
    for (client_first, closer) in [(true, Closer::Client), (false, Closer::Server)] {
        let (mut client, mut server, task, moved) = relay().await;
        client.write_all(b"question").await.unwrap();
        server.read_exact(&mut [0; 8]).await.unwrap();
        let (first, second) =
            if client_first { (&mut client, &mut server) } else { (&mut server, &mut client) };
        first.shutdown().await.unwrap();
        assert_eq!(soon(second.read(&mut [0; 1])).await.unwrap(), 0);
        second.shutdown().await.unwrap();
        soon(task).await.unwrap().unwrap();
        let ends = moved.ends();
        assert_eq!(ends.closed_by, Some(closer));
        let (near, far) = (ends.near.unwrap(), ends.far.unwrap());
        assert!(near.bytes_received >= 8 && far.bytes_received < 8, "{near:?} {far:?}");
    }
}

#[tokio::test]
async fn whoever_breaks_first_is_known() {
    for (client_breaks, closer) in [(true, Closer::Client), (false, Closer::Server)] {
        let (client, server, task, moved) = relay().await;
        let (breaks, mut hears) = if client_breaks { (client, server) } else { (server, client) };
        culvert_sys::tcp::reset_on_close(&breaks).unwrap();
        drop(breaks);
        soon(hears.read(&mut [0; 1])).await.unwrap_err();
        assert!(soon(task).await.unwrap().is_err());
        assert_eq!(moved.ends().closed_by, Some(closer));
    }
}

/// Sends until nothing goes any more; says how much that was.
async fn fill(from: &mut TcpStream) -> usize {
    let (piece, mut sent) = ([7; 64 * 1024], 0);
    while let Ok(Ok(written)) = tokio::time::timeout(Duration::from_millis(300), from.write(&piece)).await {
        sent += written;
    }
    sent
}

#[tokio::test]
async fn what_came_before_a_reset_is_delivered_to_who_begins_to_read_in_time() {
    let (mut client, mut server, task, moved) = small_relay().await;
    let sent = fill(&mut client).await;
    // What the client's kernel has not sent is thrown away.
    let unsent = culvert_sys::tcp::unsent(&client).unwrap();
    culvert_sys::tcp::reset_on_close(&client).unwrap();
    drop(client);
    // The break is known, and nobody reads yet: a tenth of what there is to begin.
    tokio::time::sleep(LAST_BYTES / 10).await;
    let (mut piece, mut got) = (vec![0; 64 * 1024], 0);
    let broken = loop {
        match soon(server.read(&mut piece)).await {
            Ok(0) => panic!("a break is no end"),
            Ok(read) => got += read,
            Err(error) => break error,
        }
    };
    assert_eq!(broken.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(got >= sent - unsent, "{got} of {sent}, {unsent} of them not sent");
    assert!(matches!(
        soon(task).await.unwrap(),
        Err(Ended::Early(Early::Client(Broken::Reset(Reset::Socket))))
    ));
    assert_eq!(moved.forth.bytes(), got as u64);
}

#[tokio::test]
async fn a_server_that_breaks_while_its_client_waits_breaks_the_client() {
    let (mut client, server, task, _) = small_relay().await;
    fill(&mut client).await;
    culvert_sys::tcp::reset_on_close(&server).unwrap();
    drop(server);
    let error = soon(async {
        loop {
            if let Err(error) = client.write(&[7; 1024]).await {
                break error;
            }
        }
    });
    assert!(matches!(
        error.await.kind(),
        std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe
    ));
    assert!(matches!(
        soon(task).await.unwrap(),
        Err(Ended::Early(Early::Server(Broken::Reset(Reset::Socket))))
    ));
}

/// With an urgent byte before the end, which nobody reads.
#[tokio::test]
async fn an_answer_is_whole_although_the_request_ended_in_urgent_data() {
    const ANSWER: usize = 4 << 20;
    let (mut client, mut server, task, _) = relay().await;
    client.write_all(b"question").await.unwrap();
    socket2::SockRef::from(&client).send_out_of_band(b"!").unwrap();
    client.shutdown().await.unwrap();
    let mut question = Vec::new();
    soon(server.read_to_end(&mut question)).await.unwrap();
    assert!(question.starts_with(b"question"));
    let answering = tokio::spawn(async move {
        server.write_all(&vec![7; ANSWER]).await.unwrap();
        server.shutdown().await.unwrap();
        server
    });
    // Both sockets of the relay are closed by then, and what the client has not read is still in one of them.
    let mut answer = Vec::new();
    let mut piece = vec![0; 4096];
    while answer.len() < ANSWER / 2 {
        let read = soon(client.read(&mut piece)).await.unwrap();
        answer.extend_from_slice(&piece[..read]);
    }
    drop(soon(answering).await.unwrap());
    soon(client.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer.len(), ANSWER);
    assert!(soon(task).await.unwrap().is_ok());
}
