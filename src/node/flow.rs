//! The life of a connection, from the pod's socket to the other pod's socket. Reviews begin here.
//!
//! ```text
//! outbound        captured ─▶ route ─▶ tunnel (or plain TCP) ─▶ splice; another endpoint when one cannot be reached
//! asked by SOCKS  accept   ─▶ whom do they want? ─▶ name to addresses ─▶ as outbound; the client is told what came of it
//! inbound tunnel  accept   ─▶ each CONNECT: where to ─▶ policy ─▶ dial the workload ─▶ splice
//! inbound plain   captured ─▶ policy (not for kubelet's probes) ─▶ dial the workload ─▶ splice
//! ```
//! Each connection gives exactly one report. Any step that fails ends it there; a client whose connection was already
//! accepted by the kernel is then reset, never closed as if all were well.

use std::pin::Pin;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::deliver::splice::{Ended, Plain, spliced_until};
use crate::deliver::tcp;
use crate::drain::Guard;
use crate::ledger::Direction;
use crate::limits::{Limit, hit_as_wished};
use crate::outcome::{Failure, Report};
use crate::stream::quiet::{self, Quiet};
use crate::stream::{Broken, Early, Moved, Side};
use crate::tunnel::Carried;

mod attempts;
mod clock;
mod inbound;
mod outbound;
mod plain;
mod socks;
mod unproven;

pub(crate) use inbound::inbound_tunnel;
pub(crate) use outbound::outbound;
pub(crate) use plain::inbound_plain;
pub(crate) use socks::socks;

async fn cut(guard: &Guard) -> Failure {
    guard.cut().await;
    Failure::Drained
}

/// Waits for the end of a connection on a tunnel; one that is stopped is broken.
async fn carry(
    carried: Carried,
    moved: &Moved,
    stop: Pin<&mut (impl Future<Output = Failure> + Send)>,
) -> Result<(), Failure> {
    tokio::select! {
        biased;
        ended = carried => ended.map_err(Failure::from),
        failure = stop => Err(failure),
        quiet = moved.too_quiet() => Err(too_quiet(quiet)),
    }
}

/// Carries a connection as it is.
async fn relay(
    (client, server): (TcpStream, TcpStream),
    report: &Report,
    half_closed_probe: Option<Duration>,
    stop: impl Future<Output = Failure> + Send,
) -> Result<(), Failure> {
    let near = match report.record().direction {
        Direction::Outbound => Side::Client,
        Direction::Inbound => Side::Server,
    };
    let (client, server, moved) = (tcp::split(client), tcp::split(server), report.moved());
    let stop = async {
        tokio::select! {
            failure = stop => failure,
            quiet = moved.too_quiet() => too_quiet(quiet),
        }
    };
    let plain = Plain { moved: &moved, near, half_closed_probe };
    match spliced_until(client, server, plain, stop).await {
        Ok(()) => Ok(()),
        Err(Ended::Early(early)) => Err(Failure::Broken(early)),
        Err(Ended::Stopped(failure)) => Err(failure),
    }
}

/// Nothing has moved for too long.
fn too_quiet(quiet: Quiet) -> Failure {
    let limit = if quiet.ended == quiet::Ended::Neither { Limit::Idle } else { Limit::HalfClosedIdle };
    hit_as_wished(limit);
    Failure::Quiet(quiet)
}

/// The side the pod connects to has broken off.
fn broken_server(error: &std::io::Error) -> Failure {
    Failure::Broken(Early::Server(Broken::of(error)))
}
