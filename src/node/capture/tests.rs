use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::drain;
use crate::limits::Turnstile;

/// Waits at a listener.
const WAITING: usize = 200;

#[tokio::test]
async fn who_waits_at_a_listener_is_not_accepted_all_at_once() {
    let address = "127.0.0.1:0".parse().unwrap();
    let how = Listen { address, mark: None, reuse_port: false, transparent: Transparent::Never };
    let (listener, _) = tcp::listen(&how).unwrap();
    let to = listener.local_addr().unwrap();
    let waiting: Vec<_> = (0..WAITING).map(|_| std::net::TcpStream::connect(to).unwrap()).collect();
    let (accepted, served) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let most = AtomicUsize::new(0);
    let serve = |_, _| {
        let ahead = accepted.fetch_add(1, Ordering::Relaxed) + 1 - served.load(Ordering::Relaxed);
        most.fetch_max(ahead, Ordering::Relaxed);
        let served = Arc::clone(&served);
        async move {
            served.fetch_add(1, Ordering::Relaxed);
        }
    };
    let (_drain, guard) = drain::channel();
    let all_served = async {
        while served.load(Ordering::Relaxed) < WAITING {
            tokio::task::yield_now().await;
        }
    };
    let turnstile = Turnstile::default();
    let done = async {
        tokio::select! {
            () = Listener::of_direct(listener).unwrap().each(guard, &turnstile, serve) => panic!("nobody drains it"),
            () = all_served => {}
        }
    };
    tokio::time::timeout(Duration::from_secs(10), done).await.unwrap();
    let most = most.into_inner();
    assert!(most <= 2, "{most} were accepted before they were looked at");
    drop(waiting);
}
