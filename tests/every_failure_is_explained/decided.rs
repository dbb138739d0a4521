//! What is decided by what the mesh was told: policies, services, waypoints and names; and what clients ask for.

use std::io::Write as _;
use std::net::SocketAddr;

use culvert_lab::{Behaviour, Pod, PodSpec, Section, Service, ServiceSpec};

use super::score::{Case, Score, Which, call, case, fail, open};
use super::starting;
use crate::harness::cluster::{Cluster, ECHO, serve_all};
use crate::harness::nameserver;
use crate::harness::socks::{PLACES, SOCKS};
use crate::harness::talk::{Ending, assert_alive, read_to_end};

/// Each for the pods of a namespace of its own.
const POLICIES: &str = "
    - {name: no-client, namespace: denied, scope: Namespace, action: Deny,
       rules: [[[{principals: [!Exact cluster.local/ns/default/sa/client]}]]]}
    - {name: alice-only, namespace: strict, scope: Namespace, action: Allow,
       rules: [[[{principals: [!Exact cluster.local/ns/default/sa/alice]}]]]}
    - {name: trial, namespace: dry, scope: Namespace, action: Deny, rules: [[]], dryRun: true}
    ";

/// What comes later.
const CLOSED: &str = "
    - {name: closed, namespace: changing, scope: Namespace, action: Deny, rules: [[]]}
    ";

