//! Objects of the API server, as its users write them: whatever comes in whatever order, what nodes are told holds together.
//!
//! Each line is a step. A letter says of which kind the object is whose JSON follows; `-` before it takes the object away, `!` makes
//! it one that cannot be read. A line that is none of these settles. Nothing panics; a policy that a workload refers to is there; a
//! policy that was written is in force or denies; only differences are told; and what is told in the end is what would be told of the
//! same objects if they had come all at once, the other way round.

use std::collections::BTreeMap;
use std::sync::Arc;

use culvert_derive::policy::{AuthorizationPolicy, Reach};
use culvert_derive::{Change, Cluster, Collection, Key, Kind, Labels, Object, Settings};
use serde_json::Value;

use crate::memory::Bound;

/// More objects than this say nothing new.
const MOST_STEPS: usize = 64;

/// The bytes are lines.
pub fn run(data: &[u8]) {
    let bound = Bound::new((4 << 20) + 4_000 * data.len());
    let mut mesh = Mesh::new();
    for line in data.split(|byte| *byte == b'\n').take(MOST_STEPS) {
        mesh.step(line);
        bound.check();
    }
    mesh.settle();
    mesh.check_policies();
    let mut at_once = Mesh::new();
    mesh.objects.values().rev().for_each(|written| at_once.apply(written));
    at_once.settle();
    assert_eq!(at_once.known, mesh.known, "the order in which objects came makes a difference");
}

/// A cluster, what is in it, and what nodes know of it.
struct Mesh {
    cluster: Cluster,
    objects: BTreeMap<Key, Written>,
    known: BTreeMap<(Collection, Arc<str>), Change>,
}

/// An object as it came last.
#[derive(Clone)]
enum Written {
    Readable(Key, Vec<u8>),
    Unreadable(Key),
}

impl Mesh {
    fn new() -> Self {
        Self { cluster: Cluster::new(Settings::default()), objects: BTreeMap::new(), known: BTreeMap::new() }
    }

    fn step(&mut self, line: &[u8]) {
        let (how, rest) = match line {
            [how @ (b'-' | b'!'), rest @ ..] => (*how, rest),
            rest => (b'+', rest),
        };
        let read = match rest {
            [letter, json @ ..] => kind(*letter).map(|kind| (json, Object::parse(kind, json))),
            [] => None,
        };
        let Some((json, read)) = read else { return self.settle() };
        let Ok(object) = read else { return };
        let key = object.key().clone();
        if !is_possible(&key) {
            return;
        }
        match how {
            b'-' => {
                self.objects.remove(&key);
                self.cluster.remove(&key);
            }
            how => {
                let written = match how {
                    b'!' => Written::Unreadable(key.clone()),
                    _ => Written::Readable(key.clone(), json.to_vec()),
                };
                self.apply(&written);
                self.objects.insert(key, written);
            }
        }
    }

    fn apply(&mut self, written: &Written) {
        match written {
            Written::Readable(key, json) => {
                self.cluster.put(Object::parse(key.kind, json).expect("it was read before"));
            }
            Written::Unreadable(key) => self.cluster.unreadable(key, "it is not what it should be"),
        }
    }

    /// Nodes learn what is different.
    fn settle(&mut self) {
        for change in self.cluster.settle().changes {
            let name = name(&change);
            if let Change::Gone(..) = change {
                assert!(self.known.remove(&name).is_some(), "{name:?} was never there");
            } else {
                assert_ne!(self.known.get(&name), Some(&change), "told again");
                self.known.insert(name, change);
            }
        }
        assert!(self.cluster.settle().changes.is_empty(), "nothing has happened");
        self.check_references();
    }

    /// What a workload refers to has been told.
    fn check_references(&self) {
        for change in self.known.values() {
            let Change::Workload(workload) = change else { continue };
            for key in &workload.template.authorization_policies {
                assert!(
                    self.known.contains_key(&(Collection::Policies, key.clone())),
                    "{} refers to the policy {key}, and nobody has it",
                    workload.uid
                );
            }
        }
    }

    /// What was written to decide who gets in does, or closes, for all that it selects.
    fn check_policies(&self) {
        for (key, written) in self.objects.iter().filter(|(key, _)| key.kind == Kind::AuthorizationPolicy) {
            let name: Arc<str> = format!("{}/{}", key.namespace, key.name).into();
            let told = match self.known.get(&(Collection::Policies, name.clone())) {
                Some(Change::Policy(policy)) => Some(policy),
                None => None,
                Some(other) => panic!("{other:?} is no policy"),
            };
            let closes = told.is_some_and(|policy| policy.unusable.is_some());
            let Written::Readable(_, json) = written else {
                assert!(closes, "{key} does not close");
                continue;
            };
            let value: Value = serde_json::from_slice(json).expect("it was read before");
            let policy = AuthorizationPolicy::read(&value);
            assert_eq!(told.is_some(), is_for_nodes(&value, &policy), "{key}");
            assert_eq!(closes, told.is_some() && !policy.problems().is_empty(), "{key}");
            if told.is_some() {
                self.check_selected(&policy, &name);
            }
        }
    }

    /// The pods that a policy selects refer to it.
    fn check_selected(&self, policy: &AuthorizationPolicy, name: &Arc<str>) {
        let settings = Settings::default();
        if !matches!(policy.reach(&settings), Reach::Selected { .. }) {
            return;
        }
        for (key, written) in self.objects.iter().filter(|(key, _)| key.kind == Kind::Pod) {
            let uid = format!("{}//Pod/{}/{}", settings.cluster, key.namespace, key.name).into();
            let workload = self.known.get(&(Collection::Workloads, uid));
            let (Some(Change::Workload(workload)), Written::Readable(_, json)) = (workload, written) else {
                continue;
            };
            // What is skipped in a pod may be no JSON.
            let Ok(pod) = serde_json::from_slice::<Value>(json) else { continue };
            let labels = pod["metadata"]["labels"].as_object().into_iter().flatten();
            let labels: Labels =
                labels.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))).collect();
            let refers = workload.template.authorization_policies.contains(name);
            assert_eq!(refers, policy.governs(&settings, &key.namespace, &labels), "{key} and {name}");
        }
    }
}

/// Tells whether nodes have to know a policy. What is attached to a waypoint is not theirs, unless it does not say to what.
fn is_for_nodes(object: &Value, policy: &AuthorizationPolicy) -> bool {
    let spec = &object["spec"];
    let is_attached = !(spec["targetRef"].is_null() && spec["targetRefs"].is_null());
    let decides = spec["action"] != "AUDIT";
    if is_attached { policy.policy(&Settings::default()).is_some() } else { decides }
}

/// The API server has seen to it that an object is in a namespace, or in none, and that no name has a slash.
fn is_possible(key: &Key) -> bool {
    let is_of_cluster = matches!(key.kind, Kind::Namespace | Kind::Node | Kind::GatewayClass);
    key.namespace.is_empty() == is_of_cluster && !key.namespace.contains('/') && !key.name.contains('/')
}

fn kind(letter: u8) -> Option<Kind> {
    Kind::ALL.get(usize::from(letter.wrapping_sub(b'a'))).copied()
}

fn name(change: &Change) -> (Collection, Arc<str>) {
    match change {
        Change::Workload(workload) => (Collection::Workloads, workload.uid.clone()),
        Change::Service(service) => (Collection::Services, service.key()),
        Change::Policy(policy) => (Collection::Policies, policy.key.clone()),
        Change::Gone(collection, name) => (*collection, name.clone()),
    }
}
