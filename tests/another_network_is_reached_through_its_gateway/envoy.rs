//! Envoy as gateway: services behind it are reached whatever the family, and however the gateway is named.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use culvert_lab::{Behaviour, Error, Pod, PodSpec, Program, Section, Service, ServiceSpec, wait_for};

use crate::harness::cluster::{BULK, ECHO, Family, SINK, SOURCE, WHO, serve_all, service_port, service_spec};
use crate::harness::envoy::serve_tunnels;
use crate::harness::shared::Shared;
use crate::harness::talk::{SOON, assert_both_ways, assert_download, assert_echo, assert_upload, who};

use super::rig::{Networks, at, authority, behind, called, gate_service, vouching};

const CONFIGURATION: &str = include_str!("../peers/envoy/gateway.yaml");

/// Applications of the server that policies are about: [`ECHO`] on other ports.
const NOT_FOR_NEIGHBOURS: u16 = 7031;
const ONLY_FROM_THE_GATE: u16 = 7032;
const NOT_FROM_THE_GATE: u16 = 7033;

/// The networks with Envoy as gateway. For tests that only add to it.
pub(super) struct Rig {
    pub(super) networks: Networks,
    /// Behind the same gateway, by its IPv6 address; and reached by it over IPv6.
    sixth: Service,
    /// Behind the same gateway, by the name of its service.
    named: Service,
    /// In front of the server and the one before; the gateway leads to the server.
    pub(super) both: Service,
    pub(super) not_for_neighbours: Service,
    pub(super) only_from_the_gate: Service,
    pub(super) not_from_the_gate: Service,
    pub(super) log: PathBuf,
}

pub(super) fn rig() -> Arc<Rig> {
    static RIG: Shared<Rig> = Shared::new();
    RIG.take(|| Rig::start("gateway-envoy"))
}

impl Rig {
    fn start(name: &str) -> Result<Self, Error> {
        let networks = Networks::without_mesh(name)?;
        let Networks { lab, there, gate, server, .. } = &networks;
        let gates = lab.service(gate_service("gate"), &[gate])?;
        let pod = |name: &str, gateway: &str| {
            let keys = format!("workloadName: {name}-work\n{}", behind(gateway));
            let pod = lab.pod(there, PodSpec::new(name).service_account(name).mesh_keys(&keys))?;
            serve_all(lab, &pod).map(|()| pod)
        };
        let (sixth_pod, named_pod) = (pod("sixth", &at(gate.ip6()))?, pod("named", &called(&gates))?);
        let service = |name: &str, pods: &[&Pod]| {
            let identities: Vec<_> = pods.iter().map(|pod| pod.identity()).collect();
            let identities: Vec<_> = identities.iter().map(String::as_str).collect();
            lab.service(service_spec(name).mesh_keys(&vouching(&identities)), pods)
        };
        let sixth = service("sixth", &[&sixth_pod])?;
        let (named, both) = (service("named", &[&named_pod])?, service("both", &[server, &named_pod])?);
        let guarded = |name: &str, port| {
            lab.serve(server, port, Behaviour::Echo)?;
            let keys = vouching(&[&server.identity()]);
            lab.service(ServiceSpec::new(name).port(80, port).mesh_keys(&keys), &[server])
        };
        let not_for_neighbours = guarded("not-for-neighbours", NOT_FOR_NEIGHBOURS)?;
        let only_from_the_gate = guarded("only-from-the-gate", ONLY_FROM_THE_GATE)?;
        let not_from_the_gate = guarded("not-from-the-gate", NOT_FROM_THE_GATE)?;
        lab.set(Section::Policies, &policies(&networks))?;
        networks.start_mesh(&[&sixth_pod, &named_pod])?;
        let leads = [(&sixth, sixth_pod.ip6().into()), (&named, named_pod.ip4().into())];
        let log = start_gateway(&networks, gate, &leads).1;
        Ok(Self {
            sixth,
            named,
            both,
            not_for_neighbours,
            only_from_the_gate,
            not_from_the_gate,
            log,
            networks,
        })
    }
}

