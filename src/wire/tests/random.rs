//! Random values, of all that a mesh file can express.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use culvert_core::address::{NetworkAddress, NetworkBlock};
use culvert_core::policy::{Action, Clause, Match, Rule, Scope, ServiceAccountMatch, StringMatch};
use culvert_core::service::{
    BalanceMode, HealthPolicy, IpFamilies, LoadBalancer, Preference, Visibility, WeightedWaypoint,
};
use culvert_core::workload::{
    ApplicationProtocol, ApplicationTunnel, GatewayAddress, GatewayDestination, Health, Incarnation,
    Locality, Name, NetworkMode, Place, PortMap, Protocol, Template, WorkloadType,
};
use ipnet::IpNet;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

pub(super) fn seeded(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

pub(super) fn workload(rng: &mut StdRng) -> Workload {
    let (uid, name) = (text(rng), maybe(rng));
    Workload {
        named: Name::of(&uid, &name),
        uid,
        place: place(rng).into(),
        addresses: some(rng, ip).into_iter().collect(),
        status: one_of(rng, &[Health::Healthy, Health::Unhealthy]),
        incarnation: Incarnation::default(),
        capacity: if rng.random() { 1 } else { rng.random() },
        template: template(rng).into(),
    }
}

fn place(rng: &mut StdRng) -> Place {
    let locality = Locality { region: maybe(rng), zone: maybe(rng), subzone: maybe(rng) };
    Place { node: maybe(rng), locality }
}

fn template(rng: &mut StdRng) -> Template {
    Template {
        namespace: text(rng),
        service_account: text(rng),
        trust_domain: text(rng),
        network: maybe(rng),
        cluster_id: text(rng),
        workload_name: maybe(rng),
        canonical_name: maybe(rng),
        canonical_revision: maybe(rng),
        hostname: maybe(rng),
        workload_type: one_of(rng, &WorkloadType::ALL),
        protocol: one_of(rng, &[Protocol::Tcp, Protocol::Hbone]),
        network_mode: one_of(rng, &[NetworkMode::Standard, NetworkMode::HostNetwork]),
        services: some(rng, |rng| (key(rng), ports(rng))).into_iter().collect(),
        authorization_policies: some(rng, key),
        waypoint: optional(rng, gateway),
        network_gateway: optional(rng, gateway),
        application_tunnel: optional(rng, |rng| ApplicationTunnel {
            protocol: one_of(rng, &[ApplicationProtocol::None, ApplicationProtocol::Proxy]),
            port: optional(rng, port),
        }),
        native_tunnel: rng.random(),
    }
}

pub(super) fn service(rng: &mut StdRng) -> Service {
    Service {
        name: text(rng),
        namespace: text(rng),
        hostname: text(rng),
        vips: some(rng, network_address),
        cidr_vips: some(rng, |rng| {
            let block =
                std::iter::repeat_with(|| block(rng)).find(|it| it.prefix_len() < it.max_prefix_len());
            NetworkBlock { network: maybe(rng), block: block.unwrap() }
        }),
        ports: ports(rng),
        load_balancer: LoadBalancer {
            preferences: some(rng, |rng| {
                use Preference::{Cluster, Network, Node, Region, Subzone, Zone};
                one_of(rng, &[Region, Zone, Subzone, Node, Cluster, Network])
            }),
            mode: {
                use BalanceMode::{Failover, Passthrough, Standard, Strict};
                one_of(rng, &[Standard, Strict, Failover, Passthrough])
            },
            health_policy: one_of(rng, &[HealthPolicy::OnlyHealthy, HealthPolicy::AllowAll]),
        },
        ip_families: {
            use IpFamilies::{Automatic, Dual, V4Only, V6Only};
            one_of(rng, &[Automatic, V4Only, V6Only, Dual])
        },
        waypoint: optional(rng, gateway),
        weighted_waypoints: some(rng, |rng| WeightedWaypoint {
            destination: gateway(rng),
            weight: rng.random(),
        }),
        subject_alt_names: some(rng, text),
        visibility: one_of(rng, &[Visibility::Public, Visibility::Namespace]),
        canonical: rng.random(),
    }
}

pub(super) fn policy(rng: &mut StdRng) -> Policy {
    let (namespace, name) = (text(rng), text(rng));
    Policy {
        key: format!("{namespace}/{name}").into(),
        name,
        namespace,
        scope: one_of(rng, &[Scope::Global, Scope::Namespace, Scope::WorkloadSelector]),
        action: one_of(rng, &[Action::Allow, Action::Deny]),
        rules: some(rng, |rng| Rule { clauses: some(rng, |rng| Clause { matches: some(rng, attributes) }) }),
        dry_run: rng.random(),
        unusable: None,
    }
}

fn attributes(rng: &mut StdRng) -> Match {
    Match {
        namespaces: some(rng, condition),
        not_namespaces: some(rng, condition),
        service_accounts: some(rng, account),
        not_service_accounts: some(rng, account),
        principals: some(rng, condition),
        not_principals: some(rng, condition),
        source_ips: some(rng, block),
        not_source_ips: some(rng, block),
        destination_ips: some(rng, block),
        not_destination_ips: some(rng, block),
        destination_ports: some(rng, port),
        not_destination_ports: some(rng, port),
    }
}

fn condition(rng: &mut StdRng) -> StringMatch {
    match rng.random_range(0..4) {
        0 => StringMatch::Exact(text(rng)),
        1 => StringMatch::Prefix(text(rng)),
        2 => StringMatch::Suffix(text(rng)),
        _ => StringMatch::Presence,
    }
}

fn account(rng: &mut StdRng) -> ServiceAccountMatch {
    ServiceAccountMatch { namespace: text(rng), service_account: text(rng) }
}

fn gateway(rng: &mut StdRng) -> GatewayAddress {
    let destination = if rng.random() {
        GatewayDestination::Address(network_address(rng))
    } else {
        GatewayDestination::Hostname { namespace: text(rng), hostname: text(rng) }
    };
    GatewayAddress { destination, port: port(rng) }
}

fn network_address(rng: &mut StdRng) -> NetworkAddress {
    NetworkAddress::new(maybe(rng), ip(rng))
}

fn ip(rng: &mut StdRng) -> IpAddr {
    if rng.random() {
        Ipv4Addr::from_bits(rng.random()).into()
    } else {
        // Of the documentation prefix, so that none is a mapped one.
        Ipv6Addr::from_bits((0x2001_0db8 << 96) | (rng.random::<u128>() >> 32)).into()
    }
}

fn block(rng: &mut StdRng) -> IpNet {
    let ip = ip(rng);
    let most = if ip.is_ipv4() { 32 } else { 128 };
    IpNet::new(ip, rng.random_range(0..=most)).unwrap().trunc()
}

fn ports(rng: &mut StdRng) -> PortMap {
    some(rng, |rng| (port(rng), if rng.random() { 0 } else { port(rng) })).into_iter().collect()
}

fn port(rng: &mut StdRng) -> u16 {
    rng.random_range(1..=u16::MAX)
}

fn key(rng: &mut StdRng) -> Arc<str> {
    format!("{}/{}", text(rng), text(rng)).into()
}

fn maybe(rng: &mut StdRng) -> Arc<str> {
    optional(rng, text).unwrap_or_default()
}

fn text(rng: &mut StdRng) -> Arc<str> {
    let letters: Vec<char> = "abcxyz019-.é東".chars().collect();
    (0..rng.random_range(1..9))
        .map(|_| letters[rng.random_range(0..letters.len())])
        .collect::<String>()
        .into()
}

fn optional<T>(rng: &mut StdRng, make: impl FnOnce(&mut StdRng) -> T) -> Option<T> {
    rng.random::<bool>().then(|| make(rng))
}

fn some<T>(rng: &mut StdRng, mut make: impl FnMut(&mut StdRng) -> T) -> Vec<T> {
    (0..rng.random_range(0..3)).map(|_| make(rng)).collect()
}

fn one_of<T: Copy>(rng: &mut StdRng, values: &[T]) -> T {
    values[rng.random_range(0..values.len())]
}
