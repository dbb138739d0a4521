//! New connections at a steady rate while something happens, whether or not earlier ones are over.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use culvert_lab::Pod;

use super::talk::{Ending, exchange_on};

/// Callers do little, and there are many while nobody answers.
const STACK: usize = 256 * 1024;
/// How long a connection may take before it counts as failed: longer than any deadline of a proxy.
const PATIENCE: Duration = Duration::from_secs(20);

/// A steady load.
pub(crate) struct Load {
    pub(crate) from: Pod,
    pub(crate) to: SocketAddr,
    /// New connections per second.
    pub(crate) rate: u32,
    /// What the `n`th connection asks.
    pub(crate) ask: fn(u32) -> String,
}

/// What became of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// When it was made, counted from the beginning of the load.
    pub(crate) at: Duration,
    pub(crate) took: Duration,
    /// The caller's port; nothing when it was never connected.
    pub(crate) port: Option<u16>,
    pub(crate) ending: Ending,
}

impl Call {
    /// The answer, if it came whole.
    pub(crate) fn answer(&self) -> Option<&str> {
        let Ending::Complete(bytes) = &self.ending else { return None };
        str::from_utf8(bytes).ok().filter(|text| text.ends_with('\n')).map(str::trim_end)
    }
}

impl Load {
    /// Makes connections for as long as something happens, and gives them all, in the order they were made in.
    pub(crate) fn meanwhile(&self, happen: impl FnOnce(Instant)) -> Vec<Call> {
        let (over, begun, calls) = (AtomicBool::new(false), Instant::now(), Mutex::new(Vec::new()));
        let call = &|number| {
            let call = self.call(number, begun);
            calls.lock().unwrap().push(call);
        };
        let happened = thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0.. {
                    let due = Duration::from_secs(1) * number / self.rate;
                    // What makes the rate: nothing is waited for here.
                    thread::sleep(due.saturating_sub(begun.elapsed()));
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let caller = thread::Builder::new().stack_size(STACK);
                    caller.spawn_scoped(scope, move || call(number)).unwrap();
                }
            });
            // A failure in here must not leave the callers running.
            let happened = catch_unwind(AssertUnwindSafe(|| happen(begun)));
            over.store(true, Ordering::Relaxed);
            happened
        });
        if let Err(panic) = happened {
            resume_unwind(panic);
        }
        let mut calls = calls.into_inner().unwrap();
        calls.sort_by_key(|call: &Call| call.at);
        calls
    }

    fn call(&self, number: u32, begun: Instant) -> Call {
        let at = begun.elapsed();
        let (port, ending) = match self.from.connect(self.to, PATIENCE) {
            Ok(stream) => {
                let port = stream.local_addr().ok().map(|own| own.port());
                (port, exchange_on(stream, (self.ask)(number).as_bytes()))
            }
            Err(error) => (None, Ending::of(&error)),
        };
        Call { at, took: begun.elapsed() - at, port, ending }
    }
}
