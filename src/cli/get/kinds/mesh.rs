//! The mesh as the node knows it: workloads, services, policies, in the shapes of `/config_dump`.
//!
//! Only what is shown is read of them; what programs are given is the whole.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::list::{Column, Listed};
use crate::output::{Cell, Tone};

/// A workload.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Workload {
    name: String,
    namespace: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    workload_ips: Vec<String>,
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    node: String,
    #[serde(default)]
    protocol: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    service_account: String,
    #[serde(default)]
    network: String,
    waypoint: Option<Gateway>,
    #[serde(default)]
    services: Vec<String>,
    #[serde(default)]
    authorization_policies: Vec<String>,
}

/// A waypoint or network gateway.
#[derive(Debug, Clone, Deserialize)]
struct Gateway {
    destination: String,
}

impl Listed for Workload {
    const PATH: &'static str = "/v1/workloads";
    const WHAT: &'static str = "workloads";
    const ORDER: &'static [&'static str] = &["NAMESPACE", "NAME", "UID"];
    const BY_NAMESPACE: bool = true;
    const COLUMNS: &'static [Column<Self>] = &[
        Column::left("NAMESPACE", |it, _| Cell::text(&it.namespace)),
        Column::left("NAME", |it, _| Cell::text(&it.name)),
        Column::left("ADDRESS", |it, _| Cell::text(it.address())),
        Column::left("NODE", |it, _| Cell::text(&it.node)),
        Column::left("WAYPOINT", |it, _| Cell::maybe(it.waypoint.as_ref().map(|it| &it.destination))),
        Column::left("PROTOCOL", |it, _| Cell::text(it.protocol.to_lowercase())),
        Column::left("STATUS", |it, _| health(&it.status)),
        Column::wide("SERVICE ACCOUNT", |it, _| Cell::text(&it.service_account)),
        Column::wide("NETWORK", |it, _| Cell::text(&it.network)),
        Column::wide("SERVICES", |it, _| Cell::text(it.services.join(","))),
        Column::wide("POLICIES", |it, _| Cell::text(it.authorization_policies.join(","))),
        Column::wide("UID", |it, _| Cell::text(&it.uid)),
    ];

    fn namespaces(&self) -> Vec<&str> {
        vec![&self.namespace]
    }

    fn names(&self) -> Vec<String> {
        vec![format!("{}/{}", self.namespace, self.name)]
    }
}

impl Workload {
    fn address(&self) -> String {
        if self.workload_ips.is_empty() { self.hostname.clone() } else { self.workload_ips.join(",") }
    }
}

fn health(status: &str) -> Cell {
    let tone = if status.eq_ignore_ascii_case("healthy") { Tone::Good } else { Tone::Bad };
    Cell::text(status.to_lowercase()).in_tone(tone)
}

/// A service.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Service {
    name: String,
    namespace: String,
    hostname: String,
    #[serde(default)]
    vips: Vec<String>,
    #[serde(default)]
    ports: BTreeMap<u16, u16>,
    #[serde(default)]
    endpoints: BTreeMap<String, Endpoint>,
    waypoint: Option<Gateway>,
}

#[derive(Debug, Clone, Deserialize)]
struct Endpoint {
    #[serde(default)]
    status: String,
}

impl Listed for Service {
    const PATH: &'static str = "/v1/services";
    const WHAT: &'static str = "services";
    const ORDER: &'static [&'static str] = &["NAMESPACE", "NAME"];
    const BY_NAMESPACE: bool = true;
    const COLUMNS: &'static [Column<Self>] = &[
        Column::left("NAMESPACE", |it, _| Cell::text(&it.namespace)),
        Column::left("NAME", |it, _| Cell::text(&it.name)),
        Column::left("VIP", |it, _| Cell::text(it.addresses())),
        Column::left("PORTS", |it, _| Cell::text(it.ports())),
        Column::left("WAYPOINT", |it, _| Cell::maybe(it.waypoint.as_ref().map(|it| &it.destination))),
        Column::right("ENDPOINTS", |it, _| it.endpoints()),
        Column::wide("HOSTNAME", |it, _| Cell::text(&it.hostname)),
    ];

    fn namespaces(&self) -> Vec<&str> {
        vec![&self.namespace]
    }

    fn names(&self) -> Vec<String> {
        vec![format!("{}/{}", self.namespace, self.name), self.hostname.clone()]
    }
}

impl Service {
    /// Its addresses, without the network before the slash.
    fn addresses(&self) -> String {
        let addresses = self.vips.iter().map(|vip| vip.split_once('/').map_or(vip.as_str(), |(_, it)| it));
        addresses.collect::<Vec<_>>().join(",")
    }

    fn ports(&self) -> String {
        let one = |(port, target): (&u16, &u16)| match port == target {
            true => port.to_string(),
            false => format!("{port}->{target}"),
        };
        self.ports.iter().map(one).collect::<Vec<_>>().join(",")
    }

    fn endpoints(&self) -> Cell {
        let healthy = self.endpoints.values().filter(|it| it.status.eq_ignore_ascii_case("healthy")).count();
        let tone = if healthy == 0 { Tone::Bad } else { Tone::Plain };
        Cell::sorted(format!("{healthy}/{}", self.endpoints.len()), healthy as i128).in_tone(tone)
    }
}

/// A policy.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Policy {
    name: String,
    namespace: String,
    scope: String,
    action: String,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    rules: Vec<IgnoredAny>,
}

impl Listed for Policy {
    const PATH: &'static str = "/v1/policies";
    const WHAT: &'static str = "policies";
    const ORDER: &'static [&'static str] = &["NAMESPACE", "NAME"];
    const BY_NAMESPACE: bool = true;
    const COLUMNS: &'static [Column<Self>] = &[
        Column::left("NAMESPACE", |it, _| Cell::text(&it.namespace)),
        Column::left("NAME", |it, _| Cell::text(&it.name)),
        Column::left("ACTION", |it, _| Cell::text(&it.action)),
        Column::left("SCOPE", |it, _| Cell::text(&it.scope)),
        Column::right("RULES", |it, _| Cell::number(it.rules.len() as u64)),
        Column::left("DRY RUN", |it, _| Cell::text(if it.dry_run { "yes" } else { "no" })),
    ];

    fn namespaces(&self) -> Vec<&str> {
        vec![&self.namespace]
    }

    fn names(&self) -> Vec<String> {
        vec![format!("{}/{}", self.namespace, self.name)]
    }
}