/// A service whose only endpoint has a name that nobody knows, and one without an address of its own.
const NAMED: &str = "
    - {name: named, namespace: default, hostname: named.test, vips: [/240.240.1.1], ports: {80: 7007}, endpoints: {named: {}}}
    - {name: headless, namespace: default, hostname: headless.test, vips: [], ports: {7007: 7007},
       endpoints: {Kubernetes//Pod/default/server: {}}}
    ";
const NOBODY: &str =
    "- {uid: named, name: named, namespace: default, workloadIps: [], hostname: nobody.example}";

pub(super) struct Stage {
    pub(super) cluster: Cluster,
    denied: Pod,
    strict: Pod,
    dry: Pod,
    lost: Pod,
    changing: Pod,
    empty: Service,
    unready: Service,
    unknown: Service,
    undone: Service,
    /// Behind a waypoint that does not listen.
    pub(super) deaf: Service,
    /// One of its endpoints does not listen.
    pub(super) shaky: Service,
}

impl Stage {
    pub(super) fn start(name: &str) -> Self {
        let cluster = Cluster::without_mesh(name).unwrap();
        let lab = &cluster.lab;
        let pod = |spec: PodSpec| {
            let pod = lab.pod(&cluster.two, spec).unwrap();
            lab.serve(&pod, ECHO, Behaviour::Echo).unwrap();
            pod
        };
        let own = |name: &str| PodSpec::new(name).namespace(name);
        let [denied, strict, dry, changing] =
            ["denied", "strict", "dry", "changing"].map(|name| pod(own(name)));
        let lost = pod(own("lost").mesh_keys("authorizationPolicies: [lost/nowhere]"));
        let ill = pod(PodSpec::new("ill").mesh_keys("status: Unhealthy"));
        let deaf = pod(PodSpec::new("deaf").takes_tunnels());
        let service = |name: &str, keys: &str, pods: &[&Pod]| {
            lab.service(ServiceSpec::new(name).port(80, ECHO).mesh_keys(keys), pods).unwrap()
        };
        let behind = |name: &str| format!("waypoint: {{destination: default/{name}}}");
        let gateway =
            |name: &str, pods: &[&Pod]| lab.service(ServiceSpec::new(name).port(15008, 15008), pods).unwrap();
        let (no_gate, gate) = (gateway("no-gate", &[]), gateway("gate", &[&deaf]));
        let stage = Self {
            empty: service("empty", "", &[]),
            unready: service("unready", "", &[&ill]),
            unknown: service("unknown", &behind("nobody.example.com"), &[&cluster.server]),
            undone: service("undone", &behind(&no_gate.hostname()), &[&cluster.server]),
            shaky: service("shaky", "", &[&cluster.server, &deaf]),
            deaf: service("unheard", &behind(&gate.hostname()), &[&cluster.server]),
            denied,
            strict,
            dry,
            lost,
            changing,
            cluster,
        };
        stage.tell();
        stage
    }

    /// Starts everything, with a nameserver that knows nothing.
    fn tell(&self) {
        let Cluster { lab, one, client, server, outsider, .. } = &self.cluster;
        let names = lab.pod(one, PodSpec::new("nameserver")).unwrap();
        let known = "--host-record=known.example,192.0.2.1".to_owned();
        nameserver::start(lab, &names, [known]).unwrap();
        lab.set(Section::Policies, POLICIES).unwrap();
        lab.set(Section::Workloads, NOBODY).unwrap();
        lab.set(Section::Services, NAMED).unwrap();
        serve_all(lab, outsider).err();
        let Self { denied, strict, dry, lost, changing, .. } = self;
        self.cluster.start_programs(&[("UNSTABLE_ENABLE_SOCKS5", "true")]).unwrap();
        lab.enrol_all(&[client, server, denied, strict, dry, lost, changing]).unwrap();
        nameserver::dig(client, names.ip4().into(), "known.example +short").unwrap();
    }

    fn refused(&self, to: impl Into<SocketAddr>) -> Which {
        Which::From(fail(&self.cluster.client, to))
    }

    /// A pod's live connection, and the policy that ends it.
    fn shut(&self) -> SocketAddr {
        let (own, mut stream) = open(&self.cluster.client, (self.changing.ip4(), ECHO));
        assert_alive(&mut stream, b"welcome");
        self.cluster.lab.set(Section::Policies, &format!("{POLICIES}{CLOSED}")).unwrap();
        assert_eq!(read_to_end(&mut stream), Ending::Reset);
        own
    }
}

pub(super) fn judge(score: &Score) {
    let stage = &starting(|| Stage::start("faults-decided"));
    let Cluster { one, two, client, .. } = &stage.cluster;
    let mut cases = stage.refused_here();
    for (name, expected, pod) in [
        ("a policy denies", "policy", &stage.denied),
        ("no policy allows", "policy", &stage.strict),
        ("a policy that is referred to is not there", "staleConfig", &stage.lost),
    ] {
        cases.push(case(name, expected, move |fault| {
            fault.ended_at_both([(one, client), (two, pod)], fail(client, (pod.ip4(), ECHO)));
        }));
    }
    cases.push(case("a policy is changed under a live connection", "policy", move |fault| {
        fault.ended_at_both([(one, client), (two, &stage.changing)], stage.shut());
    }));
    cases.push(case("a policy that is only tried out denies", "nobody", move |fault| {
        let (own, ending) = call(client, (stage.dry.ip4(), ECHO));
        assert_eq!(ending, Ending::Complete(b"let me in".to_vec()));
        let which = Which::From(own);
        let why = fault.ended(one, client, &which);
        assert!(why["steps"].to_string().contains("dry/trial"), "{why}");
    }));
    cases.push(case("nonsense where SOCKS is spoken", "client", move |fault| {
        let mut stream = client.connect((PLACES[0], SOCKS), super::score::PATIENCE).unwrap();
        let own = stream.local_addr().unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        read_to_end(&mut stream);
        fault.ended(one, client, &Which::From(own));
    }));
    score.run(&cases);
}

impl Stage {
    /// What the client's node refuses by itself, or finds nobody for.
    fn refused_here(&self) -> Vec<Case<'_>> {
        let Cluster { one, client, server, .. } = &self.cluster;
        let at = |service: &Service, port: u16| SocketAddr::from((service.ip4(), port));
        let mut cases: Vec<Case<'_>> = Vec::new();
        for (name, expected, to) in [
            ("a service without endpoints", "server", at(&self.empty, 80)),
            ("a service none of whose endpoints is ready", "server", at(&self.unready, 80)),
            ("a port the service does not have", "config", at(&self.empty, 81)),
            ("a waypoint nobody knows", "config", at(&self.unknown, 80)),
            ("a waypoint without pods", "waypoint", at(&self.undone, 80)),
            ("a waypoint that does not listen", "waypoint", at(&self.deaf, 80)),
            ("an endpoint with a name nobody knows", "dns", ([240, 240, 1, 1], 80).into()),
            ("a call to the tunnel's port", "client", (server.ip4(), 15008).into()),
            ("a call to a port of the own proxy", "client", (client.ip4(), 15001).into()),
        ] {
            cases.push(case(name, expected, move |fault| {
                fault.ended(one, client, &self.refused(to));
            }));
        }
        cases
    }
}
