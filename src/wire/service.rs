//! Services: message to value and back.

use culvert_core::address::{NetworkAddress, NetworkBlock};
use culvert_core::intern::Interner;
use culvert_core::service::{
    BalanceMode, HealthPolicy, IpFamilies, LoadBalancer, Preference, Service, Visibility, WeightedWaypoint,
};
use culvert_proto::workload as proto;
use proto::load_balancing::{HealthPolicy as HealthNumber, Mode, Scope};
use proto::service::Visibility as VisibilityNumber;

use crate::address::{
    gateway, gateway_if_any, gateway_message, is_single, network_block, octets, ports, ports_message,
    single_message,
};
use crate::expect_name;
use crate::invalid::{Fault, Invalid, Problem, Within, each, known};

/// Reads a service; `name` has to be its key.
pub(crate) fn decode(
    name: &str,
    message: &proto::Service,
    interner: &mut Interner,
) -> Result<Service, Invalid> {
    expect_name(name, &format!("{}/{}", message.namespace, message.hostname))?;
    let (vips, cidr_vips) = addresses(&message.addresses, interner)?;
    Ok(Service {
        name: interner.text(&message.name),
        namespace: interner.text(&message.namespace),
        hostname: interner.text(&message.hostname),
        vips,
        cidr_vips,
        ports: ports(&message.ports)?,
        load_balancer: message
            .load_balancing
            .as_ref()
            .map(|it| load_balancer(it).within("load_balancing"))
            .transpose()?
            .unwrap_or_default(),
        ip_families: ip_families(message.ip_families).within("ip_families")?,
        waypoint: gateway_if_any("waypoint", message.waypoint.as_ref(), interner)?,
        weighted_waypoints: each("weighted_waypoints", &message.weighted_waypoints, |it| {
            weighted(it, interner)
        })?,
        subject_alt_names: message.subject_alt_names.iter().map(|name| interner.text(name)).collect(),
        visibility: visibility(message.visibility),
        canonical: message.canonical,
    })
}

/// Writes a service.
pub(crate) fn encode(service: &Service) -> proto::Service {
    let singles = service.vips.iter().map(single_message);
    proto::Service {
        name: service.name.to_string(),
        namespace: service.namespace.to_string(),
        hostname: service.hostname.to_string(),
        addresses: singles.chain(service.cidr_vips.iter().map(block_message)).collect(),
        ports: ports_message(&service.ports),
        subject_alt_names: service.subject_alt_names.iter().map(ToString::to_string).collect(),
        waypoint: service.waypoint.as_ref().map(gateway_message),
        load_balancing: balancer_message(&service.load_balancer),
        ip_families: families_number(service.ip_families),
        canonical: service.canonical,
        weighted_waypoints: service.weighted_waypoints.iter().map(weighted_message).collect(),
        visibility: visibility_number(service.visibility),
    }
}

/// Reads the virtual addresses: single ones, and blocks.
fn addresses(
    messages: &[proto::NetworkAddress],
    interner: &mut Interner,
) -> Result<(Vec<NetworkAddress>, Vec<NetworkBlock>), Fault> {
    let blocks: Vec<NetworkBlock> = each("addresses", messages, |it| {
        Ok::<_, Fault>(NetworkBlock { network: interner.text(&it.network), block: network_block(it)? })
    })?;
    let (singles, blocks): (Vec<_>, Vec<_>) = blocks.into_iter().partition(|it| is_single(&it.block));
    let single = |it: NetworkBlock| NetworkAddress::new(it.network, it.block.addr());
    Ok((singles.into_iter().map(single).collect(), blocks))
}

fn block_message(block: &NetworkBlock) -> proto::NetworkAddress {
    proto::NetworkAddress {
        network: block.network.to_string(),
        address: octets(block.block.addr()),
        length: Some(block.block.prefix_len().into()),
    }
}

fn weighted(message: &proto::WeightedWaypoint, interner: &mut Interner) -> Result<WeightedWaypoint, Fault> {
    let Some(destination) = &message.destination else {
        return Err(Fault::new("destination", Problem::Missing));
    };
    let destination = gateway(destination, interner).within("destination")?;
    Ok(WeightedWaypoint { destination, weight: message.weight })
}

