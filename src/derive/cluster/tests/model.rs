//! Random objects in random order: what nodes have been told of comes to the same as starting anew.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::{Change, Mesh, key, object, patch, yaml};
use crate::{Key, Kind};

/// What objects may say, by kind; each line is one object.
const SAYINGS: [(Kind, &str); 11] = [
    (
        Kind::Namespace,
        "{}
{metadata: {labels: {topology.istio.io/network: west}}}
{metadata: {annotations: {networking.istio.io/traffic-distribution: PreferClose}}}
{metadata: {labels: {istio.io/use-waypoint: p, istio.io/ingress-use-waypoint: 'true'}}}
{metadata: {labels: {istio.io/use-waypoint: q, istio.io/use-waypoint-namespace: a, team: blue}}}
{metadata: {labels: {team: blue, topology.istio.io/network: east}}}",
    ),
    (
        Kind::Node,
        "{}
{metadata: {labels: {topology.kubernetes.io/region: r, topology.kubernetes.io/zone: z}}}",
    ),
    (
        Kind::Pod,
        "{status: {podIP: 10.0.0.1, conditions: [{type: Ready, status: 'True'}]}, spec: {nodeName: p}}
{metadata: {labels: {app: a}}, status: {podIP: 10.0.0.2, conditions: [{type: Ready, status: 'True'}]}, spec: {nodeName: p}}
{metadata: {labels: {app: a, tier: b}}, status: {podIP: 10.0.0.2}, spec: {nodeName: q, containers: [{ports: [{name: http, containerPort: 1}]}]}}
{metadata: {labels: {app: a}, deletionTimestamp: 2026-01-01T00:00:00Z}, status: {podIP: 10.0.0.3, conditions: [{type: Ready, status: 'True'}]}}
{metadata: {labels: {app: b}, deletionTimestamp: 2026-01-01T00:00:00Z}, status: {podIP: 10.0.0.3, conditions: [{type: Ready, status: 'True'}]}}
{metadata: {labels: {app: b}, annotations: {ambient.istio.io/redirection: enabled}}, status: {podIP: 10.0.0.4, conditions: [{type: Ready, status: 'True'}]}}
{metadata: {labels: {app: a}}, status: {podIP: 10.0.0.4, phase: Succeeded}}
{metadata: {labels: {app: b, tier: b, istio.io/use-waypoint: q}}, status: {podIP: 10.0.0.5, conditions: [{type: Ready, status: 'True'}]}}
{metadata: {labels: {gateway.networking.k8s.io/gateway-name: p}}, status: {podIP: 10.0.0.6, conditions: [{type: Ready, status: 'True'}]}}
{metadata: {labels: {app: a}}}",
    ),
    (
        Kind::Service,
        "{spec: {selector: {app: a}, clusterIP: 10.1.0.1, ports: [{port: 80, targetPort: http}, {port: 81, targetPort: 82}]}}
{spec: {selector: {app: a}, ports: [{port: 80, targetPort: 8080}]}}
{spec: {selector: {app: a, tier: b}, ports: [{name: http, port: 80, targetPort: http}]}}
{spec: {selector: {app: b}}}
{metadata: {labels: {istio.io/use-waypoint: p}}, spec: {selector: {app: b}}}
{metadata: {labels: {istio.io/use-waypoint: none, gateway.networking.k8s.io/gateway-name: q}}, spec: {selector: {tier: b}}}
{spec: {ports: [{name: http, port: 80}], trafficDistribution: PreferSameNode}}
{spec: {ports: [{name: http, port: 80}, {name: other, port: 82}]}}
{spec: {type: ExternalName, selector: {app: a}}}",
    ),
    (
        Kind::EndpointSlice,
        "{metadata: {labels: {kubernetes.io/service-name: p}}, ports: [{name: http, port: 1}], endpoints: [{addresses: [10.0.0.1], targetRef: {kind: Pod, name: p, uid: u}}]}
{metadata: {labels: {kubernetes.io/service-name: p}}, ports: [{name: http, port: 2}], endpoints: [{addresses: [10.0.0.1], targetRef: {kind: Pod, name: p}}, {addresses: [10.0.0.7]}]}
{metadata: {labels: {kubernetes.io/service-name: q}}, ports: [{name: http, port: 3}], endpoints: [{addresses: [10.0.0.1], targetRef: {kind: Pod, name: q}}, {addresses: [10.0.0.8]}]}
{metadata: {labels: {kubernetes.io/service-name: q}}, ports: [{name: http, port: 3}], endpoints: [{addresses: [10.0.0.8], conditions: {ready: false}}]}
{metadata: {labels: {}}}",
    ),
    (
        Kind::ServiceEntry,
        "{spec: {hosts: [one.test, two.test], resolution: STATIC, ports: [{number: 80, name: http, targetPort: 8080}], endpoints: [{address: 1.1.1.1}, {address: 2.2.2.2, network: east}]}}
{spec: {hosts: [two.test, p.a.svc.cluster.local], addresses: [9.9.9.9], resolution: DNS, ports: [{number: 80, name: http}]}}
{spec: {hosts: [p.a.svc.cluster.local, q.b.svc.cluster.local], resolution: STATIC, ports: [{number: 80, name: http}], workloadSelector: {labels: {app: a}}}}
{spec: {hosts: [one.test], exportTo: ['.'], resolution: STATIC, ports: [{number: 81, name: http}], workloadSelector: {labels: {tier: b}}}, status: {addresses: [{value: 240.240.0.1}]}}
{spec: {hosts: [p.test], addresses: [240.240.0.1, 9.9.9.8], resolution: DNS, ports: [{number: 80, name: http}]}}
{spec: {hosts: [q.test], exportTo: ['.'], addresses: [240.240.0.1], resolution: STATIC, ports: [{number: 80, name: http}]}}
{spec: {hosts: [p.test], exportTo: ['~'], addresses: [240.240.0.1], resolution: DNS}}
{spec: {hosts: [one.test], exportTo: ['~'], resolution: STATIC, workloadSelector: {labels: {app: a}}}}
{metadata: {labels: {app: a, istio.io/use-waypoint: p}}, spec: {hosts: [one.test, '*.two.test'], resolution: NONE, endpoints: 7, ports: [{number: 80, name: http}]}}
{spec: 7}",
    ),
    (
        Kind::WorkloadEntry,
        "{spec: {address: 3.3.3.3, labels: {app: a}, ports: {http: 1}, network: east}}
{spec: {address: 3.3.3.4, labels: {tier: b}, serviceAccount: me}}
{metadata: {labels: {app: b, tier: b, istio.io/use-waypoint: q}}, spec: {address: vm.test}}
{spec: {}}",
    ),
    (
        Kind::Gateway,
        "{spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}, status: {addresses: [{value: 10.2.0.1}]}}
{spec: {gatewayClassName: p, listeners: [{name: mesh, port: 15008, protocol: HBONE, allowedRoutes: {namespaces: {from: All}}}]}, status: {addresses: [{type: Hostname, value: gw.test}]}}
{metadata: {labels: {istio.io/waypoint-for: all}}, spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE, allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: blue}}}}}]}, status: {addresses: [{value: 10.2.0.1}]}}
{spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}}
{metadata: {labels: {topology.istio.io/network: east}}, spec: {gatewayClassName: istio-remote, addresses: [{value: 10.3.0.1}], listeners: [{name: net, port: 15008, protocol: HBONE}]}}
{metadata: {labels: {topology.istio.io/network: west}}, spec: {gatewayClassName: q, addresses: [{value: 10.3.0.2}], listeners: [{name: net, port: 15008, protocol: HBONE}]}}
{metadata: {labels: {istio.io/waypoint-for: nonsense}}, spec: []}",
    ),
    (
        Kind::GatewayClass,
        "{spec: {controllerName: istio.io/mesh-controller}}
{metadata: {labels: {istio.io/waypoint-for: all}}, spec: {controllerName: istio.io/mesh-controller}}
{metadata: {annotations: {ambient.istio.io/waypoint-inbound-binding: PROXY/15088}}, spec: {controllerName: x}}
{spec: {controllerName: istio.io/unmanaged-gateway}}",
    ),
    (
        Kind::AuthorizationPolicy,
        "{}
{spec: {action: DENY, rules: [{}]}}
{spec: {selector: {matchLabels: {app: a}}, rules: [{from: [{source: {namespaces: [a]}}]}]}}
{spec: {selector: {matchLabels: {app: b, tier: b}}, action: DENY, rules: [{to: [{operation: {ports: ['80']}}]}]}}
{spec: {selector: {matchLabels: {tier: b}}, rules: [{to: [{operation: {methods: [GET]}}]}]}}
{spec: {selector: {matchLabels: {app: a}}, action: AUDIT, rules: [{}]}}
{spec: {selector: {matchLabels: 7}}}
{spec: {targetRefs: [{kind: Gateway, name: p}]}}",
    ),
    (
        Kind::PeerAuthentication,
        "{spec: {mtls: {mode: STRICT}}}
{spec: {mtls: {mode: PERMISSIVE}}}
{spec: {}}
{spec: {selector: {matchLabels: {app: a}}, mtls: {mode: STRICT}}}
{spec: {selector: {matchLabels: {app: a}}, mtls: {mode: STRICT}, portLevelMtls: {'80': {mode: PERMISSIVE}}}}
{spec: {selector: {matchLabels: {tier: b}}, portLevelMtls: {'80': {mode: DISABLE}}}}
{spec: {selector: {matchLabels: {app: b}}, mtls: {mode: PERMISSIVE}, portLevelMtls: {'80': {mode: STRICT}}}}
{spec: {selector: 7}}",
    ),
];
const NAMESPACES: [&str; 3] = ["root", "a", "b"];
const NAMES: [&str; 3] = ["p", "q", "r"];

