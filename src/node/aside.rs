//! Work that gives way to the data plane.

use std::io;
use std::thread;

use culvert_sys::priority;
use tokio::runtime::{Builder, EnterGuard, Runtime};

/// A runtime whose one thread, and those it starts, get the processor when nobody else of this process wants it.
#[derive(Debug)]
pub(crate) struct Aside(Runtime);

impl Aside {
    /// Makes the runtime; nothing runs yet.
    pub(crate) fn new() -> io::Result<Self> {
        Builder::new_current_thread().enable_all().build().map(Self)
    }

    /// Sockets, timers and tasks that are made meanwhile are its own.
    pub(crate) fn enter(&self) -> EnterGuard<'_> {
        self.0.enter()
    }

    /// Does the work on a thread of this name. What it has begun, and has not waited for, ends with it.
    pub(crate) fn run(
        self,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let run = move || {
            if let Err(error) = priority::give_way() {
                tracing::warn!(%error, thread = name, "does not give way to the data plane");
            }
            self.0.block_on(work);
            self.0.shutdown_background();
        };
        thread::Builder::new().name(name.into()).spawn(run).map(drop)
    }
}
