//! What annotations exclude passes as it is, in both families, and only that: they may change on a pod that lives, and one that
//! makes no sense has no effect and is told.

use std::net::SocketAddr;

use culvert_lab::api_server::pod;
use culvert_lab::{Behaviour, Pod, PodSpec, Section, ServiceSpec};
use serde_json::json;

use crate::harness::cluster::{ECHO, WHO};
use crate::harness::kubernetes::MODE;
use crate::harness::nameserver::{self, dig};
use crate::harness::one_node::OneNode;
use crate::harness::talk::{Ending, SOON, assert_reset, exchange};

const OUTBOUND_PORTS: &str = "culvert.dev/exclude-outbound-ports";
const OUTBOUND_CIDRS: &str = "culvert.dev/exclude-outbound-cidrs";
const INBOUND_PORTS: &str = "culvert.dev/exclude-inbound-ports";
const DNS_CAPTURE: &str = "ambient.istio.io/dns-capture";
/// Another port of every server.
const OTHER: u16 = 7107;

/// As control planes say STRICT.
const STRICT: &str = "
    - name: strict
      namespace: shop
      scope: Namespace
      action: Deny
      rules: [[[{ notPrincipals: [!Presence []] }]]]
    ";

/// A node with two pods in the mesh and one that is not.
struct Town {
    node: OneNode,
    client: Pod,
    server: Pod,
    outsider: Pod,
}

impl Town {
    fn start(name: &str) -> Self {
        let node = OneNode::start(name, &["shop", "street"]);
        node.kubernetes.label_namespace("shop", Some("ambient"));
        let [client, server] = ["client", "server"].map(|name| node.run("shop", name).pod().clone());
        let outsider = node.run("street", "outsider").pod().clone();
        node.lab.serve(&server, OTHER, Behaviour::Echo).unwrap();
        node.wait_until_in(&[&client, &server]);
        Self { node, client, server, outsider }
    }

    fn annotate(&self, pod: &Pod, name: &str, value: Option<&str>) {
        self.node.kubernetes.annotate(pod, name, value);
    }

    /// Waits until what the client says to exactly these of the server's ends can be read. No connection may fail meanwhile.
    #[track_caller]
    fn wait_until_read(&self, expected: &[SocketAddr]) {
        let ips = self.server.ips();
        let all = ips.iter().flat_map(|ip| [ECHO, OTHER].map(|port| SocketAddr::new(*ip, port)));
        let all: Vec<_> = all.collect();
        let mut read = Vec::new();
        let waited = self.node.lab.wait_until(SOON, "the right connections are in clear", || {
            read = all.iter().copied().filter(|to| self.node.is_read(&self.client, *to)).collect();
            read == expected
        });
        if let Err(error) = waited {
            panic!("in clear: {read:?}, not {expected:?}; {error:?}");
        }
    }

    fn at(&self, port: u16) -> [SocketAddr; 2] {
        self.server.ips().map(|ip| SocketAddr::new(ip, port))
    }
}

#[test]
fn connections_to_excluded_ports_leave_as_they_are() {
    let town = Town::start("out-ports");
    town.wait_until_read(&[]);
    town.annotate(&town.client, OUTBOUND_PORTS, Some("7007"));
    town.wait_until_read(&town.at(ECHO));
    town.annotate(&town.client, OUTBOUND_PORTS, Some("5432, 7100-7110"));
    town.wait_until_read(&town.at(OTHER));
    town.annotate(&town.client, OUTBOUND_PORTS, None);
    town.wait_until_read(&[]);

    let of_namespace = |value: Option<&str>| {
        let change = json!({"metadata": {"annotations": {OUTBOUND_PORTS: value}}});
        town.node.kubernetes.api.patch("namespaces", "", "shop", change).unwrap();
    };
    of_namespace(Some("7007"));
    town.wait_until_read(&town.at(ECHO));
    town.annotate(&town.client, OUTBOUND_PORTS, Some(""));
    town.wait_until_read(&[]);
    of_namespace(None);
    assert_eq!(town.node.counted("culvert_agent_drift_repaired_total"), 0, "a change was taken for drift");
}

#[test]
fn connections_to_excluded_networks_leave_as_they_are() {
    let town = Town::start("out-cidrs");
    let at = |ip| [ECHO, OTHER].map(|port| SocketAddr::new(ip, port));
    let [ip4, ip6] = town.server.ips();
    town.annotate(&town.client, OUTBOUND_CIDRS, Some(&format!("{ip4}/32, 2001:db8::/32")));
    town.wait_until_read(&at(ip4));
    town.annotate(&town.client, OUTBOUND_CIDRS, Some(&ip6.to_string()));
    town.wait_until_read(&at(ip6));
    town.annotate(&town.client, OUTBOUND_CIDRS, None);
    town.wait_until_read(&[]);
}

