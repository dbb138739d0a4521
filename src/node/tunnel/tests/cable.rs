//! The network between two nodes: it can be slow, and it can break.

use tokio::sync::watch;

use super::*;

/// Passes the bytes of tunnels on, until it is told otherwise.
pub(super) struct Cable {
    /// The near end.
    pub(super) address: SocketAddr,
    how: watch::Sender<How>,
    _tasks: Tasks,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Passing,
    /// Nothing goes through; nobody is told.
    Stuck,
    /// Both ends are told that the connection was reset.
    Reset,
    /// Both ends are told that the other one has closed the connection; TLS says nothing.
    Closed,
}

impl Cable {
    pub(super) async fn to(far: SocketAddr) -> Self {
        // A network holds less than the windows of a stream that moves a lot.
        let listener = Buffers::Small.listener();
        let address = listener.local_addr().unwrap();
        let (how, seen) = watch::channel(How::Passing);
        let (tasks, connections) = (Tasks::default(), Tasks::default());
        tasks.spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = Buffers::Small.socket().connect(far).await.unwrap();
                connections.spawn(pass(near, far, seen.clone()));
            }
        });
        Self { address, how, _tasks: tasks }
    }

    /// From now on it is so.
    pub(super) fn is(&self, how: How) {
        self.how.send_replace(how);
    }
}

async fn pass(mut near: TcpStream, mut far: TcpStream, how: watch::Receiver<How>) {
    let mut broken = how.clone();
    {
        let ((from_near, to_near), (from_far, to_far)) = (near.split(), far.split());
        let both = async {
            tokio::join!(
                pass_one_way(from_near, to_far, how.clone()),
                pass_one_way(from_far, to_near, how.clone())
            )
        };
        tokio::select! {
            _ = both => return,
            _ = broken.wait_for(|how| matches!(how, How::Reset | How::Closed)) => {}
        }
    }
    if *broken.borrow() == How::Reset {
        culvert_sys::tcp::reset_on_close(&near).unwrap();
        culvert_sys::tcp::reset_on_close(&far).unwrap();
    }
}

async fn pass_one_way(
    mut from: tokio::net::tcp::ReadHalf<'_>,
    mut to: tokio::net::tcp::WriteHalf<'_>,
    mut how: watch::Receiver<How>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        // It lets nothing through any more when the test is over.
        let _ = how.wait_for(|how| *how == How::Passing).await;
        let read = from.read(&mut buffer).await?;
        let _ = how.wait_for(|how| *how == How::Passing).await;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
    }
}
