use super::*;
use crate::address::{NetworkAddress, NetworkBlock};
use crate::policy::{Action, Clause, Match, Rule, Scope, ServiceAccountMatch, StringMatch};
use crate::service::{
    BalanceMode, HealthPolicy, IpFamilies, LoadBalancer, Preference, Visibility, WeightedWaypoint,
};
use crate::workload::{
    ApplicationProtocol, ApplicationTunnel, GatewayAddress, GatewayDestination, Health, Locality,
    Memberships, Name, Place, Protocol, Template,
};

mod refused;

const EXAMPLE: &str = include_str!("../testdata/mesh.yaml");
const DB: &str = "Kubernetes/networking.istio.io/ServiceEntry/shop/db/db.example.com";

fn waypoint(port: u16) -> GatewayAddress {
    let destination = GatewayDestination::Hostname {
        namespace: "shop".into(),
        hostname: "waypoint.shop.svc.cluster.local".into(),
    };
    GatewayAddress { destination, port }
}

fn by_address(address: &str) -> GatewayAddress {
    GatewayAddress { destination: GatewayDestination::Address(address.parse().unwrap()), port: 15008 }
}

fn shop(name: &str, service_account: &str, addresses: &[&str]) -> Workload {
    let template = Template {
        namespace: "shop".into(),
        service_account: service_account.into(),
        trust_domain: "cluster.local".into(),
        cluster_id: "Kubernetes".into(),
        protocol: Protocol::Hbone,
        ..Template::default()
    };
    Workload {
        uid: format!("Kubernetes//Pod/shop/{name}").into(),
        named: Name::of(&format!("Kubernetes//Pod/shop/{name}"), name),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        template: template.into(),
        ..Workload::default()
    }
}

fn member_of(service: &str, port: (u16, u16)) -> Memberships {
    [(service.into(), [port].into_iter().collect())].into_iter().collect()
}

fn web_ports() -> Memberships {
    member_of("shop/web.shop.svc.cluster.local", (80, 8080))
}

fn example_workloads() -> Vec<Workload> {
    let locality = Locality { region: "north".into(), zone: "north-1".into(), subzone: "rack-7".into() };
    let place = Arc::new(Place { node: "node-a".into(), locality });
    let web_1 = Workload { place, ..shop("web-1", "web", &["10.0.0.1", "fd00::1"]) };
    let web_1 = web_1.with(|it| {
        it.workload_name = "web".into();
        it.canonical_name = "web".into();
        it.canonical_revision = "v1".into();
        it.services = web_ports();
        it.authorization_policies = vec!["shop/web-only-from-front".into()];
    });
    let web_2 = Workload {
        uid: "cluster-2//Pod/shop/web-2".into(),
        named: Name::of("cluster-2//Pod/shop/web-2", "web-2"),
        capacity: 3,
        status: Health::Unhealthy,
        ..shop("web-2", "web", &["10.0.0.2"])
    };
    let web_2 = web_2.with(|it| {
        it.network = "west".into();
        it.network_gateway = Some(by_address("west/192.0.2.1"));
        it.cluster_id = "cluster-2".into();
        it.services = web_ports();
    });
    let proxy = ApplicationTunnel { protocol: ApplicationProtocol::Proxy, port: Some(15088) };
    let waypoint_1 =
        shop("waypoint-1", "waypoint", &["10.0.0.9"]).with(|it| it.application_tunnel = Some(proxy));
    let db = Workload { uid: DB.into(), named: Name::of(DB, ""), ..shop("", "default", &[]) };
    let db = db.with(|it| {
        it.hostname = "db.example.com".into();
        it.protocol = Protocol::Tcp;
        it.waypoint = Some(waypoint(15008));
        // Its service lists it as endpoint.
        it.services = member_of("shop/db.example.com", (5432, 6432));
    });
    vec![web_1, web_2, waypoint_1, db]
}

