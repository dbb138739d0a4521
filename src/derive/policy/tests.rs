//! A cluster of objects, and who gets in, judged as nodes do: by the policies that are published and the keys workloads refer to.

use std::sync::Arc;

use culvert_core::identity::SpiffeId;
use culvert_core::intern::Interner;
use culvert_core::mesh_file::Mesh;
use culvert_core::policy::{Peer, Policy, judge};
use culvert_core::snapshot::Snapshot;
use culvert_core::workload::{Template, Workload};
use serde_json::{Value, json};

use super::*;
use crate::{Labels, Settings};

/// The objects of a cluster whose root namespace is `root`.
pub(super) struct Cluster {
    pub(super) settings: Settings,
    pub(super) authorization: Vec<AuthorizationPolicy>,
    pub(super) authentication: Vec<PeerAuthentication>,
}

/// What policies see of a pod.
#[derive(Debug, Clone)]
pub(super) struct Pod {
    pub(super) namespace: String,
    pub(super) labels: Labels,
}

/// Makes an object of `kind`, `<namespace>/<name>`.
pub(super) fn object(kind: &str, key: &str, spec: &Value) -> Value {
    let (namespace, name) = key.split_once('/').unwrap();
    let metadata = json!({ "name": name, "namespace": namespace, "creationTimestamp": "2026-01-01T00:00:00Z", "uid": key });
    json!({ "apiVersion": "security.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec })
}

/// Reads what is written in JSON.
pub(super) fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The pod most tests ask about: in the namespace `here`, labelled `app=web`.
pub(super) fn web() -> Pod {
    pod("here", &[("app", "web")])
}

pub(super) fn pod(namespace: &str, labels: &[(&str, &str)]) -> Pod {
    Pod { namespace: namespace.to_owned(), labels: labels.iter().copied().collect() }
}

/// Reads `<who>[ from=<address>][ to=<address>:<port>]`; who is `-` without identity, `<namespace>/<account>`, or
/// `<trust domain>/<namespace>/<account>`.
pub(super) fn peer(text: &str) -> Peer {
    let mut words = text.split(' ');
    let parts: Vec<&str> = words.next().unwrap().split('/').collect();
    let identity = match parts[..] {
        [namespace, account] => Some(SpiffeId::new("cluster.local", namespace, account).unwrap()),
        [domain, namespace, account] => Some(SpiffeId::new(domain, namespace, account).unwrap()),
        _ => None,
    };
    let (mut source, mut destination) = ("10.0.0.1:40000".parse().unwrap(), "10.0.0.9:80".parse().unwrap());
    for word in words {
        match word.split_once('=').unwrap() {
            ("from", ip) => source = (ip.parse::<std::net::IpAddr>().unwrap(), 40000).into(),
            ("to", to) => destination = to.parse().unwrap(),
            _ => panic!("{text}"),
        }
    }
    Peer { identity, source, destination }
}

impl Cluster {
    pub(super) fn of(objects: &[Value]) -> Self {
        let of_kind = |kind: &'static str| objects.iter().filter(move |it| it["kind"] == kind);
        Self {
            settings: Settings { root_namespace: "root".into(), ..Settings::default() },
            authorization: of_kind("AuthorizationPolicy").map(AuthorizationPolicy::read).collect(),
            authentication: of_kind("PeerAuthentication").map(PeerAuthentication::read).collect(),
        }
    }

    /// Tells whether a node would let `peer` in to `pod`.
    #[track_caller]
    pub(super) fn lets_in(&self, pod: &Pod, peer: &Peer) -> bool {
        let (policies, keys) = (self.published(), self.keys(pod));
        for key in &keys {
            assert!(policies.iter().any(|it| it.key == *key), "{key} is referred to and not published");
        }
        let received = policies.iter().map(on_the_wire).collect();
        let verdicts = [policies, received].map(|policies| judged(policies, &keys, pod, peer));
        assert_eq!(verdicts[0], verdicts[1], "what is derived and what nodes receive differ");
        verdicts[0]
    }

    /// Gives the levels that count for what is governed by all these.
    fn levels(&self, namespace: &str, labels: &Labels) -> Levels<'_> {
        let all = self.authentication.iter();
        let governing: Vec<_> = all.filter(|it| it.governs(&self.settings, namespace, labels)).collect();
        Levels::of(&self.settings, &governing)
    }

    /// Gives what nodes are sent, made object by object.
    fn published(&self) -> Vec<Policy> {
        let settings = &self.settings;
        let mut policies: Vec<_> = self.authorization.iter().filter_map(|it| it.policy(settings)).collect();
        let of_workloads = self.authentication.iter().filter(|it| it.level(settings) == Level::Workload);
        policies.extend(of_workloads.filter_map(|it| {
            // What governs a workload of this namespace without labels is what is not about workloads.
            let above = self.levels(it.namespace(), &Labels::default());
            Levels { workload: Some(it), ..above }.policy(settings)
        }));
        policies.extend((!self.authentication.is_empty()).then(|| strict(settings)));
        policies
    }

    fn keys(&self, pod: &Pod) -> Vec<Arc<str>> {
        let selecting = self.authorization.iter().filter(|it| {
            let reach = it.reach(&self.settings);
            let published = it.policy(&self.settings).is_some();
            published && matches!(reach, Reach::Selected { .. }) && reach.governs(&pod.namespace, &pod.labels)
        });
        let level = self.levels(&pod.namespace, &pod.labels).key(&self.settings);
        selecting.map(|it| it.key().clone()).chain(level).collect()
    }
}

/// Gives what a node makes of a policy it is sent; all of them have to be understood.
#[track_caller]
fn on_the_wire(policy: &Policy) -> Policy {
    let payload = culvert_wire::encode_policy(policy);
    let received = culvert_wire::decode_policy(&policy.key, &payload, &mut Interner::default());
    let received = received.unwrap_or_else(|error| panic!("{error}: {policy:?}"));
    assert!(policy.unusable.is_some() || received == *policy, "{received:?} is not {policy:?}");
    received
}

fn judged(policies: Vec<Policy>, keys: &[Arc<str>], pod: &Pod, peer: &Peer) -> bool {
    let template = Template {
        namespace: pod.namespace.as_str().into(),
        authorization_policies: keys.to_vec(),
        ..Template::default()
    };
    let workload = Workload { uid: "w".into(), template: template.into(), ..Workload::default() };
    let snapshot = Snapshot::new(Mesh { policies, ..Mesh::default() }, "");
    judge(&snapshot.policies_for(&workload), peer).is_allowed()
}
