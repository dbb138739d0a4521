//! What there is to say about a service.
//!
//! Goes in: what a name stands for. Comes out: what records say, each thing once. Deliberately absent: the names the records
//! are about, and their order.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::service::Service;
use crate::workload::{PortMap, Workload};

use super::lookup::{Asker, Bearer, Found};
use super::names::LONGEST;
use super::{Data, Kind};

/// Gives what there is of a kind; `None` when others know better.
pub(super) fn of_kind(kind: Kind, asker: Asker<'_>, found: &Found<'_>) -> Option<Vec<Data>> {
    match kind {
        Kind::A => Some(addresses(asker, found, IpAddr::is_ipv4)),
        Kind::Aaaa if asker.settings.ipv6 => Some(addresses(asker, found, IpAddr::is_ipv6)),
        Kind::Aaaa => Some(Vec::new()),
        Kind::Binding => Some(Vec::new()),
        Kind::Srv => Some(places(asker, found)).filter(|places| !places.is_empty()),
        Kind::Other => None,
    }
}

/// Gives the virtual addresses, or those of the endpoints when there are none.
fn addresses(asker: Asker<'_>, found: &Found<'_>, is_wanted: impl Fn(&IpAddr) -> bool) -> Vec<Data> {
    let service = found.backed.service();
    let mut all: BTreeSet<IpAddr> = if service.vips.is_empty() {
        let endpoints = asker.endpoints(found.backed).map(|(workload, _)| workload);
        endpoints.filter(|it| has_name(it, found)).flat_map(|it| it.addresses.iter().copied()).collect()
    } else {
        asker.virtual_addresses(service).collect()
    };
    all.retain(|address| is_wanted(address) && service.ip_families.allows(*address));
    all.into_iter().map(Data::Address).collect()
}

/// Tells whether an endpoint of the service that was found is what has the name, or part of what has it.
fn has_name(endpoint: &Workload, found: &Found<'_>) -> bool {
    match found.bearer {
        Bearer::Service | Bearer::Wildcard => true,
        Bearer::Pod => found.name.split('.').next() == Some(endpoint.name()),
    }
}

/// Gives the pods of a headless service, each with the ports it really listens on.
///
/// Each is named `<pod>.<service>`, which is a name found here too.
fn places(asker: Asker<'_>, found: &Found<'_>) -> Vec<Data> {
    let service = found.backed.service();
    if found.bearer != Bearer::Service || !service.vips.is_empty() {
        return Vec::new();
    }
    let mut shares: BTreeMap<(String, u16), u16> = BTreeMap::new();
    for (workload, own) in asker.endpoints(found.backed) {
        let Some(target) = name_within(service, workload) else { continue };
        let share = u16::try_from(workload.capacity).unwrap_or(u16::MAX);
        for port in ports(service, own) {
            let total = shares.entry((target.clone(), port)).or_default();
            *total = total.saturating_add(share);
        }
    }
    let place = |((target, port), weight)| Data::Service { priority: 0, weight, port, target };
    shares.into_iter().map(place).collect()
}

/// Gives the name of an endpoint of a headless service, unless it makes no label of a name.
fn name_within(service: &Service, endpoint: &Workload) -> Option<String> {
    let pod = endpoint.name();
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = (1..=63).contains(&pod.len()) && pod.bytes().all(is_plain);
    let name = is_label.then(|| format!("{pod}.{}", service.hostname));
    name.filter(|name| name.len() <= LONGEST)
}

/// Gives the ports an endpoint listens on for a service, as far as they are known.
fn ports(service: &Service, own: &PortMap) -> BTreeSet<u16> {
    let declared = &service.ports;
    declared
        .iter()
        .filter_map(|(port, _)| own.named_target(port).or_else(|| declared.named_target(port)))
        .collect()
}
