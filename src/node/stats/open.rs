//! What is open at the moment: counted by guards, so that nothing is forgotten however it ends.

use std::sync::atomic::{AtomicI64, Ordering};

use culvert_metrics::Collected;

use crate::ledger::Direction;

/// One thing that is open. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Open(&'static AtomicI64);

/// Those of each direction.
struct Ways {
    outbound: AtomicI64,
    inbound: AtomicI64,
}

static SOCKETS: Ways = Ways::new();
static TUNNELS: Ways = Ways::new();

/// Counts an accepted connection of a client, or of a peer that brings a tunnel.
pub(crate) fn socket(direction: Direction) -> Open {
    SOCKETS.open(direction)
}

/// Counts a tunnel that is up.
pub(crate) fn tunnel(direction: Direction) -> Open {
    TUNNELS.open(direction)
}

/// Looks at what is open at the moment.
pub(super) fn look() -> Vec<Collected> {
    let sockets = "Connections of clients that are open, tunnels of peers included (unstable).";
    let tunnels = "Tunnels that are up, by who has opened them: this node is `outbound` (unstable).";
    vec![
        SOCKETS.look(
            Collected::gauge("istio_tcp_sockets_open", sockets),
            ("reporter", ["source", "destination"]),
        ),
        TUNNELS
            .look(Collected::gauge("culvert_tunnels_open", tunnels), ("direction", ["outbound", "inbound"])),
    ]
}

impl Ways {
    const fn new() -> Self {
        Self { outbound: AtomicI64::new(0), inbound: AtomicI64::new(0) }
    }

    fn open(&'static self, direction: Direction) -> Open {
        let way = match direction {
            Direction::Outbound => &self.outbound,
            Direction::Inbound => &self.inbound,
        };
        way.fetch_add(1, Ordering::Relaxed);
        Open(way)
    }

    fn look(&self, family: Collected, (label, [outbound, inbound]): (&str, [&str; 2])) -> Collected {
        let count = |way: &AtomicI64| way.load(Ordering::Relaxed) as f64;
        family
            .with(&[(label, outbound)], count(&self.outbound))
            .with(&[(label, inbound)], count(&self.inbound))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use culvert_metrics::{Metrics, Settings};

    use super::*;

    #[test]
    fn what_is_open_is_counted_while_it_is() {
        static SOME: Ways = Ways::new();
        let metrics = Metrics::new(Settings::default());
        metrics.collect(|| vec![SOME.look(Collected::gauge("some", "Some."), ("way", ["out", "in"]))]);
        let shown = |out, inwards| {
            let text = metrics.text();
            assert!(
                text.ends_with(&format!("some{{way=\"out\"}} {out}\nsome{{way=\"in\"}} {inwards}\n")),
                "{text}"
            );
        };
        shown(0, 0);
        let out = [SOME.open(Direction::Outbound), SOME.open(Direction::Outbound)];
        let inwards = SOME.open(Direction::Inbound);
        shown(2, 1);
        drop(out);
        shown(0, 1);
        drop(inwards);
        shown(0, 0);
    }
}
