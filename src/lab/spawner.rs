//! The one thread that starts the programs of all labs of this process.
//!
//! The kernel ends a child together with the *thread* that started it (`PR_SET_PDEATHSIG`, `prctl(2)`). Test threads
//! come and go; this one lives as long as the process, so programs end exactly when the process does, even by
//! `SIGKILL`.

use std::io;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use culvert_sys::child::die_with_parent;

/// A command to start, and where the child goes.
type Order = (Command, Sender<io::Result<Child>>);

static ORDERS: Mutex<Option<Sender<Order>>> = Mutex::new(None);

/// Starts a command whose process ends with this one.
pub(crate) fn spawn(mut command: Command) -> io::Result<Child> {
    die_with_parent(&mut command);
    let (reply, child) = channel();
    orders()?.send((command, reply)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}

fn orders() -> io::Result<Sender<Order>> {
    let mut orders = ORDERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(orders) = orders.as_ref() {
        return Ok(orders.clone());
    }
    let (sender, receiver) = channel();
    thread::Builder::new().name("lab-spawner".into()).spawn(move || serve(&receiver))?;
    Ok(orders.insert(sender).clone())
}

fn serve(orders: &Receiver<Order>) {
    while let Ok((mut command, reply)) = orders.recv() {
        // Who ordered is waiting for the answer, unless their thread was ended from outside.
        let _ = reply.send(command.spawn());
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread that starts programs is gone")
}
