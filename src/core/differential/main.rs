//! Our HTTP/2 and that of the `h2` crate, talking to each other in memory.
//!
//! Every case is a connection with a plan chosen by chance from its seed: limits of both ends, streams with payload both
//! ways, pauses, ends, resets, fields, and one end that leaves. Both ends report what they saw of every stream, and the
//! reports must fit: all that was sent came, as it was sent, no connection broke, and nothing waited for ever.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod by_hand;
mod ours;
mod plan;
mod report;
mod text;
mod theirs;

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use culvert_core::tunnel::http2::Role;
use tokio::task::LocalSet;

use plan::Plan;

/// What a case may take: a hundred times what it does.
const DEADLINE: Duration = Duration::from_secs(10);

/// More of them find more, and take longer.
const SEEDS: Range<u64> = 0..60;

#[test]
fn our_client_and_their_server() {
    cases(Role::Client, SEEDS);
}

#[test]
fn our_server_and_their_client() {
    cases(Role::Server, SEEDS);
}

#[track_caller]
fn cases(role: Role, seeds: Range<u64>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for seed in seeds {
        println!("seed {seed}, we are the {role:?}");
        let result = LocalSet::new().block_on(&runtime, case(Rc::new(Plan::new(role, seed))));
        if let Err(wrong) = result {
            panic!("seed {seed}, we are the {role:?}: {wrong}");
        }
    }
}

async fn case(plan: Rc<Plan>) -> Result<(), String> {
    let (our_io, their_io) = tokio::io::duplex(plan.pipe);
    let ours = ours::Ours::new(Rc::clone(&plan), our_io).run();
    let theirs = theirs::run(Rc::clone(&plan), their_io);
    let both = async { tokio::try_join!(ours, theirs) };
    let Ok(both) = tokio::time::timeout(DEADLINE, both).await else { return Err("it hangs".to_owned()) };
    let (ours, theirs) = both.map_err(|wrong| format!("{wrong}\n{:?}", plan.theirs))?;
    match plan.role {
        Role::Client => report::judge(&plan, &ours, &theirs),
        Role::Server => report::judge(&plan, &theirs, &ours),
    }
}
