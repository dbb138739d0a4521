//! Policies decide who gets in, by proven identity; whoever does not is reset, and the log says why.

use std::fs;
use std::time::{Duration, Instant};

use culvert_lab::{Behaviour, Lab, Node, Pod, PodSpec, Program, Section};

use crate::harness::cluster::{ECHO, lab, serve_all};
use crate::harness::metrics::counter;
use crate::harness::talk::{Ending, SOON, assert_alive, assert_echo, assert_reset, read_to_end};

/// Alice, Bob and a pod outside the mesh on one node; a shop and a garage on the other.
struct Town {
    lab: Lab,
    two: Node,
    alice: Pod,
    bob: Pod,
    outsider: Pod,
    shop: Pod,
    garage: Pod,
    /// The proxy of the shop and the garage.
    control: Program,
    proxy: Program,
}

/// Lets Alice into the shop, and nobody else.
const ALICE_ONLY: &str = "
    - name: alice-only
      namespace: shop
      scope: Namespace
      action: Allow
      rules:
      - - - principals: [!Exact cluster.local/ns/default/sa/alice]
    ";

/// Lets those in who are known to be at the addresses the callers have, if they prove that.
const KNOWN: &str = "
    - name: known
      namespace: shop
      scope: Namespace
      action: Allow
      rules:
      - - - principals: [!Exact cluster.local/ns/default/sa/outsider]
      - - - namespaces: [!Exact default]
    ";

/// Keeps Bob out of what refers to it, and so far nothing does.
const NO_BOB: &str = "
    - name: no-bob
      namespace: shop
      scope: WorkloadSelector
      action: Deny
      rules: [[[{ principals: [!Exact cluster.local/ns/default/sa/bob] }]]]
    ";

/// Keeps everybody out of the shop.
const CLOSED: &str = "
    - name: closed
      namespace: shop
      scope: Namespace
      action: Deny
      rules: [[]]
    ";

impl Town {
    fn start(name: &str, policies: &str) -> Self {
        let lab = lab(name).unwrap();
        let (one, two) = (lab.node("one").unwrap(), lab.node("two").unwrap());
        let person = |name| lab.pod(&one, PodSpec::new(name).service_account(name)).unwrap();
        let (alice, bob, outsider) = (person("alice"), person("bob"), person("outsider"));
        let shop = PodSpec::new("shop").namespace("shop").service_account("shop");
        let garage =
            PodSpec::new("garage").namespace("garage").mesh_keys("authorizationPolicies: [garage/lost]");
        let (shop, garage) = (lab.pod(&two, shop).unwrap(), lab.pod(&two, garage).unwrap());
        for pod in [&shop, &garage] {
            serve_all(&lab, pod).unwrap();
        }
        lab.set(Section::Policies, policies).unwrap();
        lab.enrol_all(&[&alice, &bob, &shop, &garage]).unwrap();
        let control = lab.start_control().unwrap();
        lab.start_agent(&one).unwrap();
        lab.start_agent(&two).unwrap();
        lab.start_node(&one).unwrap();
        let loud = lab.node_launch(&two).unwrap().env("AUTHZ_POLICY_INFO_LOGGING", "true");
        let proxy = lab.start_node_as(&two, loud).unwrap();
        Self { lab, two, alice, bob, outsider, shop, garage, control, proxy }
    }

    /// The line the control plane logs about a change of the mesh that it does not take.
    fn complaint_about(&self, change: impl FnOnce()) -> String {
        let position = self.control.log_position();
        change();
        self.control.wait_for_log_since(position, "keeping its last content", SOON).unwrap()
    }

    /// Makes the workload of the shop refer to a policy, until the mesh is written anew.
    fn attach_to_shop(&self, policy: &str) {
        let entry = "- uid: \"Kubernetes//Pod/shop/shop\"\n";
        let attached = format!("{entry}  authorizationPolicies: [{policy}]\n");
        let mesh = fs::read_to_string(self.lab.mesh_file()).unwrap();
        assert!(mesh.contains(entry), "{mesh}");
        fs::write(self.lab.mesh_file(), mesh.replace(entry, &attached)).unwrap();
    }

    /// The line the shop's proxy logs about a refusal that begins now.
    fn line_about(&self, part: &str, refused: impl FnOnce()) -> String {
        let position = self.proxy.log_position();
        refused();
        self.proxy.wait_for_log_since(position, part, SOON).unwrap()
    }
}

#[test]
fn who_is_allowed_is_served_and_everybody_else_is_reset() {
    let town = Town::start("allow", ALICE_ONLY);
    for ip in town.shop.ips() {
        assert_echo(&town.alice, (ip, ECHO), b"it is me, Alice");
        assert_reset(&town.bob, (ip, ECHO));
        assert_echo(&town.alice, (ip, ECHO), b"it is me again");
    }
}

