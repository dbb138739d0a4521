//! Kubelet has no identity: its probes come in where policies demand one, and nothing else comes in for that.
//!
//! The host of the lab's nodes plays kubelet, on the ports the agent was told of.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};

use culvert_lab::{Behaviour, Lab, Node, Pod, PodSpec, Program, Section, socket};

use crate::harness::cluster::{ECHO, SINK, WHO, lab, serve_all};
use crate::harness::kernel::send_to;
use crate::harness::metrics::counter;
use crate::harness::talk::{
    Ending, SOON, assert_alive, assert_echo, assert_reset, exchange_on, read_to_end, who,
};

mod kubernetes;

/// Two nodes; a shop that is probed, and a garage beside it that is not; a client and an outsider.
struct Town {
    lab: Lab,
    one: Node,
    two: Node,
    client: Pod,
    outsider: Pod,
    shop: Pod,
    garage: Pod,
    /// The proxy of the shop and the garage.
    proxy: Program,
}

/// Where kubelet probes the shop.
const PROBED: [u16; 2] = [ECHO, WHO];

/// As control planes say STRICT.
const STRICT: &str = "
    - name: strict
      namespace: default
      scope: Global
      action: Deny
      rules: [[[{ notPrincipals: [!Presence []] }]]]
    ";

/// Nobody may come to the probed port.
const CLOSED: &str = "
    - name: closed
      namespace: shop
      scope: Namespace
      action: Deny
      rules: [[[{ destinationPorts: [7007] }]]]
    ";

impl Town {
    fn start(name: &str, policies: &str) -> Self {
        let lab = lab(name).unwrap();
        let (one, two) = (lab.node("one").unwrap(), lab.node("two").unwrap());
        let client = lab.pod(&one, PodSpec::new("client").service_account("client")).unwrap();
        let outsider = lab.pod(&two, PodSpec::new("outsider")).unwrap();
        let at = |name: &str| PodSpec::new(name).namespace("shop").service_account(name);
        let shop = lab.pod(&two, at("shop").probe_ports(&PROBED)).unwrap();
        let garage = lab.pod(&two, at("garage")).unwrap();
        for pod in [&shop, &garage] {
            serve_all(&lab, pod).unwrap();
        }
        lab.set(Section::Policies, policies).unwrap();
        lab.enrol_all(&[&client, &shop, &garage]).unwrap();
        lab.start_control().unwrap();
        lab.start_agent(&one).unwrap();
        lab.start_agent(&two).unwrap();
        lab.start_node(&one).unwrap();
        let loud = lab.node_launch(&two).unwrap().env("RUST_LOG", "info,access=debug");
        let proxy = lab.start_node_as(&two, loud).unwrap();
        Self { lab, one, two, client, outsider, shop, garage, proxy }
    }

    /// Connects as kubelet of the shop's node does.
    fn probe(&self, to: impl Into<SocketAddr>) -> TcpStream {
        socket::connect(self.two.netns(), to, SOON).unwrap()
    }

    /// What comes of a probe.
    fn probed(&self, to: impl Into<SocketAddr>) -> Ending {
        ending_of(socket::connect(self.two.netns(), to, SOON))
    }

    fn counted(&self, result: &str) -> u64 {
        counter(&self.two, "culvert_kubelet_probes_total", &[&format!("result=\"{result}\"")])
    }

    /// Tells the agent of the shop's node of something else, in its list of pods.
    fn tell_agent(&self, from: &str, to: &str) {
        let file = self.two.pods_file();
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        let next = file.with_extension("next");
        fs::write(&next, text.replacen(from, to, 1)).unwrap();
        fs::rename(next, file).unwrap();
    }

    /// Waits until a port is let in to, or no longer.
    fn wait_until_probed(&self, to: (IpAddr, u16), expected: &Ending) {
        let what = format!("a probe of {to:?} ends as {expected:?}");
        self.lab.wait_until(SOON, &what, || self.probed(to) == *expected).unwrap();
    }
}

/// What comes of a probe on a connection, which may be refused before it is used.
fn ending_of(connected: io::Result<TcpStream>) -> Ending {
    connected.map_or_else(|error| Ending::of(&error), |stream| exchange_on(stream, b"are you well?"))
}

fn well() -> Ending {
    Ending::Complete(b"are you well?".to_vec())
}

#[test]
fn the_host_reaches_the_ports_kubelet_probes_under_strict() {
    let town = Town::start("probes", STRICT);
    for ip in town.shop.ips() {
        assert_eq!(town.probed((ip, ECHO)), well(), "{ip}");
        let (name, seen, own) = who(town.probe((ip, WHO)));
        assert_eq!((name.as_str(), seen.ip()), ("shop", own.ip()), "the application sees who probes it");
    }
    // The mesh goes on as ever.
    assert_echo(&town.client, (town.shop.ip4(), ECHO), b"in a tunnel");
}

#[test]
fn nothing_else_comes_in_for_that() {
    let town = Town::start("nothing-else", STRICT);
    for ip in town.shop.ips() {
        assert_eq!(town.probed((ip, SINK)), Ending::Reset, "a port that is not probed: {ip}");
        assert_reset(&town.outsider, (ip, ECHO));
        let own: IpAddr = if ip.is_ipv4() { town.two.ip4().into() } else { town.two.ip6().into() };
        let other = socket::connect_from(town.two.netns(), Some((own, 0).into()), (ip, ECHO).into(), SOON);
        assert_eq!(ending_of(other), Ending::Reset, "another address of the host: {own} -> {ip}");
        let far = socket::connect(town.one.netns(), (ip, ECHO), SOON);
        assert_eq!(ending_of(far), Ending::Reset, "another node: {ip}");
    }
    for ip in town.garage.ips() {
        assert_eq!(town.probed((ip, ECHO)), Ending::Reset, "a pod that is not probed: {ip}");
    }
    assert_eq!(town.counted("ok"), 0);
}

