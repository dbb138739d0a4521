//! A captured pod as waypoint: the node ends the tunnel, and the application gets the connections, if it likes with PROXY
//! protocol in front, and sends them on as any pod does.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use culvert_lab::{Behaviour, Error, Pod, PodSpec, Section, Service, ServiceSpec};
use serde_json::{Value, json};

use crate::harness::cluster::{
    BULK, Cluster, ECHO, Family, SINK, SOURCE, WHO, serve_all, service_port, service_spec,
};
use crate::harness::kernel::{State, connections};
use crate::harness::node_http2::Client;
use crate::harness::shared::Shared;
use crate::harness::talk::{
    Ending, SOON, assert_both_ways, assert_download, assert_echo, assert_upload, exchange, exchange_on, who,
};

use super::{behind, certificate, logged, only};

mod application;

use application::{TELL, waypoint};

/// Where the application of the waypoint listens.
const TUNNEL: u16 = 15088;

/// Waypoints, and what is behind each.
struct Rig {
    cluster: Cluster,
    /// Takes connections at [`TUNNEL`], with PROXY protocol.
    proxy: Pod,
    /// Behind it: in front of the server, and a pod.
    shop: Service,
    vault: Pod,
    /// Has an application tunnel without port and protocol.
    none: Pod,
    desk: Service,
    /// Has no application tunnel.
    bare: Pod,
    room: Service,
}

impl Rig {
    fn start(name: &str, settings: &[(&str, &str)]) -> Result<Self, Error> {
        let cluster = Cluster::without_mesh(name)?;
        let Cluster { lab, two, server, .. } = &cluster;
        let pod =
            |name: &str, keys: &str| lab.pod(two, PodSpec::new(name).service_account(name).mesh_keys(keys));
        let proxy = pod("proxy", &format!("applicationTunnel: {{protocol: PROXY, port: {TUNNEL}}}"))?;
        let none = pod("none", "applicationTunnel: {protocol: NONE}")?;
        let bare = pod("bare", "")?;
        let vault = pod("vault", &format!("waypoint: {{destination: \"/{}\"}}", proxy.ip4()))?;
        lab.serve(&proxy, TUNNEL, waypoint(proxy.clone()))?;
        lab.serve(&none, 80, Behaviour::WhoAmI)?;
        lab.serve(&bare, 80, Behaviour::WhoAmI)?;
        lab.serve(&bare, 81, Behaviour::Echo)?;
        serve_all(lab, &vault)?;

        // A service of a waypoint need not have ports.
        let proxies = lab.service(ServiceSpec::new("proxy"), &[&proxy])?;
        let shop = service_spec("shop").port(TELL, TELL).mesh_keys(&behind(&proxies));
        let shop = lab.service(shop, &[server])?;
        let desk = ServiceSpec::new("desk").port(80, ECHO);
        let desk = desk.mesh_keys(&format!("waypoint: {{destination: \"/{}\"}}", none.ip4()));
        let desk = lab.service(desk, &[server])?;
        let bares = lab.service(ServiceSpec::new("bare").port(15008, 15008), &[&bare])?;
        let room =
            lab.service(ServiceSpec::new("room").port(80, WHO).mesh_keys(&behind(&bares)), &[server])?;
        lab.set(Section::Policies, &[only("proxy", server), only("proxy", &vault)].concat())?;

        cluster.start_programs(settings)?;
        lab.enrol_all(&[&cluster.client, &cluster.neighbour, server, &proxy, &none, &bare, &vault])?;
        Ok(Self { cluster, proxy, shop, vault, none, desk, bare, room })
    }

    /// How the connection came to the waypoint, as that tells.
    #[track_caller]
    fn told(&self, to: SocketAddr) -> Value {
        let ending = exchange(&self.cluster.client, to, b"");
        let Ending::Complete(line) = ending else { panic!("nothing is told about {to}: {ending:?}") };
        serde_json::from_slice(&line).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&line)))
    }

    /// Has a client outside the mesh do something with tunnels of its own to a pod.
    #[track_caller]
    fn with_tunnel_to(&self, pod: &Pod, wish: Value) -> Value {
        let Cluster { lab, outsider, .. } = &self.cluster;
        let certificate = certificate(&self.cluster, "outsider");
        let server = (pod.ip4(), 15008).into();
        Client { lab, from: outsider, server, certificate: &certificate }.run(wish)
    }
}

fn rig() -> Arc<Rig> {
    static RIG: Shared<Rig> = Shared::new();
    RIG.take(|| Rig::start("sandwich", &[]))
}