/// The same authority has signed both.
#[test]
fn a_pod_of_another_trust_domain_is_reset() {
    let town = Town::start("domains", "");
    let abroad = PodSpec::new("abroad").trust_domain("abroad.example");
    let abroad = town.lab.pod(&town.two, abroad).unwrap();
    serve_all(&town.lab, &abroad).unwrap();
    town.lab.enrol(&abroad).unwrap();
    for ip in town.shop.ips() {
        let line = town.line_about("of another trust domain", || assert_reset(&abroad, (ip, ECHO)));
        assert!(line.contains(&abroad.identity()) && line.contains("peer_not_accepted"), "{line}");
    }
    assert_reset(&town.alice, (abroad.ip4(), ECHO));
    assert_echo(&town.alice, (town.shop.ip4(), ECHO), b"at home");
}

#[test]
fn plaintext_does_not_prove_anything() {
    let town = Town::start("plain", KNOWN);
    for ip in town.shop.ips() {
        assert_reset(&town.outsider, (ip, ECHO));
        assert_echo(&town.alice, (ip, ECHO), b"from the same namespace, with a certificate");
    }
}

#[test]
fn the_log_of_the_destination_says_who_was_refused_and_why() {
    let town = Town::start("log", ALICE_ONLY);
    let shop = (town.shop.ip4(), ECHO);
    let line = town.line_about("connection complete", || assert_reset(&town.bob, shop));
    for part in [
        "reason=\"denied\"",
        "allow policies exist, but none allowed",
        "spiffe://cluster.local/ns/default/sa/bob",
    ] {
        assert!(line.contains(part), "`{part}` is not in: {line}");
    }
    let line = town.line_about("connection complete", || assert_reset(&town.outsider, shop));
    assert!(
        line.contains("reason=\"denied\"") && !line.contains("spiffe://cluster.local/ns/default/sa/outsider"),
        "{line}"
    );
    // Who was let in was let in by name.
    let line = town.line_about("connection complete", || assert_echo(&town.alice, shop, b"hello"));
    assert!(line.contains("shop/alice-only"), "{line}");
}

#[test]
fn a_refusal_is_counted() {
    let town = Town::start("counted", ALICE_ONLY);
    town.line_about("connection complete", || assert_reset(&town.bob, (town.shop.ip4(), ECHO)));
    let count = |name: &str, labels: &[&str]| {
        counter(&town.two, &format!("istio_tcp_connections_{name}_total"), labels)
    };
    let denied = ["reporter=\"destination\"", "response_flags=\"DENY\""];
    assert_eq!(count("failed", &denied), 1);
    // What was opened and what was closed add up, or nobody can tell what is open.
    assert_eq!(count("closed", &denied), 1);
    assert_eq!(count("opened", &[]), 1);
}

#[test]
fn a_new_deny_policy_ends_open_connections_as_a_reset() {
    const PROMPT: Duration = Duration::from_secs(5);
    let town = Town::start("live", "");
    let shop = (town.shop.ip4(), ECHO);
    let mut tunnelled = town.alice.connect(shop, SOON).unwrap();
    let mut plain = town.outsider.connect(shop, SOON).unwrap();
    assert_alive(&mut tunnelled, b"welcome");
    assert_alive(&mut plain, b"welcome");
    let changed = Instant::now();
    let line = town.line_about("policy change", || {
        town.lab.set(Section::Policies, CLOSED).unwrap();
        assert_eq!(read_to_end(&mut tunnelled), Ending::Reset);
        assert_eq!(read_to_end(&mut plain), Ending::Reset);
    });
    assert!(changed.elapsed() < PROMPT, "{:?}", changed.elapsed());
    assert!(line.contains("shop/closed"), "{line}");
    assert_reset(&town.alice, shop);
    // And opens again.
    town.lab.set(Section::Policies, "").unwrap();
    assert_echo(&town.alice, shop, b"open again");
}

#[test]
fn a_policy_attached_to_a_live_workload_ends_what_it_denies_and_leaves_the_rest() {
    let town = Town::start("attached", NO_BOB);
    let shop = (town.shop.ip4(), ECHO);
    let connect = |from: &Pod| {
        let mut stream = from.connect(shop, SOON).unwrap();
        assert_alive(&mut stream, b"welcome");
        stream
    };
    let (mut alice, mut bob, mut plain) = (connect(&town.alice), connect(&town.bob), connect(&town.outsider));
    let line = town.line_about("policy change", || {
        town.attach_to_shop("shop/no-bob");
        assert_eq!(read_to_end(&mut bob), Ending::Reset);
    });
    assert!(line.contains("shop/no-bob") && line.contains("sa/bob"), "{line}");
    assert_reset(&town.bob, shop);
    assert_alive(&mut alice, b"still here");
    assert_alive(&mut plain, b"still here");
    assert_echo(&town.alice, shop, b"and welcome again");
    // Detached, it lets him in again.
    town.lab.set(Section::Policies, "").unwrap();
    assert_echo(&town.bob, shop, b"no hard feelings");
    assert_alive(&mut alice, b"still here");
}