/// Starts Envoy in a gateway's pod. It leads to the server, but for some services to other addresses. Gives its log of CONNECTs, too.
pub(super) fn start_gateway(
    networks: &Networks,
    gate: &Pod,
    leads: &[(&Service, IpAddr)],
) -> (Program, PathBuf) {
    let host = |(service, _): &(&Service, IpAddr)| {
        format!(
            "            - name: {name}\n              domains: [\"{host}:*\"]\n              routes:\n              \
             - match: {{ connect_matcher: {{}} }}\n                route: {{ cluster: {name}, timeout: 0s, \
             upgrade_configs: [{{ upgrade_type: CONNECT, connect_config: {{}} }}] }}\n",
            name = service.name(),
            host = service.hostname(),
        )
    };
    let cluster = |(service, ip): &(&Service, IpAddr)| {
        format!(
            "  - name: {name}\n    type: STATIC\n    connect_timeout: 5s\n    load_assignment:\n      \
             cluster_name: {name}\n      endpoints:\n      - lb_endpoints: [{{ endpoint: {{ address: {{ \
             socket_address: {{ address: \"{ip}\", port_value: 15008 }} }} }} }}]\n",
            name = service.name(),
        )
    };
    let log = networks.lab.directory().join(format!("{}-access.log", gate.name()));
    let values = [
        ("HOSTS", leads.iter().map(host).collect::<String>()),
        ("CLUSTERS", leads.iter().map(cluster).collect()),
        ("SERVER", networks.server.ip4().to_string()),
        ("LOG", log.display().to_string()),
    ];
    let values = values.each_ref().map(|(name, value)| (*name, value.as_str()));
    let program = serve_tunnels(&networks.lab, gate, &networks.certificate("gate"), CONFIGURATION, &values);
    (program, log)
}

fn policies(Networks { gate, client, .. }: &Networks) -> String {
    let [v4, v6] = gate.ips();
    let client = client.identity().replace("spiffe://", "");
    let deny = |port: u16, more: &str| {
        format!(
            "- {{name: deny-{port}, namespace: default, scope: Namespace, action: Deny, \
             rules: [[[{{destinationPorts: [{port}]}}], [{{{more}}}]]]}}\n"
        )
    };
    let gate = format!("[\"{v4}\", \"{v6}\"]");
    [
        deny(NOT_FOR_NEIGHBOURS, &format!("notPrincipals: [!Exact {client}]")),
        deny(ONLY_FROM_THE_GATE, &format!("notSourceIps: {gate}")),
        deny(NOT_FROM_THE_GATE, &format!("sourceIps: {gate}")),
    ]
    .concat()
}

/// Every way through the gateway, with who answers.
fn ways(rig: &Rig, port: u16) -> Vec<(SocketAddr, &'static str)> {
    let services = [(&rig.networks.far, "server"), (&rig.sixth, "sixth"), (&rig.named, "named")];
    let both = [Family::V4, Family::V6];
    let way = |(service, name): (&Service, &'static str)| {
        both.map(|family| (family.of(service.ips(), service_port(port)), name))
    };
    services.into_iter().flat_map(way).collect()
}

#[test]
fn a_service_is_reached_by_either_family_however_its_gateway_is_named() {
    let rig = rig();
    for (to, name) in ways(&rig, WHO) {
        let (answers, seen, _) = who(rig.networks.client.connect(to, SOON).unwrap());
        assert_eq!(answers, name, "{to}");
        assert!(rig.networks.gate.ips().contains(&seen.ip()), "{to}: {seen} is not the gateway");
    }
}

#[test]
fn what_is_said_comes_back_whole() {
    let rig = rig();
    for (to, _) in ways(&rig, ECHO) {
        for length in [0, 1, 100, 70_000] {
            assert_echo(&rig.networks.client, to, &vec![b'x'; length]);
        }
    }
}

#[test]
fn bulk_moves_both_ways() {
    let rig = rig();
    let client = &rig.networks.client;
    let at = |service: &Service, family: Family, port| family.of(service.ips(), service_port(port));
    for (service, family) in [(&rig.networks.far, Family::V4), (&rig.sixth, Family::V6)] {
        assert_upload(client, at(service, family, SINK), BULK);
        assert_download(client, at(service, family, SOURCE), BULK);
        assert_both_ways(client, at(service, family, ECHO), BULK);
    }
}

#[test]
fn the_gateway_is_told_which_service_is_called_and_by_whom() {
    let rig = rig();
    let Networks { client, far, .. } = &rig.networks;
    let (stream, own) = rig.networks.call((far.ip4(), service_port(WHO)));
    who(stream);
    let forwarded = format!("forwarded=for=\"{own}\";host={}\n", far.hostname());
    // Envoy logs a CONNECT when it is over.
    let line = wait_for(SOON, "Envoy logs the connection", || {
        let text = fs::read_to_string(&rig.log).unwrap_or_default();
        text.split_inclusive('\n').find(|line| line.ends_with(&forwarded)).map(str::to_owned)
    });
    let expected = format!("authority={} peer={} ", authority(far, service_port(WHO)), client.identity());
    let line = line.unwrap();
    assert!(line.starts_with(&expected), "{line}");
}