/// The host routes more to a pod than is the pod's own.
#[test]
fn a_probe_of_somebody_elses_address_is_refused() {
    let town = Town::start("elsewhere", STRICT);
    let elsewhere = [198, 51, 100, 9].into();
    send_to(&town.two, elsewhere, &town.shop);
    let position = town.proxy.log_position();
    // From the address the host calls the shop from.
    let own = town.probe((town.shop.ip4(), ECHO)).local_addr().unwrap().ip();
    let from = Some((own, 0).into());
    let stream = socket::connect_from(town.two.netns(), from, (elsewhere, ECHO).into(), SOON);
    assert_eq!(ending_of(stream), Ending::Reset);
    town.proxy.wait_for_log_since(position, "not_our_address", SOON).unwrap();
}

/// As everywhere else: whoever wants no probes declares none.
#[test]
fn a_policy_that_names_the_probed_port_does_not_keep_kubelet_out() {
    let town = Town::start("closed", CLOSED);
    for ip in town.shop.ips() {
        assert_eq!(town.probed((ip, ECHO)), well(), "{ip}");
        assert_reset(&town.client, (ip, ECHO));
        assert_reset(&town.outsider, (ip, ECHO));
    }
}

#[test]
fn probes_are_marked_in_the_log_and_counted_apart() {
    let town = Town::start("marked", STRICT);
    let shop = (town.shop.ip4(), ECHO);
    let line = |to| {
        let position = town.proxy.log_position();
        let ending = town.probed(to);
        (ending, town.proxy.wait_for_log_since(position, "connection complete", SOON).unwrap())
    };
    let (ending, said) = line(shop);
    assert_eq!(ending, well());
    assert!(said.contains("probe=true") && said.contains("dst.workload=\"shop\""), "{said}");
    assert_eq!((town.counted("ok"), town.counted("workload_refused")), (1, 0));
    // A pod that is ill is none of the mesh's connections either.
    let opened = |labels: &[&str]| counter(&town.two, "istio_tcp_connections_opened_total", labels);
    assert_eq!(opened(&[]), 0);
    let (ending, said) = line((town.shop.ip4(), SINK));
    assert_eq!(ending, Ending::Reset);
    assert!(!said.contains("probe=true") && said.contains("reason=\"denied\""), "{said}");
    assert_eq!((town.counted("ok"), opened(&[])), (1, 1));
}

#[test]
fn what_kubelet_does_may_change_and_connections_stay() {
    let town = Town::start("changes", STRICT);
    let shop: IpAddr = town.shop.ip4().into();
    let other = town.lab.serve(&town.shop, 0, Behaviour::Echo).unwrap().port();
    let mut tunnelled = town.client.connect((shop, ECHO), SOON).unwrap();
    let mut kept = town.probe((shop, ECHO));
    assert_alive(&mut tunnelled, b"in a tunnel");
    assert_alive(&mut kept, b"a probe");
    assert_eq!(town.probed((shop, other)), Ending::Reset);
    town.tell_agent("probePorts: [7007, 7010]", &format!("probePorts: [7007, {other}]"));
    town.wait_until_probed((shop, other), &well());
    let mut lost = town.probe((shop, other));
    assert_alive(&mut lost, b"a probe too");
    town.tell_agent(&format!("probePorts: [7007, {other}]"), "probePorts: [7007]");
    assert_eq!(read_to_end(&mut lost), Ending::Reset, "a probe no longer");
    assert_eq!(town.probed((shop, other)), Ending::Reset);
    assert_alive(&mut tunnelled, b"still here");
    assert_alive(&mut kept, b"and still here");
    town.tell_agent("probePorts: [7007]", "probePorts: []");
    assert_eq!(read_to_end(&mut kept), Ending::Reset);
    town.wait_until_probed((shop, ECHO), &Ending::Reset);
    assert_alive(&mut tunnelled, b"as ever");
    town.tell_agent("probePorts: []", "probePorts: [7007]");
    town.wait_until_probed((shop, ECHO), &well());
    assert_alive(&mut tunnelled, b"as ever");
}

#[test]
fn a_probe_that_is_none_any_more_goes_on_where_policies_let_it() {
    let town = Town::start("lets", "");
    let shop: IpAddr = town.shop.ip4().into();
    let mut probe = town.probe((shop, ECHO));
    assert_alive(&mut probe, b"a probe");
    town.tell_agent("probePorts: [7007, 7010]", "probePorts: []");
    let unprobed = || {
        let position = town.proxy.log_position();
        assert_eq!(town.probed((shop, ECHO)), well());
        !town.proxy.wait_for_log_since(position, "connection complete", SOON).unwrap().contains("probe=true")
    };
    town.lab.wait_until(SOON, "the shop is not probed any more", unprobed).unwrap();
    assert_alive(&mut probe, b"anybody");
    town.lab.set(Section::Policies, STRICT).unwrap();
    assert_eq!(read_to_end(&mut probe), Ending::Reset);
}

/// Or a control plane that is late or away would have healthy pods killed.
#[test]
fn a_pod_the_mesh_does_not_know_is_probed_all_the_same() {
    let town = Town::start("unknown", STRICT);
    let shop: IpAddr = town.shop.ip4().into();
    town.tell_agent("name: \"shop\"", "name: \"unheard-of\"");
    town.proxy.wait_for_log("pod=\"unheard-of\"", SOON).unwrap();
    town.wait_until_probed((shop, ECHO), &well());
    assert_eq!(town.probed((shop, SINK)), Ending::Reset);
    assert_reset(&town.outsider, (shop, ECHO));
}
