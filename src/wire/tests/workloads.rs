//! Workloads one field at a time.

use culvert_core::workload::{ApplicationProtocol, NetworkMode, Protocol, WorkloadType};

use super::*;

fn check(change: impl FnOnce(&mut proto::Workload), expected: &str) {
    let mut message = proto::Workload { uid: "uid".into(), ..Default::default() };
    change(&mut message);
    assert_eq!(as_workload(message).map(drop), Err(expected.into()));
}

fn taken(change: impl FnOnce(&mut proto::Workload)) -> Workload {
    let mut message = proto::Workload { uid: "uid".into(), ..Default::default() };
    change(&mut message);
    as_workload(message).unwrap()
}

fn list(port: proto::Port) -> proto::PortList {
    proto::PortList { ports: vec![a_port(80, 8080), port] }
}

#[test]
fn what_is_refused() {
    check(
        |w| w.addresses = vec![vec![1, 2, 3, 4], vec![1, 2, 3]],
        "addresses[1]: an address has 4 or 16 bytes, not 3",
    );
    check(|w| w.addresses = vec![vec![]], "addresses[0]: an address has 4 or 16 bytes, not 0");
    check(|w| w.addresses = vec![vec![0; 17]], "addresses[0]: an address has 4 or 16 bytes, not 17");
    let missing = "missing, or of a kind not known here";
    check(|w| w.waypoint = Some(Default::default()), &format!("waypoint.destination: {missing}"));
    check(
        |w| w.network_gateway = Some(Default::default()),
        &format!("network_gateway.destination: {missing}"),
    );
    check(|w| w.tunnel_protocol = 2, "tunnel_protocol: the value 2 is not known here");
    check(|w| w.tunnel_protocol = 3, "tunnel_protocol: the value 3 is not known here");
    check(|w| w.network_mode = 2, "network_mode: the value 2 is not known here");
    check(|w| w.status = -1, "status: the value -1 is not known here");
    check(
        |w| w.application_tunnel = Some(proto::ApplicationTunnel { protocol: 2, port: 0 }),
        "application_tunnel.protocol: the value 2 is not known here",
    );
    check(
        |w| drop(w.services.insert("host".into(), proto::PortList::default())),
        "services: `host` is not a key; keys read `<namespace>/<hostname>`",
    );
}

#[test]
fn ports_beyond_16_bits_are_refused() {
    check(
        |w| drop(w.services.insert("ns/host".into(), list(a_port(65616, 80)))),
        "services[ns/host].ports[1].service_port: 65616 is not a port; ports end at 65535",
    );
    check(
        |w| drop(w.services.insert("ns/host".into(), list(a_port(80, 65616)))),
        "services[ns/host].ports[1].target_port: 65616 is not a port; ports end at 65535",
    );
    check(
        |w| w.application_tunnel = Some(proto::ApplicationTunnel { protocol: 1, port: 65536 }),
        "application_tunnel.port: 65536 is not a port; ports end at 65535",
    );
    check(
        |w| w.waypoint = Some(by_address(network_address(None), 80_544)),
        "waypoint.hbone_mtls_port: 80544 is not a port; ports end at 65535",
    );
}

#[test]
fn a_gateway_is_one_address() {
    check(
        |w| w.waypoint = Some(by_address(network_address(Some(24)), 15008)),
        "waypoint.address.length: a single address is needed, not a block with a prefix of 24 bits",
    );
    check(
        |w| w.network_gateway = Some(by_address(network_address(Some(33)), 15008)),
        "network_gateway.address.address: a prefix of 33 bits is longer than the address of 32 bits",
    );
    for length in [None, Some(32)] {
        let workload = taken(|w| w.waypoint = Some(by_address(network_address(length), 15009)));
        assert_eq!(workload.waypoint.as_ref().unwrap().to_string(), "west/10.9.8.7 port 15009");
    }
}

#[test]
fn what_is_absent_has_a_default() {
    let workload = taken(|_| ());
    assert_eq!(&*workload.trust_domain, "cluster.local");
    assert_eq!(&*workload.service_account, "default");
    assert_eq!(&*workload.cluster_id, "Kubernetes");
    assert_eq!(workload.capacity, 1);
    assert_eq!((workload.protocol, workload.network_mode), (Protocol::Tcp, NetworkMode::Standard));
    assert_eq!(
        workload,
        Workload { uid: "uid".into(), template: workload.template.clone(), ..Default::default() }
    );
    assert_eq!(taken(|w| w.capacity = Some(0)).capacity, 0);
    let gateway = taken(|w| w.waypoint = Some(by_address(network_address(None), 0)));
    assert_eq!(gateway.waypoint.as_ref().unwrap().port, 15008);
    let tunnel = taken(|w| w.application_tunnel = Some(Default::default()));
    let tunnel = tunnel.application_tunnel.unwrap();
    assert_eq!((tunnel.protocol, tunnel.port), (ApplicationProtocol::None, None));
}

#[test]
fn what_is_tolerated() {
    for (number, expected) in [
        (0, WorkloadType::Deployment),
        (1, WorkloadType::CronJob),
        (2, WorkloadType::Pod),
        (3, WorkloadType::Job),
        (4, WorkloadType::Deployment),
        (-1, WorkloadType::Deployment),
    ] {
        assert_eq!(taken(|w| w.workload_type = number).workload_type, expected, "{number}");
    }
    let ports = taken(|w| drop(w.services.insert("ns/host".into(), list(a_port(80, 0)))));
    assert_eq!(
        ports.services.get("ns/host").unwrap().iter().collect::<Vec<_>>(),
        [(80, 0)],
        "the last one wins"
    );
    assert!(
        taken(|w| drop(w.services.insert("ns/host".into(), Default::default())))
            .services
            .get("ns/host")
            .unwrap()
            .is_empty()
    );
}

#[test]
fn mapped_addresses_become_plain() {
    let mapped = vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1];
    let workload = taken(|w| {
        w.addresses = vec![mapped.clone()];
        w.waypoint = Some(by_address(
            proto::NetworkAddress { network: String::new(), address: mapped.clone(), length: Some(128) },
            1,
        ));
    });
    assert_eq!(workload.addresses[0].to_string(), "10.0.0.1");
    assert_eq!(workload.waypoint.as_ref().unwrap().to_string(), "/10.0.0.1 port 1");
}

#[test]
fn pods_of_one_owner_share() {
    let mut interner = Interner::default();
    let mut pod = |uid: &str| {
        let message = proto::Workload { uid: uid.into(), namespace: "shop".into(), ..Default::default() };
        let payload = address_of(proto::address::Type::Workload(message.into()));
        match decode_address(uid, &payload, &mut interner).unwrap() {
            Address::Workload(workload) => workload,
            Address::Service(service) => panic!("a service: {service:?}"),
        }
    };
    let (one, two) = (pod("1"), pod("2"));
    assert!(std::sync::Arc::ptr_eq(&one.template, &two.template));
}
