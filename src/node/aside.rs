//! Work that gives way to the data plane.

use std::io;
use std::thread;

use culvert_sys::priority;
use tokio::runtime::{Builder, EnterGuard, Runtime};

/// A runtime whose one thread, and those it starts, get the processor when nobody else of this process wants it. It is there until it
/// runs or is dropped.
#[derive(Debug)]
pub(crate) struct Aside(Option<Runtime>);

impl Aside {
    /// Makes the runtime; nothing runs yet.
    pub(crate) fn new() -> io::Result<Self> {
        Builder::new_current_thread().enable_all().build().map(Some).map(Self)
    }

    /// Sockets, timers and tasks that are made meanwhile are its own.
    pub(crate) fn enter(&self) -> EnterGuard<'_> {
        self.0.as_ref().expect("it does not run yet").enter()
    }

    /// Does the work on a thread of this name. What it has begun, and has not waited for, ends with it.
    pub(crate) fn run(
        mut self,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let runtime = self.0.take().expect("it does not run yet");
        let run = move || {
            if let Err(error) = priority::give_way() {
                tracing::warn!(%error, thread = name, "does not give way to the data plane");
            }
            runtime.block_on(work);
            runtime.shutdown_background();
        };
        thread::Builder::new().name(name.into()).spawn(run).map(drop)
    }
}

impl Drop for Aside {
    /// Where something else could not be had, this is let go of by a task, which must not wait for its threads.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_can_let_go_of_one_that_never_ran() {
        drop(Aside::new().unwrap());
    }
}
