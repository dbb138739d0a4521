//! Ctrl-C: remembered until the measurement in progress is over, so that everything is taken down in order.
//!
//! The second signal ends the process at once; the kernel then ends the programs, and with them the namespaces.

use std::io;
use std::sync::{Arc, OnceLock};
use std::thread;

use culvert_process::signal::Stop;
use tokio::runtime::{Builder, Runtime};

use super::error::{Doing as _, Error};

/// Which signal came, if one did.
pub(super) struct Interrupt(Arc<OnceLock<&'static str>>);

impl Interrupt {
    /// Starts to listen.
    pub(super) fn listen() -> Result<Self, Error> {
        let came = Arc::new(OnceLock::new());
        let told = Arc::clone(&came);
        start(move |runtime, mut stop| {
            let signal = runtime.block_on(stop.asked());
            eprintln!("\nculvert-bench: {signal}: taking everything down; a second one ends it at once");
            // Nobody else sets it.
            let _ = told.set(signal);
            runtime.block_on(stop.asked());
            std::process::exit(1);
        })
        .doing(|| "listen for signals".into())?;
        Ok(Self(came))
    }

    /// Fails once a signal has come.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self.0.get() {
            Some(signal) => Err(Error::Interrupted { signal }),
            None => Ok(()),
        }
    }
}

fn start(listen: impl FnOnce(Runtime, Stop) + Send + 'static) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let stop = runtime.block_on(async { Stop::listen() })?;
    thread::Builder::new().name("interrupt".into()).spawn(move || listen(runtime, stop))?;
    Ok(())
}
