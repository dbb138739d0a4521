//! The numbers of all fields, against bytes put together by hand.

use culvert_proto::{rpc, xds};

use super::*;

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
    bytes
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn text(field: u64, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    [varint(field << 3 | 2), varint(u64::try_from(value.len()).unwrap()), value.to_vec()].concat()
}

fn message(field: u64, parts: &[Vec<u8>]) -> Vec<u8> {
    text(field, parts.concat())
}

#[track_caller]
fn check<M: Message + Default + PartialEq + std::fmt::Debug>(parts: &[Vec<u8>], expected: &M) {
    assert_eq!(M::decode(parts.concat().as_slice()).as_ref(), Ok(expected));
}

fn hostname_gateway() -> proto::GatewayAddress {
    let hostname = proto::NamespacedHostname { namespace: "ns".into(), hostname: "host".into() };
    proto::GatewayAddress {
        destination: Some(proto::gateway_address::Destination::Hostname(hostname)),
        hbone_mtls_port: 15009,
    }
}

fn hostname_gateway_parts() -> [Vec<u8>; 2] {
    [message(1, &[text(1, "ns"), text(2, "host")]), number(3, 15009)]
}

fn address_gateway_parts() -> [Vec<u8>; 2] {
    [message(2, &[text(1, "west"), text(2, [10, 9, 8, 7]), number(3, 32)]), number(3, 300)]
}

#[test]
fn requests_and_responses() {
    let node = xds::Node {
        id: "a".into(),
        cluster: "b".into(),
        metadata: Some(Default::default()),
        build_version: "c".into(),
    };
    check(
        &[
            message(1, &[text(1, "a"), text(2, "b"), text(3, ""), text(5, "c")]),
            text(2, "d"),
            text(3, "e"),
            text(4, "f"),
            message(5, &[text(1, "g"), text(2, "h")]),
            text(6, "i"),
            message(7, &[number(1, 3), text(2, "j"), text(3, "")]),
        ],
        &xds::DeltaDiscoveryRequest {
            node: Some(node),
            type_url: "d".into(),
            resource_names_subscribe: vec!["e".into()],
            resource_names_unsubscribe: vec!["f".into()],
            initial_resource_versions: [("g".to_owned(), "h".to_owned())].into(),
            response_nonce: "i".into(),
            error_detail: Some(rpc::Status { code: 3, message: "j".into() }),
        },
    );
    let resource = xds::Resource {
        version: "b".into(),
        resource: Some(xds::Any { type_url: "c".into(), value: Bytes::from_static(b"d") }),
        name: "e".into(),
        aliases: vec!["f".into()],
        ttl: Some(Default::default()),
    };
    let parts = [
        text(1, "b"),
        message(2, &[text(1, "c"), text(2, "d")]),
        text(3, "e"),
        text(4, "f"),
        text(6, ""),
        text(7, ""),
    ];
    check(
        &[text(1, "a"), message(2, &parts), text(4, "g"), text(5, "h"), text(6, "i"), text(7, "")],
        &xds::DeltaDiscoveryResponse {
            system_version_info: "a".into(),
            resources: vec![resource],
            type_url: "g".into(),
            nonce: "h".into(),
            removed_resources: vec!["i".into()],
        },
    );
}

#[test]
fn a_payload_is_a_slice_of_its_response() {
    let response = Bytes::from(message(2, &[message(2, &[text(2, [7; 100])])]));
    let decoded = xds::DeltaDiscoveryResponse::decode(response.clone()).unwrap();
    let value = &decoded.resources[0].resource.as_ref().unwrap().value;
    assert!(response.as_ptr_range().contains(&value.as_ptr()), "copied");
}

