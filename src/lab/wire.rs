//! A recording of everything that passes an interface: the witness that can say what was *not* sent.
//!
//! In goes an interface; out comes a [`Capture`], during the recording or at its end. It does not reassemble streams
//! or decrypt anything.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use culvert_sys::netns::Netns;
use culvert_sys::tap::Tap;

use crate::Error;
use crate::error::Doing as _;

mod capture;
mod packet;

pub use capture::Capture;
pub use packet::{Packet, Protocol, TcpFlags};

/// How long one look for a packet lasts.
const LOOK: Duration = Duration::from_millis(20);
/// A wire that has been quiet this long has delivered what was sent before.
const QUIET: Duration = Duration::from_millis(100);
/// How long the end of a recording waits for quiet on a wire that is in use.
const LAST_LOOK: Duration = Duration::from_secs(5);

/// A recording in progress.
#[derive(Debug)]
pub struct Wire {
    interface: String,
    stopping: Arc<AtomicBool>,
    capture: Arc<Mutex<Capture>>,
    recorder: Option<JoinHandle<io::Result<()>>>,
}

impl Wire {
    /// Starts to record the packets of an interface, in both directions; none that is sent later is missed.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn open(netns: &Netns, interface: &str) -> Result<Self, Error> {
        Self::record(Tap::open(netns, interface), interface)
    }

    /// Starts to record the packets of all interfaces of a host, those made later included. What the host forwards is there
    /// once for each interface it passes.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn of_host(netns: &Netns) -> Result<Self, Error> {
        Self::record(Tap::open_all(netns), "any interface")
    }

    fn record(tap: io::Result<Tap>, interface: &str) -> Result<Self, Error> {
        let doing = || format!("record what passes {interface}");
        let tap = tap.doing(doing)?;
        let (stopping, capture) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::default()));
        let recorder = Recorder { tap, stopping: Arc::clone(&stopping), capture: Arc::clone(&capture) };
        let recorder =
            thread::Builder::new().name("lab-wire".into()).spawn(move || recorder.record()).doing(doing)?;
        Ok(Self { interface: interface.to_owned(), stopping, capture, recorder: Some(recorder) })
    }

    /// Whether these bytes have passed so far. For the opposite, [`stop`](Self::stop) first: packets take time.
    #[must_use]
    pub fn contains(&self, bytes: &[u8]) -> bool {
        self.look(|capture| capture.contains(bytes))
    }

    /// The TCP ports in use so far: see [`Capture::tcp_ports`].
    #[must_use]
    pub fn tcp_ports(&self) -> Vec<u16> {
        self.look(Capture::tcp_ports)
    }

    /// Looks at what was recorded so far. The recorder waits meanwhile.
    pub fn look<T>(&self, look: impl FnOnce(&Capture) -> T) -> T {
        look(&lock(&self.capture))
    }

    /// Takes out what was recorded so far, for recordings that would become too large.
    #[must_use]
    pub fn take(&self) -> Capture {
        std::mem::take(&mut lock(&self.capture))
    }

    /// Ends the recording, after everything that was sent before has been seen.
    ///
    /// # Errors
    /// When the interface went away during the recording.
    pub fn stop(mut self) -> Result<Capture, Error> {
        self.stopping.store(true, Ordering::Relaxed);
        let recorded = match self.recorder.take().map(JoinHandle::join) {
            Some(Ok(recorded)) => recorded,
            Some(Err(_)) | None => Err(io::Error::other("the recorder panicked")),
        };
        recorded.doing(|| format!("record what passes {}", self.interface))?;
        Ok(std::mem::take(&mut lock(&self.capture)))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // The recorder ends soon by itself; nobody will look at what it sees until then.
        self.stopping.store(true, Ordering::Relaxed);
    }
}

/// The thread that empties the tap.
struct Recorder {
    tap: Tap,
    stopping: Arc<AtomicBool>,
    capture: Arc<Mutex<Capture>>,
}

impl Recorder {
    fn record(self) -> io::Result<()> {
        while !self.stopping.load(Ordering::Relaxed) {
            self.take(LOOK)?;
        }
        let end = Instant::now() + LAST_LOOK;
        while self.take(QUIET)? && Instant::now() < end {}
        Ok(())
    }

    /// Records the next packet, if one comes.
    fn take(&self, wait: Duration) -> io::Result<bool> {
        let frame = self.tap.next(wait)?;
        let dropped = self.tap.dropped()?;
        let mut capture = lock(&self.capture);
        capture.note_dropped(dropped);
        let Some(frame) = frame else { return Ok(false) };
        capture.push(&frame);
        Ok(true)
    }
}

fn lock(capture: &Mutex<Capture>) -> MutexGuard<'_, Capture> {
    capture.lock().unwrap_or_else(PoisonError::into_inner)
}
