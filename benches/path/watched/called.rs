//! Calls to many workloads, once each, so that the metrics of a node have series for all of them.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::scene::Scene;
use crate::mesh::made;
use crate::path::error::{Doing as _, Error};
use crate::path::load::{self, SHORT};

/// How many call at once.
const CALLERS: usize = 4;

/// Has the client call the first of the workloads.
pub(super) fn call_all(scene: &Scene, count: usize) -> Result<(), Error> {
    let next = AtomicUsize::new(0);
    let client = scene.bed.client.netns();
    let call = || client.run(|| call_next(&next, count)).and_then(|called| called);
    let called = thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(call)).collect();
        callers.into_iter().try_for_each(|caller| {
            caller.join().unwrap_or_else(|_| Err(io::Error::other("a caller's thread panicked")))
        })
    });
    called.doing(|| format!("call {count} workloads"))
}

fn call_next(next: &AtomicUsize, count: usize) -> io::Result<()> {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= count {
            return Ok(());
        }
        load::ask_anew(SocketAddr::new(made::pod_address(number), SHORT))?;
    }
}