#[test]
fn workloads() {
    let workload = proto::Workload {
        name: "a".into(),
        namespace: "b".into(),
        addresses: vec![vec![1, 2, 3, 4]],
        network: "c".into(),
        tunnel_protocol: 1,
        trust_domain: "d".into(),
        service_account: "e".into(),
        waypoint: Some(hostname_gateway()),
        node: "f".into(),
        canonical_name: "g".into(),
        canonical_revision: "h".into(),
        workload_type: 3,
        workload_name: "i".into(),
        native_tunnel: true,
        authorization_policies: vec!["j".into()],
        status: 1,
        cluster_id: "k".into(),
        network_gateway: Some(by_address(network_address(Some(32)), 300)),
        uid: "l".into(),
        hostname: "m".into(),
        services: [("n/o".to_owned(), proto::PortList { ports: vec![a_port(80, 8080)] })].into(),
        application_tunnel: Some(proto::ApplicationTunnel { protocol: 1, port: 5 }),
        locality: Some(proto::Locality { region: "p".into(), zone: "q".into(), subzone: "r".into() }),
        network_mode: 1,
        capacity: Some(9),
    };
    let ports = message(1, &[number(1, 80), number(2, 8080), number(3, 1)]);
    let parts = [
        [text(1, "a"), text(2, "b"), text(3, [1, 2, 3, 4]), text(4, "c"), number(5, 1)].concat(),
        [text(6, "d"), text(7, "e"), message(8, &hostname_gateway_parts()), text(9, "f")].concat(),
        [text(10, "g"), text(11, "h"), number(12, 3), text(13, "i"), number(14, 1)].concat(),
        [text(16, "j"), number(17, 1), text(18, "k"), message(19, &address_gateway_parts())].concat(),
        [text(20, "l"), text(21, "m"), message(22, &[text(1, "n/o"), message(2, &[ports])])].concat(),
        message(23, &[number(1, 1), number(2, 5)]),
        message(24, &[text(1, "p"), text(2, "q"), text(3, "r")]),
        [number(25, 1), text(26, ""), message(27, &[number(1, 9)])].concat(),
    ];
    let expected = proto::address::Type::Workload(workload.into());
    check(&[message(1, &parts)], &proto::Address { r#type: Some(expected) });
}

#[test]
fn services() {
    let service = proto::Service {
        name: "a".into(),
        namespace: "b".into(),
        hostname: "c".into(),
        addresses: vec![network_address(Some(16)), network_address(None)],
        ports: vec![a_port(80, 8080)],
        subject_alt_names: vec!["d".into()],
        waypoint: Some(hostname_gateway()),
        load_balancing: Some(proto::LoadBalancing {
            routing_preference: vec![6, 1],
            mode: 2,
            health_policy: 1,
        }),
        ip_families: 3,
        canonical: true,
        weighted_waypoints: vec![proto::WeightedWaypoint {
            destination: Some(hostname_gateway()),
            weight: 70,
        }],
        visibility: 1,
    };
    let parts = [
        [text(1, "a"), text(2, "b"), text(3, "c")].concat(),
        message(4, &[text(1, "west"), text(2, [10, 9, 8, 7]), number(3, 16)]),
        message(4, &[text(1, "west"), text(2, [10, 9, 8, 7])]),
        message(5, &[number(1, 80), number(2, 8080)]),
        [text(6, "d"), message(7, &hostname_gateway_parts())].concat(),
        message(8, &[text(1, [6, 1]), number(2, 2), number(3, 1)]),
        [number(9, 3), text(10, ""), number(11, 1), number(12, 1)].concat(),
        message(13, &[message(1, &hostname_gateway_parts()), number(2, 70)]),
        number(14, 1),
    ];
    let expected = proto::address::Type::Service(service.into());
    check(&[message(2, &parts)], &proto::Address { r#type: Some(expected) });
}

#[test]
fn policies() {
    use security::string_match::MatchType;

    let string = |match_type| vec![security::StringMatch { match_type: Some(match_type) }];
    let block = |last: u8, length| vec![security::Address { address: vec![10, 0, 0, last], length }];
    let account = |namespace: &str| {
        vec![security::ServiceAccountMatch { namespace: namespace.into(), service_account: "sa".into() }]
    };
    let attributes = security::Match {
        namespaces: string(MatchType::Exact("a".into())),
        not_namespaces: string(MatchType::Prefix("b".into())),
        principals: string(MatchType::Suffix("c".into())),
        not_principals: string(MatchType::Presence(())),
        source_ips: block(1, 8),
        not_source_ips: block(2, 16),
        destination_ips: block(3, 24),
        not_destination_ips: block(4, 32),
        destination_ports: vec![80],
        not_destination_ports: vec![443],
        service_accounts: account("d"),
        not_service_accounts: account("e"),
    };
    let block = |field, last, length| message(field, &[text(1, [10, 0, 0, last]), number(2, length)]);
    let parts = [
        [message(1, &[text(1, "a")]), message(2, &[text(2, "b")]), message(3, &[text(3, "c")])].concat(),
        [message(4, &[text(4, "")]), block(5, 1, 8), block(6, 2, 16), block(7, 3, 24), block(8, 4, 32)]
            .concat(),
        [text(9, varint(80)), text(10, varint(443))].concat(),
        [message(11, &[text(1, "d"), text(2, "sa")]), message(12, &[text(1, "e"), text(2, "sa")])].concat(),
        text(13, ""),
    ];
    let rule = security::Rule { clauses: vec![security::Clause { matches: vec![attributes] }] };
    check(
        &[
            [text(1, "n"), text(2, "ns"), number(3, 2), number(4, 1)].concat(),
            message(5, &[message(1, &[message(2, &parts)])]),
            [number(6, 1), text(7, "")].concat(),
        ],
        &security::Authorization {
            name: "n".into(),
            namespace: "ns".into(),
            scope: security::Scope::WorkloadSelector.into(),
            action: security::Action::Deny.into(),
            rules: vec![rule],
            dry_run: true,
        },
    );
}