struct Dice(SmallRng);

impl Dice {
    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        *of.choose(&mut self.0).unwrap()
    }

    fn key(&mut self, kind: Kind) -> Key {
        if kind == Kind::Namespace {
            return key(kind, "", self.one(&NAMESPACES));
        }
        let in_none = matches!(kind, Kind::Node | Kind::GatewayClass);
        let namespace = if in_none { "" } else { self.one(&NAMESPACES) };
        key(kind, namespace, self.one(&NAMES))
    }

    fn object(&mut self, kind: Kind, sayings: &[Value]) -> (Key, Value) {
        let key = self.key(kind);
        let created = format!("2026-01-0{}T00:00:00Z", self.0.random_range(1..4));
        let mut value = json!({"kind": kind.names().1, "metadata": {
            "name": &*key.name, "namespace": &*key.namespace, "uid": if kind == Kind::Pod { self.one(&["u", "v"]) } else { "u" },
            "creationTimestamp": created, "generation": self.0.random_range(1..3)}});
        patch(&mut value, sayings.choose(&mut self.0).unwrap());
        (key, value)
    }
}

/// A cluster whose objects change, and those objects.
struct Changing {
    mesh: Mesh,
    objects: BTreeMap<Key, Value>,
    unreadable: BTreeSet<Key>,
    dice: Dice,
    sayings: Vec<(Kind, Vec<Value>)>,
}