fn example_services() -> Vec<Service> {
    let web = Service {
        name: "web".into(),
        namespace: "shop".into(),
        hostname: "web.shop.svc.cluster.local".into(),
        vips: vec!["/10.1.0.1".parse().unwrap(), "west/10.1.0.1".parse().unwrap()],
        ports: [(80, 0), (443, 8443)].into_iter().collect(),
        subject_alt_names: vec!["spiffe://cluster.local/ns/shop/sa/web-old".into()],
        load_balancer: LoadBalancer {
            mode: BalanceMode::Failover,
            preferences: vec![
                Preference::Network,
                Preference::Region,
                Preference::Zone,
                Preference::Subzone,
                Preference::Node,
                Preference::Cluster,
            ],
            health_policy: HealthPolicy::OnlyHealthy,
        },
        ip_families: IpFamilies::Dual,
        canonical: true,
        visibility: Visibility::Public,
        ..Service::default()
    };
    let db = Service {
        name: "db".into(),
        namespace: "shop".into(),
        hostname: "db.example.com".into(),
        cidr_vips: vec![NetworkBlock { network: "".into(), block: "10.9.0.0/16".parse().unwrap() }],
        ports: [(5432, 5432)].into_iter().collect(),
        waypoint: Some(waypoint(15009)),
        weighted_waypoints: vec![WeightedWaypoint { destination: by_address("/10.0.0.9"), weight: 10 }],
        ..Service::default()
    };
    vec![web, db]
}

fn example_policies() -> Vec<Policy> {
    let account =
        |name: &str| ServiceAccountMatch { namespace: "front".into(), service_account: name.into() };
    let from_front = Match {
        namespaces: vec![StringMatch::Exact("front".into()), StringMatch::Prefix("front-".into())],
        not_namespaces: vec![StringMatch::Exact("front-test".into())],
        destination_ports: vec![8080, 8443],
        ..Match::default()
    };
    let nobody = Match {
        principals: vec![StringMatch::Suffix("/sa/admin".into())],
        not_principals: vec![StringMatch::Presence],
        ..Match::default()
    };
    let addresses = Match {
        service_accounts: vec![account("web")],
        not_service_accounts: vec![account("test")],
        source_ips: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
        not_source_ips: vec!["10.0.0.66/32".parse().unwrap()],
        destination_ips: vec!["10.0.0.1/32".parse().unwrap()],
        not_destination_ips: vec!["::/0".parse().unwrap()],
        not_destination_ports: vec![22],
        ..Match::default()
    };
    let clauses = vec![Clause { matches: vec![from_front, nobody] }, Clause { matches: vec![addresses] }];
    let policy = |namespace: &str, name: &str, scope, action, rules| Policy {
        key: format!("{namespace}/{name}").into(),
        name: name.into(),
        namespace: namespace.into(),
        scope,
        action,
        rules,
        dry_run: true,
        unusable: None,
    };
    let only_front =
        policy("shop", "web-only-from-front", Scope::WorkloadSelector, Action::Allow, vec![Rule { clauses }]);
    vec![
        Policy { dry_run: false, ..only_front },
        policy("shop", "deny-all", Scope::Namespace, Action::Allow, vec![]),
        policy("istio-system", "closed", Scope::Global, Action::Deny, vec![Rule::default()]),
    ]
}

#[test]
fn the_example_says_what_it_says() {
    let mesh = parse(EXAMPLE).unwrap();
    for (read, expected) in mesh.workloads.iter().zip(example_workloads()) {
        assert_eq!(*read, expected);
    }
    for (read, expected) in mesh.services.iter().zip(example_services()) {
        assert_eq!(*read, expected);
    }
    for (read, expected) in mesh.policies.iter().zip(example_policies()) {
        assert_eq!(*read, expected);
    }
    assert_eq!((mesh.workloads.len(), mesh.services.len(), mesh.policies.len()), (4, 2, 3));
}

#[test]
fn a_file_may_leave_out_what_it_does_not_need() {
    for text in ["{}", "workloads: []", "services: []\npolicies: []\n", "{\"workloads\": []}"] {
        assert_eq!(parse(text), Ok(Mesh::default()), "{text}");
    }
    let mesh = parse("workloads: [{name: a, namespace: b, workloadIps: []}]").unwrap();
    let uid = "Kubernetes//Pod/b/a";
    let expected = Workload { uid: uid.into(), named: Name::of(uid, "a"), ..shop("a", "default", &[]) };
    let expected = expected.with(|it| {
        it.namespace = "b".into();
        it.protocol = Protocol::Tcp;
    });
    assert_eq!(mesh.workloads, [expected]);
}