fn address(value: &Value) -> SocketAddr {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no address"))
}

/// Whether the client has a tunnel from this port.
fn is_tunnel_of(client: &Pod, port: u16) -> bool {
    let all = connections(client);
    all.iter().any(|one| (one.own, one.remote, one.state) == (port, 15008, State::Established))
}

#[test]
fn the_application_is_told_who_calls_and_whom_they_wanted() {
    let rig = rig();
    let client = &rig.cluster.client;
    let [shop, vault] = [rig.shop.ips(), rig.vault.ips()].map(|ips| Family::V4.of(ips, TELL));
    for to in [shop, vault, Family::V6.of(rig.shop.ips(), TELL)] {
        let told = rig.told(to);
        assert_eq!(told["destination"], to.to_string());
        assert_eq!(told["identity"], client.identity());
        let source = address(&told["source"]);
        assert!(client.ips().contains(&source.ip()) && source.is_ipv4() == to.is_ipv4(), "{told}");
        assert!(is_tunnel_of(client, source.port()), "{source} is not the tunnel's end, {told}");
    }
}

#[test]
fn the_application_is_told_who_calls_when_addresses_cannot_be_told() {
    let rig = rig();
    // The waypoint is reached by IPv4, as whoever is behind it says.
    let told = rig.told(Family::V6.of(rig.vault.ips(), TELL));
    assert_eq!((&told["source"], &told["destination"]), (&Value::Null, &Value::Null));
    assert_eq!(told["identity"], rig.cluster.client.identity());
}

#[test]
fn the_application_is_called_from_the_pod_itself() {
    let rig = rig();
    for family in [Family::V4, Family::V6] {
        let told = rig.told(family.of(rig.shop.ips(), TELL));
        let (from, at) = (address(&told["from"]), address(&told["at"]));
        assert!(from.ip().is_loopback() && at.ip().is_loopback() && at.port() == TUNNEL, "{told}");
        assert_eq!(at.is_ipv4(), family == Family::V4, "{told}");
    }
}

#[test]
fn the_application_is_called_as_by_the_client_when_that_is_wanted() {
    let rig = Rig::start("sandwich-plain", &[("LOCALHOST_APP_TUNNEL", "false")]).unwrap();
    for family in [Family::V4, Family::V6] {
        let to = family.of(rig.shop.ips(), TELL);
        let told = rig.told(to);
        assert_eq!(address(&told["at"]), family.of(rig.proxy.ips(), TUNNEL), "{told}");
        assert_eq!(address(&told["from"]).ip(), family.of(rig.cluster.client.ips(), 0).ip(), "{told}");
        assert_eq!(told["destination"], to.to_string());
        assert_eq!(told["identity"], rig.cluster.client.identity());
    }
    assert_echo(&rig.cluster.client, (rig.shop.ip4(), service_port(ECHO)), b"and on it goes");
}

#[test]
fn a_service_that_is_called_by_name_is_told_by_its_address() {
    let rig = rig();
    let authority = format!("{}:{TELL}", rig.shop.hostname());
    let result =
        rig.with_tunnel_to(&rig.proxy, json!({ "does": "speakLast", "authority": authority, "bytes": 0 }));
    let told: Value = serde_json::from_str(result["heard"].as_str().unwrap()).unwrap();
    assert_eq!(told["destination"], format!("{}:{TELL}", rig.shop.ip4()));
    assert_eq!(told["identity"], "spiffe://cluster.local/ns/default/sa/outsider");
}

#[test]
fn what_the_application_sends_on_is_not_sent_to_it_again() {
    let Rig { cluster, proxy, shop, vault, .. } = &*rig();
    let service = service_port(WHO);
    for (to, server) in [
        (Family::V4.of(shop.ips(), service), &cluster.server),
        (Family::V6.of(shop.ips(), service), &cluster.server),
        (Family::V4.of(vault.ips(), WHO), vault),
    ] {
        // A connection of the waypoint's own goes all the way as it is.
        let (name, seen, own) = who(proxy.connect(to, SOON).unwrap());
        assert_eq!((&*name, seen), (server.name(), own), "{to}");
        // And the one it makes for the client arrives.
        let (name, seen, _) = who(cluster.client.connect(to, SOON).unwrap());
        assert_eq!(name, server.name(), "{to}");
        assert!(proxy.ips().contains(&seen.ip()), "{to} sees {seen}");
    }
}