#[test]
fn connections_to_excluded_ports_come_in_as_they_are() {
    let town = Town::start("in-ports");
    town.node.lab.set(Section::Policies, STRICT).unwrap();
    let [ip4, ip6] = town.server.ips();
    for ip in [ip4, ip6] {
        assert_reset(&town.outsider, (ip, ECHO));
    }
    let comes =
        |to: SocketAddr| exchange(&town.outsider, to, b"let me in") == Ending::Complete(b"let me in".into());
    town.annotate(&town.server, INBOUND_PORTS, Some("7007"));
    for to in town.at(ECHO) {
        town.node.wait("the excluded port is reached", || comes(to));
    }
    for to in town.at(OTHER) {
        assert_reset(&town.outsider, to);
    }
    town.annotate(&town.server, INBOUND_PORTS, Some("7107"));
    for to in town.at(OTHER) {
        town.node.wait("the excluded port is reached", || comes(to));
    }
    for to in town.at(ECHO) {
        assert_reset(&town.outsider, to);
    }
    // Whoever is in the mesh is let in by tunnel as ever, also at the excluded port.
    for port in [ECHO, OTHER] {
        assert!(!town.node.is_read(&town.client, (ip4, port)));
    }
}

#[test]
fn exclusions_of_a_pod_that_starts_hold_from_the_first_connection() {
    let town = Town::start("from-the-start");
    let object = pod("shop", "late").annotation(OUTBOUND_PORTS, "7007");
    let late = town.node.run_as(object);
    assert!(town.node.is_read(late.pod(), (town.server.ip4(), ECHO)));
    town.node.wait_until_in(&[late.pod()]);
    assert!(!town.node.is_read(late.pod(), (town.server.ip4(), OTHER)));
}

#[test]
fn a_value_that_makes_no_sense_has_no_effect_and_is_told() {
    let town = Town::start("wrong");
    for (wrong, expected) in [("7007, banana", "banana"), ("7007, 15008", "15008"), ("7007, 1-65535", "64")] {
        town.annotate(&town.client, OUTBOUND_PORTS, Some(wrong));
        let complaint = || {
            let listed = town.node.listed(town.client.uid()).unwrap();
            listed["complaints"].to_string().contains(expected).then_some(listed)
        };
        town.node.wait("the complaint is listed", || complaint().is_some());
        let listed = complaint().unwrap();
        assert!(listed["complaints"].to_string().contains(OUTBOUND_PORTS), "{listed}");
        assert_eq!(listed["capture"]["excludeOutboundPorts"], json!([]), "{listed}");
        assert!(!town.node.is_read(&town.client, (town.server.ip4(), ECHO)), "`{wrong}` has an effect");
    }
    let event = town.node.wait_for_event(&town.client, "CulvertMisannotated");
    assert!(event.note.contains(OUTBOUND_PORTS) && event.note.contains("banana"), "{event:?}");
    town.node.agent().wait_for_log("banana", SOON).unwrap();
    town.annotate(&town.client, OUTBOUND_PORTS, Some("7007"));
    town.wait_until_read(&town.at(ECHO));
    assert_eq!(town.node.listed(town.client.uid()).unwrap()["complaints"], json!([]));
}

#[test]
fn a_pod_may_ask_its_own_nameserver() {
    let town = Town::start("names");
    let home = town.node.lab.pod(&town.node.node, PodSpec::new("nameserver")).unwrap();
    let _nameserver = nameserver::start(&town.node.lab, &home, []).unwrap();
    let web = town.node.lab.service(ServiceSpec::new("web").port(80, WHO), &[]).unwrap();
    town.node.follow();
    let question = format!("+short {}", web.hostname());
    let by_mesh = || dig(&town.client, home.ip4().into(), &question).unwrap().trim() == web.ip4().to_string();
    town.node.wait("the mesh answers", by_mesh);
    town.annotate(&town.client, DNS_CAPTURE, Some("false"));
    town.node.wait("the nameserver answers", || !by_mesh());
    town.annotate(&town.client, DNS_CAPTURE, Some("perhaps"));
    town.node.wait("the mesh answers", by_mesh);
    town.node.wait_for_event(&town.client, "CulvertMisannotated");
    town.annotate(&town.client, DNS_CAPTURE, None);
    town.annotate(&town.client, OUTBOUND_PORTS, Some("53"));
    town.node.wait("the nameserver answers", || !by_mesh());
    // Connections are captured as ever.
    assert!(!town.node.is_read(&town.client, (town.server.ip4(), ECHO)));
    town.annotate(&town.client, OUTBOUND_PORTS, None);
    town.node.wait("the mesh answers", by_mesh);

    let outsider =
        town.node.run_as(pod("street", "quiet").label(MODE, "ambient").annotation(DNS_CAPTURE, "false"));
    let answer = dig(outsider.pod(), home.ip4().into(), &question).unwrap();
    assert_eq!(answer.trim(), "", "asked of the mesh, against its will");
}
