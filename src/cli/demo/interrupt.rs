//! Ctrl-C: remembered for the story, which looks between two lines, so that what it built is taken down in order.
//!
//! In go SIGINT, SIGTERM and SIGHUP (the terminal is gone); out comes an answer to "may I go on?". The second signal
//! ends the process at once: the kernel then ends its programs, and with them the namespaces and their rules. Only the
//! logs stay.

use std::io::{self, Write as _};
use std::process;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use culvert_process::signal::Stop;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

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
        let signals = runtime.block_on(async { Signals::listen() }).map_err(Error::Signals)?;
        let shared = Arc::new(Shared::default());
        let listener = Arc::clone(&shared);
        let listen = move || listener.listen(&runtime, signals);
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

struct Signals {
    stop: Stop,
    hangup: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { stop: Stop::listen()?, hangup: signal(SignalKind::hangup())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            name = self.stop.asked() => name,
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}

impl Shared {
    fn listen(&self, runtime: &Runtime, mut signals: Signals) {
        let signal = runtime.block_on(signals.next());
        *self.signal() = Some(signal);
        self.came.notify_all();
        // Nobody may be reading any more.
        let _ = writeln!(
            io::stderr(),
            "\nculvert: {signal}: taking everything down; a second one ends it at once"
        );
        let first = Instant::now();
        while first.elapsed() < ONE_KEYSTROKE {
            runtime.block_on(signals.next());
        }
        process::exit(1);
    }

    fn signal(&self) -> MutexGuard<'_, Option<&'static str>> {
        self.signal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