impl Changing {
    fn step(&mut self) {
        let (kind, sayings) = self.sayings.choose(&mut self.dice.0).unwrap();
        match self.dice.0.random_range(0..20) {
            0..12 => {
                let (key, value) = self.dice.object(*kind, sayings);
                self.mesh.cluster.put(object(&value));
                self.unreadable.remove(&key);
                self.objects.insert(key, value);
            }
            12..17 => {
                let key = self.dice.key(*kind);
                self.mesh.cluster.remove(&key);
                self.unreadable.remove(&key);
                self.objects.remove(&key);
            }
            17..19 => {
                let key = self.dice.key(*kind);
                self.mesh.cluster.unreadable(&key, "broken");
                self.objects.remove(&key);
                self.unreadable.insert(key);
            }
            _ => {
                let count = self.dice.0.random_range(0..5);
                let list: BTreeMap<Key, Value> =
                    (0..count).map(|_| self.dice.object(*kind, sayings)).collect();
                self.mesh.cluster.replace(*kind, list.values().map(object).collect());
                self.objects.retain(|key, _| key.kind != *kind);
                self.unreadable.retain(|key| key.kind != *kind);
                self.objects.extend(list);
            }
        }
    }

    /// The same objects, told to somebody new in another order.
    fn anew(&mut self) -> Mesh {
        let mut mesh = Mesh::new();
        let mut keys: Vec<&Key> = self.objects.keys().chain(&self.unreadable).collect();
        keys.shuffle(&mut self.dice.0);
        for key in keys {
            match self.objects.get(key) {
                Some(value) => mesh.cluster.put(object(value)),
                None => mesh.cluster.unreadable(key, "broken"),
            }
        }
        mesh.settle();
        mesh
    }

    fn check(&mut self, seed: u64) {
        self.mesh.settle();
        let anew = self.anew();
        let counts = |key: &Key| matches!(key.kind, Kind::AuthorizationPolicy | Kind::PeerAuthentication);
        let is_there =
            |key: &Key| self.objects.contains_key(key) || self.unreadable.contains(key) && counts(key);
        self.mesh.said.retain(|key, _| is_there(key));
        let seen = &self.mesh;
        assert_eq!(seen.known, anew.known, "seed {seed}: {:#?} {:?}", self.objects, self.unreadable);
        for (key, said) in &seen.said {
            let said = Some(said).filter(|(_, conditions)| !conditions.is_empty());
            assert_eq!(said, anew.said.get(key), "seed {seed}: {key} {:#?}", self.objects);
        }
        assert_eq!(seen.cluster.allotments(), anew.cluster.allotments(), "seed {seed}: {:#?}", self.objects);
        for change in seen.known.values() {
            let Change::Workload(workload) = change else { continue };
            for policy in &workload.authorization_policies {
                let known = seen.known.keys().any(|(_, name)| name == policy);
                assert!(known, "seed {seed}: {} refers to {policy}, which is not there", workload.uid);
            }
        }
    }
}

#[test]
fn nodes_know_what_follows_from_the_objects_whatever_came_when() {
    let sayings: Vec<(Kind, Vec<Value>)> =
        SAYINGS.iter().map(|(kind, lines)| (*kind, lines.lines().map(yaml).collect())).collect();
    for seed in 0..60 {
        let mut changing = Changing {
            mesh: Mesh::new(),
            objects: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            dice: Dice(SmallRng::seed_from_u64(seed)),
            sayings: sayings.clone(),
        };
        for _ in 0..40 {
            (0..changing.dice.0.random_range(1..8)).for_each(|_| changing.step());
            changing.check(seed);
        }
    }
}