#[test]
fn bytes_move_both_ways_behind_the_header() {
    let rig = rig();
    let client = &rig.cluster.client;
    let [sink, source, echo] =
        [SINK, SOURCE, ECHO].map(|port| SocketAddr::from((rig.shop.ip4(), service_port(port))));
    assert_upload(client, sink, BULK);
    assert_download(client, source, BULK);
    assert_both_ways(client, echo, BULK);
}

#[test]
fn a_tunnel_without_port_and_protocol_gets_the_bytes_at_the_port_that_was_called() {
    let rig = rig();
    let (name, seen, own) = who(rig.cluster.client.connect((rig.desk.ip4(), 80), SOON).unwrap());
    assert_eq!((&*name, seen), (rig.none.name(), own));
}

#[test]
fn a_waypoint_without_application_tunnel_gets_what_is_behind_it() {
    let rig = rig();
    let (name, seen, own) = who(rig.cluster.client.connect((rig.room.ip4(), 80), SOON).unwrap());
    assert_eq!((&*name, seen), (rig.bare.name(), own));
}

#[test]
fn a_waypoint_without_application_tunnel_is_asked_for_nothing_that_is_not_behind_it() {
    let rig = rig();
    let connect = |to: SocketAddr| json!({ ":method": "CONNECT", ":authority": to });
    let requests = [
        connect((rig.bare.ip4(), 81).into()),
        connect((rig.room.ip4(), 81).into()),
        // A pod, a service without waypoint, a service with another one, and nothing the mesh knows.
        connect((rig.cluster.outsider.ip4(), ECHO).into()),
        connect((rig.cluster.web.ip4(), service_port(ECHO)).into()),
        connect((rig.shop.ip4(), service_port(ECHO)).into()),
        connect(([198, 51, 100, 1], 80).into()),
    ];
    let result = rig.with_tunnel_to(&rig.bare, json!({ "does": "ask", "requests": requests }));
    assert_eq!(result, json!({ "statuses": [200, 200, 400, 400, 400, 400] }));
    let proxy = rig.cluster.lab.proxy(&rig.cluster.two).unwrap();
    let asked = format!("dst.hbone_addr={}:{} ", rig.shop.ip4(), service_port(ECHO));
    let line = logged(&proxy, &[asked, format!("src.addr={}:", rig.cluster.outsider.ip4())]);
    assert!(line.contains("reason=\"ip_mismatch\""), "{line}");
}

#[test]
fn policies_judge_the_port_of_the_tunnel() {
    let rig = Rig::start("sandwich-policy", &[]).unwrap();
    let Cluster { lab, client, two, .. } = &rig.cluster;
    let deny = |ports: &str| {
        let policy = format!(
            "- {{name: ports, namespace: default, scope: Namespace, action: Deny, rules: [[[{{\
             destinationIps: [\"{}\"], {ports}}}]]]}}\n",
            rig.proxy.ip4(),
        );
        lab.set(Section::Policies, &policy).unwrap();
    };
    let to = SocketAddr::from((rig.shop.ip4(), TELL));
    deny(&format!("notDestinationPorts: [{TUNNEL}]"));
    assert_eq!(rig.told(to)["destination"], to.to_string());
    deny(&format!("destinationPorts: [{TUNNEL}]"));
    // The reset may come before the client has looked whether it is connected.
    match client.connect(to, SOON) {
        Ok(stream) => assert_eq!(exchange_on(stream, b""), Ending::Reset),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}"),
    }
    let line = lab.proxy(two).unwrap().wait_for_log("reason=\"denied\"", SOON).unwrap();
    assert!(line.contains(&format!("dst.hbone_addr={to} ")) && line.contains(&client.identity()), "{line}");
}

/// A rig whose nodes are told only what they ask for.
fn on_demand() -> Arc<Rig> {
    static RIG: Shared<Rig> = Shared::new();
    RIG.take(|| Rig::start("sandwich-demand", &[("XDS_ON_DEMAND", "true")]))
}

#[test]
fn what_is_not_known_of_a_waypoint_is_asked_for() {
    let rig = on_demand();
    let call = |to: SocketAddr| who(rig.cluster.client.connect(to, SOON).unwrap()).0;
    assert_eq!(call((rig.shop.ip4(), service_port(WHO)).into()), rig.cluster.server.name());
    assert_eq!(call((rig.vault.ip4(), WHO).into()), rig.vault.name());
    assert_eq!(call((rig.desk.ip4(), 80).into()), rig.none.name());
}

#[test]
fn a_waypoint_that_does_not_know_what_is_behind_it_asks() {
    let rig = on_demand();
    let (name, ..) = who(rig.cluster.client.connect((rig.room.ip4(), 80), SOON).unwrap());
    assert_eq!(name, rig.bare.name());
}
