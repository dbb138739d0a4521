//! Addresses, blocks, ports and gateways: what workloads, services and policies are made of.

use std::net::IpAddr;

use culvert_core::address::NetworkAddress;
use culvert_core::intern::Interner;
use culvert_core::route::HBONE_PORT;
use culvert_core::workload::{GatewayAddress, GatewayDestination, PortMap};
use culvert_proto::workload as proto;
use ipnet::IpNet;
use proto::gateway_address::Destination;

use crate::invalid::{Fault, Problem, Within, each};

/// Reads an address, canonical.
pub(crate) fn ip(bytes: &[u8]) -> Result<IpAddr, Problem> {
    raw_ip(bytes).map(|ip| ip.to_canonical())
}

/// Writes an address.
pub(crate) fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// Reads a block, host bits cleared. A block of IPv4-mapped addresses is the IPv4 block it stands for, since that is how
/// addresses are compared.
pub(crate) fn block(bytes: &[u8], length: u32) -> Result<IpNet, Problem> {
    let ip = raw_ip(bytes)?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let too_long = || Problem::PrefixLength { length, most };
    let prefix = u8::try_from(length).map_err(|_| too_long())?;
    let block = IpNet::new(ip, prefix).map_err(|_| too_long())?;
    let mapped = match block {
        IpNet::V6(v6) => v6.addr().to_ipv4_mapped().zip(prefix.checked_sub(96)),
        IpNet::V4(_) => None,
    };
    let plain = mapped.and_then(|(ip, prefix)| IpNet::new(ip.into(), prefix).ok());
    Ok(plain.unwrap_or(block).trunc())
}

/// Tells whether `block` is a single address.
pub(crate) fn is_single(block: &IpNet) -> bool {
    block.prefix_len() == block.max_prefix_len()
}

/// Reads a block whose prefix may be absent: then it is a single address.
pub(crate) fn network_block(message: &proto::NetworkAddress) -> Result<IpNet, Fault> {
    match message.length {
        None => ip(&message.address).map(IpNet::from).within("address"),
        Some(length) => block(&message.address, length).within("address"),
    }
}

/// Reads a port; 0 is left to the caller.
pub(crate) fn port(number: u32) -> Result<u16, Problem> {
    u16::try_from(number).map_err(|_| Problem::Port(number))
}

/// Reads pairs of service port and target; of two pairs with one service port the last counts.
pub(crate) fn ports(messages: &[proto::Port]) -> Result<PortMap, Fault> {
    each("ports", messages, |it| {
        let service_port = port(it.service_port).within("service_port")?;
        let target_port = port(it.target_port).within("target_port")?;
        Ok::<_, Fault>((service_port, target_port))
    })
}

/// Writes pairs of service port and target.
pub(crate) fn ports_message(ports: &PortMap) -> Vec<proto::Port> {
    let pair = |(service_port, target_port): (u16, u16)| proto::Port {
        service_port: service_port.into(),
        target_port: target_port.into(),
    };
    ports.iter().map(pair).collect()
}

/// Reads a gateway. One without a port has the port everybody uses.
pub(crate) fn gateway(
    message: &proto::GatewayAddress,
    interner: &mut Interner,
) -> Result<GatewayAddress, Fault> {
    let destination = match &message.destination {
        None => return Err(Fault::new("destination", Problem::Missing)),
        Some(Destination::Hostname(it)) => GatewayDestination::Hostname {
            namespace: interner.text(&it.namespace),
            hostname: interner.text(&it.hostname),
        },
        Some(Destination::Address(it)) => {
            let block = network_block(it).within("address")?;
            if !is_single(&block) {
                return Err(Fault::new("address.length", Problem::Block(block.prefix_len())));
            }
            GatewayDestination::Address(NetworkAddress::new(interner.text(&it.network), block.addr()))
        }
    };
    let port = match message.hbone_mtls_port {
        0 => HBONE_PORT,
        number => port(number).within("hbone_mtls_port")?,
    };
    Ok(GatewayAddress { destination, port })
}

/// Reads a gateway that may be absent.
pub(crate) fn gateway_if_any(
    field: &str,
    message: Option<&proto::GatewayAddress>,
    interner: &mut Interner,
) -> Result<Option<GatewayAddress>, Fault> {
    message.map(|it| gateway(it, interner).within(field)).transpose()
}

/// Writes a gateway.
pub(crate) fn gateway_message(gateway: &GatewayAddress) -> proto::GatewayAddress {
    let destination = match &gateway.destination {
        GatewayDestination::Address(address) => Destination::Address(single_message(address)),
        GatewayDestination::Hostname { namespace, hostname } => {
            Destination::Hostname(proto::NamespacedHostname {
                namespace: namespace.to_string(),
                hostname: hostname.to_string(),
            })
        }
    };
    proto::GatewayAddress { destination: Some(destination), hbone_mtls_port: gateway.port.into() }
}

/// Writes a single address.
pub(crate) fn single_message(address: &NetworkAddress) -> proto::NetworkAddress {
    proto::NetworkAddress { network: address.network.to_string(), address: octets(address.ip), length: None }
}

fn raw_ip(bytes: &[u8]) -> Result<IpAddr, Problem> {
    let wrong = |_| Problem::AddressLength(bytes.len());
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).map(IpAddr::from).map_err(wrong),
        _ => <[u8; 16]>::try_from(bytes).map(IpAddr::from).map_err(wrong),
    }
}
