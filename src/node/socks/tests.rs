use std::time::Instant;

use culvert_core::socks::Reply;
use tokio::net::TcpListener;

use super::*;
use crate::limits::tests::{all, alone};
use crate::outcome::Failure;

/// A client and our end of its connection.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (dialled, accepted) =
        tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (dialled.unwrap(), accepted.unwrap().0)
}

const REQUEST: &[u8] = b"\x05\x01\0\x05\x01\0\x03\x03web\0\x50";

#[tokio::test]
async fn a_client_is_heard_and_what_it_says_next_is_left_to_the_connection() {
    let (mut client, mut near) = pair().await;
    client.write_all(&[REQUEST, b"GET /"].concat()).await.unwrap();
    let target = hear(&mut near, &alone()).await.unwrap();
    assert_eq!(target, Target::Name { host: "web".into(), port: 80 });
    let mut left = [0; 5];
    near.read_exact(&mut left).await.unwrap();
    assert_eq!(&left, b"GET /");
    let mut heard = [0; 2];
    client.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, [5, 0]);
}

#[tokio::test]
async fn a_client_that_leaves_has_left() {
    for said in [&b""[..], b"\x05", &REQUEST[..10]] {
        let (mut client, mut near) = pair().await;
        client.write_all(said).await.unwrap();
        client.shutdown().await.unwrap();
        let error = hear(&mut near, &alone()).await.unwrap_err();
        assert!(matches!(error, Error::Left(_)), "{said:?}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_slow_is_not_waited_for() {
    let (mut client, mut near) = pair().await;
    client.write_all(&REQUEST[..10]).await.unwrap();
    let began = tokio::time::Instant::now();
    let error = hear(&mut near, &alone()).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut), "{error}");
    assert_eq!(began.elapsed().as_secs(), 10);
}

#[tokio::test]
async fn only_so_many_are_heard_at_the_same_time() {
    let limits = alone();
    let mut places = all(&limits, Limit::SocksNegotiations);
    drop(places.pop());
    let ((mut first, mut first_near), (mut second, mut second_near)) = (pair().await, pair().await);
    let both = async {
        let heard = hear(&mut first_near, &limits);
        tokio::pin!(heard);
        // The first has its place as soon as it is looked at.
        tokio::select! {
            biased;
            _ = &mut heard => panic!("it has said nothing"),
            () = std::future::ready(()) => {}
        }
        let error = hear(&mut second_near, &limits).await.unwrap_err();
        assert!(matches!(error, Error::TooMany(_)), "{error}");
        first.write_all(REQUEST).await.unwrap();
        heard.await.unwrap();
    };
    both.await;
    drop(places);
    second.write_all(REQUEST).await.unwrap();
    hear(&mut second_near, &limits).await.unwrap();
}

/// A close with something unread is a reset, which may overtake the answer.
#[tokio::test]
async fn an_answer_is_heard_by_a_client_that_goes_on_speaking() {
    let (mut client, near) = pair().await;
    // As every socket of an application begins.
    culvert_sys::tcp::reset_on_close(&near).unwrap();
    client.write_all(&[b'x'; 10_000]).await.unwrap();
    let left = tokio::spawn(async move { leave(near, &Failure::Drained).await });
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, Reply::Failure.bytes());
    client.write_all(b"and then").await.unwrap();
    drop(client);
    let began = Instant::now();
    left.await.unwrap();
    assert!(began.elapsed() < crate::stream::LAST_BYTES, "it waits for the client, and no longer");
}