#[test]
fn a_policy_ends_one_connection_of_a_tunnel_and_leaves_the_others() {
    let town = Town::start("stream", "");
    let other = town.lab.serve(&town.shop, 0, Behaviour::Echo).unwrap().port();
    let connect = |port| {
        let mut stream = town.alice.connect((town.shop.ip4(), port), SOON).unwrap();
        assert_alive(&mut stream, b"welcome");
        stream
    };
    let (mut one, mut twin, mut kept) = (connect(other), connect(other), connect(ECHO));
    let port = format!(
        "
    - name: port
      namespace: shop
      scope: Namespace
      action: Deny
      rules: [[[{{ destinationPorts: [{other}] }}]]]
    "
    );
    town.lab.set(Section::Policies, &port).unwrap();
    assert_eq!((read_to_end(&mut one), read_to_end(&mut twin)), (Ending::Reset, Ending::Reset));
    assert_alive(&mut kept, b"still here");
    assert_reset(&town.alice, (town.shop.ip4(), other));
    assert_alive(&mut kept, b"and still");
}

#[test]
fn the_port_of_the_tunnel_is_not_what_policies_see() {
    let tunnels = "
    - name: no-tunnels
      namespace: shop
      scope: Namespace
      action: Deny
      rules: [[[{ destinationPorts: [15008, 15006, 15001] }]]]
    ";
    let town = Town::start("tunnel-port", tunnels);
    let shop = (town.shop.ip4(), ECHO);
    assert_echo(&town.alice, shop, b"in a tunnel");
    assert_echo(&town.outsider, shop, b"captured");
}

#[test]
fn a_dry_run_ends_nothing_and_says_what_it_would_have_done() {
    let trial = "
    - name: trial
      namespace: shop
      scope: Namespace
      action: Deny
      dryRun: true
      rules: [[[{ principals: [!Exact cluster.local/ns/default/sa/bob] }]]]
    - name: idle
      namespace: shop
      scope: Namespace
      action: Allow
      dryRun: true
      rules: []
    ";
    let town = Town::start("dry-run", trial);
    let shop = (town.shop.ip4(), ECHO);
    let count = |labels: &[&str]| counter(&town.two, "culvert_policy_dry_run_total", labels);
    let allowed = "no allow policies, allow";
    let mut line = String::new();
    let bob =
        || line = town.line_about("dry-run: deny policy match", || assert_echo(&town.bob, shop, b"trial"));
    town.line_about(allowed, bob);
    assert!(line.contains("\tinfo\t") && line.contains("policy=shop/trial"), "{line}");
    let denied = ["policy=\"trial\"", "namespace=\"shop\"", "result=\"deny\""];
    let none = ["policy=\"*\"", "namespace=\"shop\"", "result=\"none_allowed\""];
    assert_eq!((count(&denied), count(&none)), (1, 1));
    town.line_about(allowed, || assert_echo(&town.alice, shop, b"not me"));
    assert_eq!((count(&denied), count(&none)), (1, 2));
    assert_eq!(count(&[]), 3);
}

#[test]
fn a_policy_that_is_referred_to_and_unknown_denies() {
    let town = Town::start("unknown", ALICE_ONLY);
    let garage = (town.garage.ip4(), ECHO);
    let line = town.line_about("connection complete", || assert_reset(&town.alice, garage));
    assert!(line.contains("garage/lost") && line.contains("unknown"), "{line}");
    let found = "
        - name: lost
          namespace: garage
          scope: WorkloadSelector
          action: Allow
          rules: [[[{ namespaces: [!Exact default] }]]]
        ";
    town.lab.set(Section::Policies, found).unwrap();
    assert_echo(&town.alice, garage, b"found");
}

#[test]
fn a_mesh_file_that_makes_no_sense_changes_nothing() {
    let town = Town::start("nonsense", ALICE_ONLY);
    let shop = (town.shop.ip4(), ECHO);
    for (nonsense, complaint) in [
        ("workloads: [ nonsense", "line=1"),
        ("", "empty"),
        ("workloads: []\nservices: []\npolicys: []\n", "`policys`"),
    ] {
        let line = town.complaint_about(|| fs::write(town.lab.mesh_file(), nonsense).unwrap());
        assert!(line.contains(complaint) && line.contains("mesh.yaml"), "{line}");
        assert_echo(&town.alice, shop, b"still allowed");
        assert_reset(&town.bob, shop);
    }
    let directory = town.lab.mesh_file().parent().unwrap().to_owned();
    let away = directory.with_extension("away");
    town.complaint_about(|| fs::rename(&directory, &away).unwrap());
    assert_echo(&town.alice, shop, b"still allowed");
    fs::rename(&away, &directory).unwrap();
    town.lab.set(Section::Policies, CLOSED).unwrap();
    assert_reset(&town.alice, shop);
}
