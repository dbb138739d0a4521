//! The other end: the `h2` crate, as a server or as a client, with one task for every stream.

mod client;
mod leg;
mod server;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use culvert_core::tunnel::http2::Role;
use h2::{Ping, PingPong};
use http::HeaderMap;
use tokio::io::DuplexStream;

use crate::plan::{Plan, Script};
use crate::report::Report;

/// Serves, or asks, until the connection is over.
pub(crate) async fn run(plan: Rc<Plan>, io: DuplexStream) -> Result<Vec<Report>, String> {
    match plan.role {
        Role::Client => server::run(plan, io).await,
        Role::Server => client::run(plan, io).await,
    }
}

type Outcome = (usize, Report);

/// Puts reports in the order of the scripts.
fn in_order(plan: &Plan, outcomes: impl IntoIterator<Item = Outcome>) -> Vec<Report> {
    let mut reports = vec![Report::default(); plan.scripts.len()];
    for (index, report) in outcomes {
        reports[index] = report;
    }
    reports
}

/// So much that no plan of ours is in its way.
const UNLIMITED: usize = 1 << 30;

/// Sets what the builders of both roles have in common.
macro_rules! configure {
    ($builder:expr, $theirs:expr) => {
        $builder
            .initial_window_size($theirs.window)
            .initial_connection_window_size($theirs.connection_window)
            .max_frame_size($theirs.frame)
            .header_table_size($theirs.table)
            .max_concurrent_reset_streams($crate::theirs::UNLIMITED)
            .max_pending_accept_reset_streams($crate::theirs::UNLIMITED)
            .max_local_error_reset_streams(None)
            .data_frame_budget($crate::theirs::UNLIMITED)
            .max_send_buffer_size(32 * 1024)
    };
}
use configure;

fn headers(script: &Script, headers: &mut HeaderMap) {
    for (name, value) in &script.fields {
        let name = http::HeaderName::try_from(name).unwrap();
        headers.append(name, value.try_into().unwrap());
    }
}

fn check_headers(script: &Script, came: &HeaderMap) -> Result<(), String> {
    let mut sent: Vec<(&str, &str)> = script.fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let mut came: Vec<(&str, &str)> = came.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
    sent.sort_unstable();
    came.sort_unstable();
    if sent == came { Ok(()) } else { Err("h2 saw other fields than those that were sent".to_owned()) }
}

/// PINGs, one after another.
struct Pings {
    pings: Option<PingPong>,
    left: u32,
    waiting: bool,
    answered: Rc<Gate>,
}

impl Pings {
    fn new(pings: Option<PingPong>, left: u32) -> Self {
        Self { pings, left, waiting: false, answered: Rc::default() }
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        let Some(pings) = &mut self.pings else { return };
        let mut answered = false;
        while self.waiting || self.left > 0 {
            if !self.waiting {
                if pings.send_ping(Ping::opaque()).is_err() {
                    break;
                }
                self.left -= 1;
                self.waiting = true;
            }
            match pings.poll_pong(cx) {
                Poll::Ready(Ok(_)) => (self.waiting, answered) = (false, true),
                Poll::Ready(Err(_)) | Poll::Pending => break,
            }
        }
        if answered {
            self.answered.open();
        }
    }
}

/// Something that happens once.
#[derive(Default)]
struct Gate {
    is_open: Cell<bool>,
    wakers: RefCell<Vec<Waker>>,
}

impl Gate {
    fn open(&self) {
        self.is_open.set(true);
        self.wakers.take().into_iter().for_each(Waker::wake);
    }

    async fn pass(&self) {
        poll_fn(|cx| {
            if self.is_open.get() {
                return Poll::Ready(());
            }
            self.wakers.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Lets others take so many turns.
async fn rest(turns: u32) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
}
