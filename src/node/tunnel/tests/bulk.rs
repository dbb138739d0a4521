//! Connections that move a lot get a tunnel for themselves.

use super::*;

/// A connection that moves as much as it can until it is stopped.
struct Bulk {
    writes: tokio::task::JoinHandle<()>,
    moved: Arc<Moved>,
    _carried: (Opened, Carried),
    _reads: Tasks,
}

impl Bulk {
    fn on((caller, callee): (Caller, Callee)) -> Self {
        let (mut says, mut hears) = (caller.socket, callee.socket);
        let writes = tokio::spawn(async move {
            while says.write_all(&[7; 64 * 1024]).await.is_ok() {
                tokio::task::yield_now().await;
            }
        });
        let reads = Tasks::default();
        reads.spawn(async move {
            let mut buffer = vec![0; 256 * 1024];
            while hears.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
        });
        Self { writes, moved: caller.moved, _carried: (caller.carried, callee.carried), _reads: reads }
    }

    /// Waits until it has moved so much more.
    async fn moves(&self, bytes: u64) {
        let goal = self.moved.forth.bytes() + bytes;
        until("it moves", || self.moved.forth.bytes() >= goal).await;
    }
}

impl Drop for Bulk {
    fn drop(&mut self) {
        self.writes.abort();
    }
}

#[tokio::test]
async fn a_tunnel_that_is_busy_with_bulk_is_left_alone_until_it_is_not() {
    let mut net = Net::start().await;
    let bulk = Bulk::on(net.connect().await);
    let mut others = Vec::new();
    soon(async {
        while net.server.tunnels() == 1 {
            bulk.moves(1 << 20).await;
            others.push(net.connect_on().await);
        }
    })
    .await;
    let (_, Taken { tunnel, .. }) = others.last().unwrap();
    assert_eq!((*tunnel, net.server.tunnels()), (1, 2));
    // The bulk is over, and its connection is still there.
    bulk.writes.abort();
    soon(async {
        while net.connect_on().await.1.tunnel != 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(net.server.tunnels(), 2);
}

#[tokio::test]
async fn bulk_does_not_open_tunnels_without_end() {
    let mut net = Net::start().await;
    let mut bulk = Vec::new();
    for _ in 0..12 {
        bulk.push(Bulk::on(net.connect().await));
        for each in &bulk {
            each.moves(1 << 20).await;
        }
    }
    let tunnels = net.server.tunnels();
    assert!((2..=8).contains(&tunnels), "{tunnels} tunnels");
}