fn weighted_message(waypoint: &WeightedWaypoint) -> proto::WeightedWaypoint {
    proto::WeightedWaypoint {
        destination: Some(gateway_message(&waypoint.destination)),
        weight: waypoint.weight,
    }
}

fn load_balancer(message: &proto::LoadBalancing) -> Result<LoadBalancer, Fault> {
    Ok(LoadBalancer {
        preferences: each("routing_preference", &message.routing_preference, |&number| preference(number))?,
        mode: match known(message.mode).within("mode")? {
            Mode::UnspecifiedMode => BalanceMode::Standard,
            Mode::Strict => BalanceMode::Strict,
            Mode::Failover => BalanceMode::Failover,
            Mode::Passthrough => BalanceMode::Passthrough,
        },
        health_policy: match known(message.health_policy).within("health_policy")? {
            HealthNumber::OnlyHealthy => HealthPolicy::OnlyHealthy,
            HealthNumber::AllowAll => HealthPolicy::AllowAll,
        },
    })
}

fn balancer_message(balancer: &LoadBalancer) -> Option<proto::LoadBalancing> {
    if *balancer == LoadBalancer::default() {
        return None;
    }
    let mode = match balancer.mode {
        BalanceMode::Standard => Mode::UnspecifiedMode,
        BalanceMode::Strict => Mode::Strict,
        BalanceMode::Failover => Mode::Failover,
        BalanceMode::Passthrough => Mode::Passthrough,
    };
    let health_policy = match balancer.health_policy {
        HealthPolicy::OnlyHealthy => HealthNumber::OnlyHealthy,
        HealthPolicy::AllowAll => HealthNumber::AllowAll,
    };
    Some(proto::LoadBalancing {
        routing_preference: balancer.preferences.iter().map(|&it| preference_number(it)).collect(),
        mode: mode.into(),
        health_policy: health_policy.into(),
    })
}

fn preference(number: i32) -> Result<Preference, Problem> {
    match known(number)? {
        Scope::UnspecifiedScope => Err(Problem::UnknownValue(number)),
        Scope::Region => Ok(Preference::Region),
        Scope::Zone => Ok(Preference::Zone),
        Scope::Subzone => Ok(Preference::Subzone),
        Scope::Node => Ok(Preference::Node),
        Scope::Cluster => Ok(Preference::Cluster),
        Scope::Network => Ok(Preference::Network),
    }
}

fn preference_number(preference: Preference) -> i32 {
    let scope = match preference {
        Preference::Region => Scope::Region,
        Preference::Zone => Scope::Zone,
        Preference::Subzone => Scope::Subzone,
        Preference::Node => Scope::Node,
        Preference::Cluster => Scope::Cluster,
        Preference::Network => Scope::Network,
    };
    scope.into()
}

fn ip_families(number: i32) -> Result<IpFamilies, Problem> {
    Ok(match known(number)? {
        proto::IpFamilies::Automatic => IpFamilies::Automatic,
        proto::IpFamilies::Ipv4Only => IpFamilies::V4Only,
        proto::IpFamilies::Ipv6Only => IpFamilies::V6Only,
        proto::IpFamilies::Dual => IpFamilies::Dual,
    })
}

fn families_number(families: IpFamilies) -> i32 {
    let message = match families {
        IpFamilies::Automatic => proto::IpFamilies::Automatic,
        IpFamilies::V4Only => proto::IpFamilies::Ipv4Only,
        IpFamilies::V6Only => proto::IpFamilies::Ipv6Only,
        IpFamilies::Dual => proto::IpFamilies::Dual,
    };
    message.into()
}

/// A visibility nobody here knows is a restriction nobody here knows: the narrowest one holds, so that no service is
/// shown to those it was to be hidden from, and its own namespace can still use it.
fn visibility(number: i32) -> Visibility {
    match VisibilityNumber::try_from(number) {
        Ok(VisibilityNumber::Public) => Visibility::Public,
        Ok(VisibilityNumber::Namespace) | Err(_) => Visibility::Namespace,
    }
}

fn visibility_number(visibility: Visibility) -> i32 {
    let message = match visibility {
        Visibility::Public => VisibilityNumber::Public,
        Visibility::Namespace => VisibilityNumber::Namespace,
    };
    message.into()
}
