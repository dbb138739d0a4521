//! What is taken, what is refused and why, and that nothing is lost on the way out and back in.

use culvert_core::intern::Interner;
use culvert_core::policy::Policy;
use culvert_core::service::Service;
use culvert_core::workload::Workload;
use culvert_proto::{security, workload as proto};
use prost::Message;

use super::*;

mod garbage;
mod numbers;
mod policies;
mod random;
mod round_trip;
mod services;
mod strict;
mod workloads;

/// Gives what a resource with this payload is taken for, or the reason why not.
fn address(name: &str, kind: proto::address::Type) -> Result<Address, String> {
    decode_address(name, &address_of(kind), &mut Interner::default()).map_err(|error| error.reason())
}

fn as_workload(message: proto::Workload) -> Result<Workload, String> {
    match address(&message.uid.clone(), proto::address::Type::Workload(message.into()))? {
        Address::Workload(workload) => Ok(workload),
        Address::Service(service) => panic!("a service: {service:?}"),
    }
}

fn as_service(message: proto::Service) -> Result<Service, String> {
    let key = format!("{}/{}", message.namespace, message.hostname);
    match address(&key, proto::address::Type::Service(message.into()))? {
        Address::Service(service) => Ok(service),
        Address::Workload(workload) => panic!("a workload: {workload:?}"),
    }
}

fn as_policy(message: &security::Authorization) -> Result<Policy, String> {
    let key = format!("{}/{}", message.namespace, message.name);
    let payload = message.encode_to_vec();
    decode_policy(&key, &payload, &mut Interner::default()).map_err(|error| error.reason())
}

/// Four bytes of an address, with or without a prefix.
fn network_address(length: Option<u32>) -> proto::NetworkAddress {
    proto::NetworkAddress { network: "west".into(), address: vec![10, 9, 8, 7], length }
}

fn by_address(address: proto::NetworkAddress, port: u32) -> proto::GatewayAddress {
    let destination = Some(proto::gateway_address::Destination::Address(address));
    proto::GatewayAddress { destination, hbone_mtls_port: port }
}

fn a_port(service_port: u32, target_port: u32) -> proto::Port {
    proto::Port { service_port, target_port }
}

#[test]
fn an_address_is_a_workload_or_a_service() {
    let decode = |payload: &[u8]| {
        decode_address("x", payload, &mut Interner::default()).map_err(|error| error.reason())
    };
    assert_eq!(decode(&[]), Err("the payload is empty".into()));
    // Field 3 does not exist.
    assert_eq!(decode(&[0x1a, 0]), Err("type: missing, or of a kind not known here".into()));
    let broken = decode(&[0x0a, 200]).unwrap_err();
    assert!(broken.starts_with("the payload is not an address: failed to decode Protobuf"), "{broken}");
}

#[test]
fn a_resource_is_what_its_name_says() {
    let workload = proto::Workload { uid: "uid".into(), ..Default::default() };
    let service = proto::Service { namespace: "ns".into(), hostname: "host".into(), ..Default::default() };
    let workload = |name| address(name, proto::address::Type::Workload(workload.clone().into()));
    let service = |name| address(name, proto::address::Type::Service(service.clone().into()));
    let policy = |name| {
        let message =
            security::Authorization { namespace: "ns".into(), name: "p".into(), ..Default::default() };
        decode_policy(name, &message.encode_to_vec(), &mut Interner::default())
    };
    assert!(workload("uid").is_ok() && service("ns/host").is_ok() && policy("ns/p").is_ok());
    let misnamed = |name, carried| Err(format!("the resource is named `{name}` but carries `{carried}`"));
    assert_eq!(workload("other").map(drop), misnamed("other", "uid"));
    assert_eq!(service("host").map(drop), misnamed("host", "ns/host"));
    assert_eq!(policy("p"), Err(Invalid::Misnamed { name: "p".to_owned(), carried: "ns/p".to_owned() }));
    let nameless = address("", proto::address::Type::Workload(Box::default()));
    assert_eq!(nameless, Err("the resource has no name; it carries ``".into()));
}

#[test]
fn addresses_are_aliases() {
    let mut workload = random::workload(&mut random::seeded(1));
    workload.addresses = ["10.0.0.1", "fd00::1"].iter().map(|ip| ip.parse().unwrap()).collect();
    let on = |network_mode| {
        let template = culvert_core::workload::Template {
            network: "west".into(),
            network_mode,
            ..(*workload.template).clone()
        };
        workload_aliases(&Workload { template: template.into(), ..workload.clone() })
    };
    assert_eq!(on(culvert_core::workload::NetworkMode::Standard), ["west/10.0.0.1", "west/fd00::1"]);
    assert!(on(culvert_core::workload::NetworkMode::HostNetwork).is_empty());
    let service = Service {
        vips: vec!["/10.1.0.1".parse().unwrap(), "west/fd00::9".parse().unwrap()],
        cidr_vips: vec![culvert_core::address::NetworkBlock {
            network: "west".into(),
            block: "10.9.0.0/16".parse().unwrap(),
        }],
        ..Service::default()
    };
    assert_eq!(service_aliases(&service), ["/10.1.0.1", "west/fd00::9", "west/10.9.0.0/16"]);
}
