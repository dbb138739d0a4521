//! Tunnels, and endpoints that are avoided.

use culvert_api::{Ejected, Tunnel, TunnelState};

use super::super::list::{Column, Listed};
use super::{ends, retransmits, round_trip, since};
use crate::output::{Cell, Tone, human};

impl Listed for Tunnel {
    const PATH: &'static str = "/v1/tunnels";
    const WHAT: &'static str = "tunnels";
    const ORDER: &'static [&'static str] = &["POD", "PEER", "AGE"];
    const COLUMNS: &'static [Column<Self>] = &[
        Column::left("POD", |it, _| Cell::text(ends::pod(&it.pod))),
        Column::left("DIR", |it, _| Cell::text(ends::direction(it.direction))),
        Column::left("PEER", |it, _| Cell::text(&it.peer_address)),
        Column::left("PEER IDENTITY", |it, _| Cell::text(&it.peer_identity)),
        Column::left("STATE", |it, _| state(it.state)),
        Column::right("STREAMS", |it, _| {
            Cell::sorted(format!("{}/{}", it.streams, it.capacity), it.streams.into())
        }),
        Column::right("AGE", |it, now| since(&it.since, now)),
        Column::right("RTT", |it, _| round_trip(it.network.as_ref())),
        Column::wide_right("RETRANSMITS", |it, _| retransmits(it.network.as_ref())),
        Column::wide("TLS", |it, _| Cell::text(&it.tls.version)),
        Column::wide("CIPHER", |it, _| Cell::text(&it.tls.cipher)),
        Column::wide("GROUP", |it, _| Cell::maybe(it.tls.group.as_ref())),
        Column::wide("IDENTITY", |it, _| Cell::text(&it.identity)),
        Column::wide("LOCAL", |it, _| Cell::maybe(it.local_address.as_ref())),
        Column::wide("ID", |it, _| Cell::text(&it.id)),
    ];

    fn namespaces(&self) -> Vec<&str> {
        vec![&self.pod.namespace]
    }

    fn names(&self) -> Vec<String> {
        vec![ends::pod(&self.pod), self.peer_address.clone(), self.peer_identity.clone(), self.id.clone()]
    }
}

fn state(state: TunnelState) -> Cell {
    match state {
        TunnelState::Open => Cell::text("open").in_tone(Tone::Good),
        TunnelState::Bulk => Cell::text("bulk"),
        TunnelState::Doubtful => Cell::text("doubtful").in_tone(Tone::Bad),
        TunnelState::Leaving => Cell::text("leaving").in_tone(Tone::Warning),
    }
}

impl Listed for Ejected {
    const PATH: &'static str = "/v1/ejected";
    const WHAT: &'static str = "endpoints that are asked last";
    const ORDER: &'static [&'static str] = &["POD", "ADDRESS"];
    const COLUMNS: &'static [Column<Self>] = &[
        Column::left("POD", |it, _| Cell::text(ends::pod(&it.pod))),
        Column::left("ADDRESS", |it, _| Cell::text(&it.address)),
        Column::right("LEFT", |it, _| seconds(it.seconds_left)),
        Column::right("FOR", |it, _| seconds(it.seconds)),
        Column::left("WORKLOAD", |it, _| Cell::text(&it.workload)),
    ];

    fn namespaces(&self) -> Vec<&str> {
        vec![&self.pod.namespace]
    }

    fn names(&self) -> Vec<String> {
        vec![ends::pod(&self.pod), self.address.clone(), self.workload.clone()]
    }
}

fn seconds(seconds: u64) -> Cell {
    let shown = human::lasting(std::time::Duration::from_secs(seconds));
    Cell::sorted(shown, seconds.into())
}
