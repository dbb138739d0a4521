//! Connections the pod asks for by SOCKS. Once it is known what is asked for, they are like all others it makes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use culvert_core::socks::Target;
use culvert_core::workload::Workload;
use tokio::net::TcpStream;

use super::attempts::{Connection, Failed, Wanted};
use super::clock::Clock;
use super::outbound::{Begun, begin, to_its_end};
use crate::capture::Captured;
use crate::drain::Guard;
use crate::ledger::Direction;
use crate::limits::By;
use crate::outcome::{Failure, Report};
use crate::proxy::Proxy;
use crate::socks;
use crate::waiting::Waiting;

/// Carries a connection the pod asks for.
pub(crate) fn socks(
    proxy: Arc<Proxy>,
    captured: Captured,
    guard: Guard,
) -> impl Future<Output = ()> + Send + 'static {
    let begun = Box::pin(async move {
        let mut report = Report::of(proxy.ledger.book(), Direction::Outbound, &captured);
        let result = hear(&proxy, captured, &mut report).await;
        (report, result)
    });
    to_its_end(begun, guard)
}

/// Finds out what is wanted, and has it connected. A client that is not connected is told why.
async fn hear(proxy: &Proxy, captured: Captured, report: &mut Report) -> Result<Begun, Failure> {
    report.hold(&proxy.limits, By::Pod)?;
    // What it is answered by is another one.
    report.needs(2)?;
    let Captured { mut stream, client, .. } = captured;
    let asked = async {
        let target = socks::hear(&mut stream, &proxy.limits).await?;
        let waiting = Waiting::new(&stream, socks::CONNECTED).map_err(socks::Error::Descriptor)?;
        Ok((target, Arc::new(waiting)))
    };
    let (target, waiting) = match asked.await {
        Ok(asked) => asked,
        Err(failure) => {
            socks::leave(stream, &failure).await;
            return Err(failure);
        }
    };
    report.facts().asked = Some(target.to_string().into());
    let result = connect(proxy, &target, Asking { stream, client, waiting: &waiting }, report).await;
    if let Err(failure) = &result
        && let Some(handle) = waiting.take()
        && let Ok(stream) = TcpStream::from_std(handle)
    {
        socks::leave(stream, failure).await;
    }
    result
}

/// A client that has said whom it wants.
struct Asking<'a> {
    stream: TcpStream,
    client: SocketAddr,
    waiting: &'a Arc<Waiting>,
}

/// Tries the addresses there are, one after the other.
async fn connect(
    proxy: &Proxy,
    target: &Target,
    asking: Asking<'_>,
    report: &mut Report,
) -> Result<Begun, Failure> {
    let Asking { stream, client, waiting } = asking;
    let local = proxy.local().await?;
    let (mut next, others) = match target {
        Target::Address(address) => (*address, Vec::new()),
        Target::Name { host, port } => socks::addresses(&proxy.hosts, (host, *port), client).await?,
    };
    let (mut connection, mut others) = (Connection { socket: stream, said: Vec::new() }, others.into_iter());
    let (mut again, clock) = (false, Clock::start());
    let mut telling: Option<(Failure, SocketAddr)> = None;
    loop {
        let destination = on_loopback(next);
        begin_again(report, destination);
        let client = as_others_see_it(&local.workload, client, destination);
        let elsewhere = others.len() > 0;
        let wanted = Wanted { client, destination, again, elsewhere, clock: &clock, waiting: Some(waiting) };
        let Failed { failure, again: returned, .. } = match begin(proxy, wanted, connection, report).await {
            Ok(begun) => return Ok(begun),
            Err(failed) => failed,
        };
        let other = others.next().filter(|_| clock.is_in_time());
        let (Some(other), Some(returned)) = (other, returned) else {
            return Err(most_telling(telling, failure, report));
        };
        tracing::debug!(error = %failure, %other, "an address could not be reached; trying another one");
        if telling.as_ref().is_none_or(|(known, _)| socks::tells_more(&failure, known)) {
            telling = Some((failure, report.facts().destination));
        }
        (next, connection, again) = (other, returned, true);
    }
}

/// What is said of several addresses that could not be reached: the first that says more than that nothing leads there.
fn most_telling(before: Option<(Failure, SocketAddr)>, last: Failure, report: &Report) -> Failure {
    match before {
        Some((known, at)) if !socks::tells_more(&last, &known) => {
            begin_again(report, at);
            known
        }
        _ => last,
    }
}

fn begin_again(report: &Report, destination: SocketAddr) {
    let mut facts = report.facts();
    facts.begin_attempt();
    facts.destination = destination;
}

/// The kernel takes the unspecified address for the loopback address. So must whoever looks at it before.
fn on_loopback(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

/// A client on the pod's loopback address is at the pod's own address for everybody else.
fn as_others_see_it(local: &Workload, client: SocketAddr, destination: SocketAddr) -> SocketAddr {
    let own = local.addresses.iter().find(|own| own.is_ipv4() == destination.is_ipv4());
    let ip = own.or(local.addresses.first()).copied().unwrap_or(client.ip());
    SocketAddr::new(ip, client.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unspecified_address_is_the_loopback_address() {
        for (asked, meant) in [
            ("0.0.0.0:15001", "127.0.0.1:15001"),
            ("[::]:15001", "[::1]:15001"),
            ("10.0.0.1:80", "10.0.0.1:80"),
        ] {
            assert_eq!(on_loopback(asked.parse().unwrap()), meant.parse().unwrap(), "{asked}");
        }
    }
}