#[test]
fn a_repeated_text_is_kept_once() {
    let mesh = parse(EXAMPLE).unwrap();
    let [first, second, ..] = &mesh.workloads[..] else { panic!("two workloads") };
    assert!(
        Arc::ptr_eq(&first.namespace, &second.namespace)
            && Arc::ptr_eq(&first.namespace, &mesh.services[0].namespace)
    );
}

/// How many ways there are to write a condition.
#[test]
fn conditions_are_tags_or_maps() {
    let written = "[!Exact a, {Exact: a}, !Prefix a, {Prefix: a}, !Suffix a, {Suffix: a}, !Exact 5, !Exact 'true', \
                   !Presence [], !Presence {}, !Presence, {Presence: []}, {Presence: {}}, {Presence: null}]";
    let mesh = parse(&policy_with(&format!("namespaces: {written}"))).unwrap();
    let a = || Arc::from("a");
    let mut expected = vec![StringMatch::Exact(a()), StringMatch::Exact(a())];
    expected.extend([StringMatch::Prefix(a()), StringMatch::Prefix(a())]);
    expected.extend([StringMatch::Suffix(a()), StringMatch::Suffix(a())]);
    expected.extend([StringMatch::Exact("5".into()), StringMatch::Exact("true".into())]);
    expected.extend(std::iter::repeat_n(StringMatch::Presence, 6));
    assert_eq!(mesh.policies[0].rules[0].clauses[0].matches[0].namespaces, expected);
}

#[test]
fn addresses_become_canonical() {
    let mesh = parse("workloads: [{name: a, namespace: b, workloadIps: ['::ffff:10.0.0.1']}]").unwrap();
    assert_eq!(*mesh.workloads[0].addresses, ["10.0.0.1".parse::<std::net::IpAddr>().unwrap()]);

    let blocks = "sourceIps: [10.0.0.77/24, '::ffff:10.0.0.0/104', 10.0.0.1, fd00::1, '::/0', 0.0.0.0/0]";
    let mesh = parse(&policy_with(blocks)).unwrap();
    let read: Vec<String> =
        mesh.policies[0].rules[0].clauses[0].matches[0].source_ips.iter().map(ToString::to_string).collect();
    assert_eq!(read, ["10.0.0.0/24", "10.0.0.0/8", "10.0.0.1/32", "fd00::1/128", "::/0", "0.0.0.0/0"]);

    let service = "services: [{name: a, namespace: b, hostname: c, vips: [], ports: {}, \
                   cidrVips: [{network: n, cidr: 10.0.0.1/32}, {cidr: 'fd00::1/64'}]}]";
    let mesh = parse(service).unwrap();
    assert_eq!(mesh.services[0].vips, ["n/10.0.0.1".parse::<NetworkAddress>().unwrap()]);
    assert_eq!(mesh.services[0].cidr_vips[0].to_string(), "/fd00::/64");
}

fn policy_with(attributes: &str) -> String {
    format!(
        "policies:\n- name: p\n  namespace: n\n  scope: Namespace\n  action: Deny\n  rules:\n  - - - {attributes}\n"
    )
}

#[test]
fn a_large_mesh_is_not_too_large() {
    use std::fmt::Write;
    let mut text = "workloads:\n".to_owned();
    for number in 0..15_000 {
        let keys = "namespace: n, serviceAccount: s, protocol: HBONE, node: m, services: {n/h: {80: 8080}}";
        writeln!(
            text,
            "- {{name: w{number}, workloadIps: [10.0.{}.{}], {keys}}}",
            number / 256,
            number % 256
        )
        .unwrap();
    }
    assert_eq!(parse(&text).map(|mesh| mesh.workloads.len()), Ok(15_000));
}
