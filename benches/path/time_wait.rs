//! Connections in TIME_WAIT: how many a pod has, getting rid of them, and making them.
//!
//! They are left behind for a minute by whoever closed first. They make connecting slower: every port they hold is one
//! that the kernel may look at in vain.

use std::fs;
use std::time::{Duration, Instant};

use culvert_lab::Pod;

use super::error::{Doing as _, Error};
use super::load::{Side, Work};
use super::tool::run_in;
use super::topology::Bed;

/// What counts as many: by default connections are made from 28,232 ports, and preferably from the even half.
pub(super) const MANY: usize = 12_000;
/// Made beyond that, as some end while others are made.
const SPARE: usize = 500;
/// What counts as none.
const FEW: usize = 200;
/// A minute, and a bit.
const LIFE: Duration = Duration::from_secs(65);
/// How long it may take to make them: the first must not end before the last is made.
const MAKING: Duration = Duration::from_secs(40);

/// How many the client's pod has, and the server's.
pub(super) fn counts(bed: &Bed) -> Result<[usize; 2], Error> {
    Ok([count(&bed.client)?, count(&bed.server)?])
}

fn count(pod: &Pod) -> Result<usize, Error> {
    let doing = || format!("count the sockets of pod {}", pod.name());
    let read = || fs::read_to_string("/proc/thread-self/net/sockstat");
    let text = pod.netns().run(read).and_then(|text| text).doing(doing)?;
    Ok(in_sockstat(&text).unwrap_or_default())
}

/// Reads the number after `tw` in the line `TCP: inuse 0 orphan 0 tw 50 alloc 1 mem 54`.
fn in_sockstat(text: &str) -> Option<usize> {
    let line = text.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let mut words = line.split_whitespace();
    words.find(|word| *word == "tw")?;
    words.next()?.parse().ok()
}

/// Has both pods be without any.
pub(super) fn clear(bed: &Bed) -> Result<(), Error> {
    for pod in [&bed.client, &bed.server] {
        if count(pod)? > FEW {
            // Kernels without CONFIG_INET_DIAG_DESTROY leave them alone; then they end by themselves.
            run_in(pod.netns(), "ss -K -H -t -a -n state time-wait")?;
        }
        let what = format!("pod {} has no connections in TIME_WAIT", pod.name());
        bed.lab.wait_until(LIFE, &what, || count(pod).is_ok_and(|count| count <= FEW))?;
    }
    Ok(())
}

/// Has both pods have many, left behind by real connections to the server's port through whatever is measured; gives
/// back how many they have.
///
/// The client closes first: through a proxy, which closes its own connection to the server in turn, that leaves them in
/// both pods. Without a proxy there are none in the server's pod then, and the server closes first for another round.
pub(super) fn make(bed: &Bed) -> Result<[usize; 2], Error> {
    clear(bed)?;
    let end = Instant::now() + MAKING;
    loop {
        let now @ [client, server] = counts(bed)?;
        let closes = if client < MANY { Side::Client } else { Side::Server };
        let missing = (MANY + SPARE).saturating_sub(if closes == Side::Client { client } else { server });
        if (client >= MANY && server >= MANY) || Instant::now() > end {
            return Ok(now);
        }
        // In portions, so that a slow subject gets no further than the time allows.
        let connections = missing.min(2000);
        let work = Work::Fill { connections, closes, skip: server };
        bed.drive(work, Duration::ZERO, Duration::ZERO)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_follows_its_name() {
        let text = "sockets: used 9\nTCP: inuse 0 orphan 0 tw 50 alloc 1 mem 54\nUDP: inuse 0 mem 0\n";
        assert_eq!(in_sockstat(text), Some(50));
        assert_eq!(in_sockstat("TCP: inuse 0\n"), None);
        assert_eq!(in_sockstat(""), None);
    }
}
