//! What listens is only pretended.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::{Instant, timeout};

use super::*;

/// A directory of this test's own.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("culvert-socket-file-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn refused(path: &Path, listen: Listen<()>) -> Error {
    SocketFile::bind(path, listen).unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn room_on_the_disk_is_waited_for() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    fn in_the_end(_: &Path) -> io::Result<&'static str> {
        match CALLS.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Err(io::ErrorKind::StorageFull.into()),
            2 => Err(io::ErrorKind::QuotaExceeded.into()),
            // Other trouble that comes while room is waited for ends nothing either.
            3 => Err(io::ErrorKind::AddrInUse.into()),
            _ => Ok("listens"),
        }
    }

    let scratch = Scratch::new("room");
    let mut socket = SocketFile::bind(&scratch.0.join("s"), in_the_end).unwrap();
    assert!(!socket.is_open());
    let begun = Instant::now();
    // Who is interrupted goes on afterwards.
    assert!(timeout(ROOM / 2, socket.listener()).await.is_err());
    assert_eq!(*socket.listener().await, "listens");
    assert!(begun.elapsed() >= ROOM * 2, "{:?}", begun.elapsed());
    assert_eq!(*socket.listener().await, "listens");
    assert_eq!((CALLS.load(Ordering::Relaxed), socket.is_open()), (5, true), "it is opened once");
}

#[test]
fn a_full_disk_and_a_full_quota_are_no_errors() {
    let scratch = Scratch::new("full");
    let path = scratch.0.join("s");
    let full: [Listen<()>; 2] =
        [|_| Err(io::ErrorKind::StorageFull.into()), |_| Err(io::ErrorKind::QuotaExceeded.into())];
    for listen in full {
        assert!(!SocketFile::bind(&path, listen).unwrap().is_open());
    }
}

#[test]
fn all_else_is_an_error_that_says_what() {
    let scratch = Scratch::new("errors");
    let path = scratch.0.join("deep/down/s");
    assert!(SocketFile::bind(&path, |_| Ok(())).unwrap().is_open());
    assert!(path.parent().unwrap().is_dir(), "its directory is made");
    let in_use = refused(&path, |_| Err(io::ErrorKind::AddrInUse.into()));
    assert!(matches!(in_use, Error::InUse { .. }), "{in_use}");
    let denied = refused(&path, |_| Err(io::ErrorKind::PermissionDenied.into()));
    assert!(matches!(denied, Error::Listen { .. }), "{denied}");
    fs::write(scratch.0.join("file"), "").unwrap();
    let below_a_file = refused(&scratch.0.join("file/s"), |_| Ok(()));
    assert!(matches!(below_a_file, Error::Directory { .. }), "{below_a_file}");
}
