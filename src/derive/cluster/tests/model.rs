//! Random objects in random order: what nodes have been told of comes to the same as starting anew.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::{Change, Mesh, key, object, patch, yaml};
use crate::{Key, Kind};

/// What objects may say, by kind; each line is one object.
const SAYINGS: [(Kind, &str); 5] = [
    (
        Kind::Namespace,
        "{}
{metadata: {labels: {topology.istio.io/network: west}}}
{metadata: {annotations: {networking.istio.io/traffic-distribution: PreferClose}}}",
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
{metadata: {labels: {app: a}}}",
    ),
    (
        Kind::Service,
        "{spec: {selector: {app: a}, clusterIP: 10.1.0.1, ports: [{port: 80, targetPort: http}, {port: 81, targetPort: 82}]}}
{spec: {selector: {app: a}, ports: [{port: 80, targetPort: 8080}]}}
{spec: {selector: {app: a, tier: b}, ports: [{name: http, port: 80, targetPort: http}]}}
{spec: {selector: {app: b}}}
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
            "name": &*key.name, "namespace": &*key.namespace, "uid": self.one(&["u", "v"]),
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
        let seen = &self.mesh;
        assert_eq!(seen.known, anew.known, "seed {seed}: {:#?} {:?}", self.objects, self.unreadable);
        for (key, said) in seen.said.iter().filter(|(key, _)| self.objects.contains_key(*key)) {
            let said = Some(said).filter(|(_, conditions)| !conditions.is_empty());
            assert_eq!(said, anew.said.get(key), "seed {seed}: {key} {:#?}", self.objects);
        }
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
