//! Network namespaces: naming them, holding them open, and running code inside one (`namespaces(7)`, `setns(2)`).

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::{FileStat, fstat};

/// An open network namespace. It exists at least as long as this value.
#[derive(Debug)]
pub struct Netns {
    fd: OwnedFd,
    id: NetnsId,
}

/// What makes two descriptors the same namespace: device and inode of the namespace file.
///
/// The kernel reuses inodes of dead namespaces, so two equal ids mean the same namespace only while one of them is
/// held open as a [`Netns`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NetnsId {
    device: u64,
    inode: u64,
}

impl NetnsId {
    /// Of the namespace a file leads to.
    pub(crate) fn of_file(file: &FileStat) -> Self {
        Self { device: file.st_dev, inode: file.st_ino }
    }
}

impl std::fmt::Display for NetnsId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "net:[{}]", self.inode)
    }
}

impl Netns {
    /// Opens the namespace a file names: `/run/netns/NAME`, `/proc/PID/ns/net`, or any bind mount of such a file.
    ///
    /// # Errors
    /// When the file cannot be opened, or is not a network namespace (`InvalidInput`).
    pub fn open(path: &Path) -> io::Result<Self> {
        // Otherwise a named pipe in its place would be waited for until somebody writes to it.
        let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
        Self::from_fd(file.into())
    }

    /// Opens the namespace a process lives in.
    ///
    /// # Errors
    /// When there is no such process, or it may not be looked at.
    pub fn of_process(pid: u32) -> io::Result<Self> {
        Self::open(Path::new(&format!("/proc/{pid}/ns/net")))
    }

    /// Opens the namespace the calling thread is in.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn current() -> io::Result<Self> {
        Self::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// Takes a descriptor somebody passed, after asking the kernel what it is.
    ///
    /// # Errors
    /// `InvalidInput` when the descriptor is not a network namespace.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        if namespace_type(fd.as_fd())? != CloneFlags::CLONE_NEWNET.bits() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a network namespace"));
        }
        let id = NetnsId::of_file(&fstat(&fd)?);
        Ok(Self { fd, id })
    }

    /// Makes a new, empty namespace that nobody else can see by name: it goes when its last holder goes.
    ///
    /// # Errors
    /// Without `CAP_SYS_ADMIN`, or when the kernel's limit on namespaces is reached.
    pub fn create() -> io::Result<Self> {
        on_own_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Self::current()
        })
    }

    /// Which namespace this is.
    #[must_use]
    pub fn id(&self) -> NetnsId {
        self.id
    }

    /// A path other processes can open while this process holds the namespace.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.fd.as_raw_fd()))
    }

    /// A second handle on the same namespace.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { fd: self.fd.try_clone()?, id: self.id })
    }

    /// Runs `work` with the calling thread inside this namespace, and comes back.
    ///
    /// Meant for short, non-blocking work such as making a socket: a socket stays in the namespace it was made in.
    /// Must not be nested.
    ///
    /// # Errors
    /// When the namespace cannot be entered; `work` has then not run.
    ///
    /// # Aborts
    /// When the thread cannot come back. A worker left in a pod's namespace would open other pods' sockets there;
    /// ending the process fails closed.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        let home = home()?;
        let _back = Inside::enter(self.fd.as_fd(), home)?;
        Ok(work())
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, the thread is in a foreign namespace.
struct Inside {
    home: BorrowedFd<'static>,
}

impl Inside {
    fn enter(fd: BorrowedFd<'_>, home: BorrowedFd<'static>) -> io::Result<Self> {
        if INSIDE.get() {
            return Err(io::Error::other("already inside another network namespace"));
        }
        setns(fd, CloneFlags::CLONE_NEWNET)?;
        INSIDE.set(true);
        Ok(Self { home })
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if let Err(error) = setns(self.home, CloneFlags::CLONE_NEWNET) {
            eprintln!("fatal: cannot return to the own network namespace: {error}");
            std::process::abort();
        }
        INSIDE.set(false);
    }
}

/// The namespace the process was started in, opened once: before any thread has moved.
fn home() -> io::Result<BorrowedFd<'static>> {
    static HOME: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(home) = HOME.get() {
        return Ok(home.as_fd());
    }
    let opened = File::open("/proc/self/ns/net")?;
    Ok(HOME.get_or_init(|| opened.into()).as_fd())
}

/// Runs `work` on a thread of its own, whose namespace may be left behind with it.
fn on_own_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("netns".into()).spawn_scoped(scope, work)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the namespace thread panicked")))
    })
}

/// `NS_GET_NSTYPE` of `ioctl_ns(2)`.
#[expect(unsafe_code, reason = "ioctl has no safe wrapper")]
fn namespace_type(fd: BorrowedFd<'_>) -> io::Result<i32> {
    const NS_GET_NSTYPE: nix::libc::c_ulong = 0xb703;
    // SAFETY: the descriptor is open for the call, and NS_GET_NSTYPE takes no argument and returns an int.
    let kind = unsafe { nix::libc::ioctl(fd.as_raw_fd(), NS_GET_NSTYPE) };
    if kind < 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a network namespace"));
    }
    Ok(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_namespace_has_one_id() {
        let (a, b) = (Netns::current().unwrap(), Netns::of_process(std::process::id()).unwrap());
        assert_eq!(a.id(), b.id());
    }

    #[test]
    fn an_ordinary_file_is_not_a_namespace() {
        let error = Netns::open(Path::new("/etc/passwd")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_named_pipe_is_refused_and_not_waited_for() {
        let pipe = std::env::temp_dir().join(format!("culvert-netns-pipe-{}", std::process::id()));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let (opened, refused) = std::sync::mpsc::channel();
        let path = pipe.clone();
        std::thread::spawn(move || opened.send(Netns::open(&path)));
        let refused = refused.recv_timeout(std::time::Duration::from_secs(20));
        std::fs::remove_file(&pipe).unwrap();
        let error = refused.expect("nobody is waited for").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn another_kind_of_namespace_is_refused() {
        let error = Netns::open(Path::new("/proc/self/ns/mnt")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn work_runs_inside_and_the_thread_comes_back() {
        let home = Netns::current().unwrap().id();
        let other = Netns::create().unwrap();
        assert_ne!(other.id(), home);
        let seen = other.run(|| Netns::current().unwrap().id()).unwrap();
        assert_eq!(seen, other.id());
        assert_eq!(Netns::current().unwrap().id(), home);
    }

    #[test]
    fn a_panic_inside_still_brings_the_thread_back() {
        let home = Netns::current().unwrap().id();
        let other = Netns::create().unwrap();
        let result =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| other.run(|| panic!("on purpose"))));
        assert!(result.is_err());
        assert_eq!(Netns::current().unwrap().id(), home);
    }

    #[test]
    fn nesting_is_refused() {
        let (a, b) = (Netns::create().unwrap(), Netns::create().unwrap());
        assert!(a.run(|| b.run(|| ()).is_err()).unwrap());
    }
}
