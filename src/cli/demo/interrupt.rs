//! Ctrl-C: remembered for the story, which looks between two lines, so that what it built is taken down in order.
//!
//! In go SIGINT and SIGTERM; out comes an answer to "may I go on?". The second signal ends the process at once: the
//! kernel then ends its programs, and with them the namespaces and their rules. Only the logs stay.

use std::process;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use culvert_process::signal::Stop;
use tokio::runtime::{Builder, Runtime};

use super::Error;

/// Programs such as timeout(1) pass a signal on that has also come directly; what comes this soon is the same one.
const ONE_KEYSTROKE: Duration = Duration::from_millis(300);

/// Which signal came, if one did.
#[derive(Debug)]
pub(crate) struct Interrupt(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    signal: Mutex<Option<&'static str>>,
    came: Condvar,
}

impl Interrupt {
    /// Starts to listen.
    pub(crate) fn listen() -> Result<Self, Error> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Error::Signals)?;
        let stop = runtime.block_on(async { Stop::listen() }).map_err(Error::Signals)?;
        let shared = Arc::new(Shared::default());
        let listener = Arc::clone(&shared);
        let listen = move || listener.listen(&runtime, stop);
        thread::Builder::new().name("interrupt".into()).spawn(listen).map_err(Error::Signals)?;
        Ok(Self(shared))
    }

    /// Fails once a signal has come.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match *self.0.signal() {
            Some(signal) => Err(Error::Interrupted { signal }),
            None => Ok(()),
        }
    }

    /// Waits for the signal.
    pub(crate) fn wait(&self) {
        let wait = self.0.came.wait_while(self.0.signal(), |signal| signal.is_none());
        drop(wait);
    }
}

impl Shared {
    fn listen(&self, runtime: &Runtime, mut stop: Stop) {
        let signal = runtime.block_on(stop.asked());
        *self.signal() = Some(signal);
        self.came.notify_all();
        eprintln!("\nculvert: {signal}: taking everything down; a second one ends it at once");
        let first = Instant::now();
        while first.elapsed() < ONE_KEYSTROKE {
            runtime.block_on(stop.asked());
        }
        process::exit(1);
    }

    fn signal(&self) -> MutexGuard<'_, Option<&'static str>> {
        self.signal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
