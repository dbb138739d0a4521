use std::fmt;
use std::sync::{Arc, Mutex};

use culvert_core::policy::{Action, Policy, Rule, Scope};
use culvert_core::snapshot::Snapshot;
use culvert_core::store::{Locality, Resource, Store};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::*;

/// Keeps every line as `<level> <message> <policy>`.
#[derive(Default, Clone)]
struct Lines(Arc<Mutex<Vec<String>>>);

#[derive(Default)]
struct Line {
    message: String,
    policy: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "policy" => self.policy = format!(" {value:?}"),
            _ => {}
        }
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let level = event.metadata().level();
        self.0.lock().unwrap().push(format!("{level} {}{}", line.message, line.policy));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// A policy that matches everybody, or nobody.
fn policy(name: &str, action: Action, matches: bool) -> Policy {
    Policy {
        key: format!("ns/{name}").into(),
        name: name.into(),
        namespace: "ns".into(),
        scope: Scope::Global,
        action,
        rules: if matches { vec![Rule::default()] } else { vec![] },
        dry_run: false,
        unusable: None,
    }
}

fn dry(policy: Policy) -> Policy {
    Policy { dry_run: true, ..policy }
}

/// What is told of a connection that is judged by these policies.
fn told(telling: Telling, policies: impl IntoIterator<Item = Policy>) -> Vec<String> {
    let mut store = Store::new(Locality::default());
    policies.into_iter().for_each(|policy| store.insert(Resource::Policy(policy)));
    let (snapshot, workload): (Snapshot, _) = (store.snapshot(), Workload::default());
    let policies = snapshot.policies_for(&workload);
    let (source, destination) = ("10.0.0.1:1".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
    let peer = Peer { identity: None, source, destination };
    let verdict = policy::judge(&policies, &peer);
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), || telling.tell(&policies, &peer, &verdict, &workload));
    lines.0.lock().unwrap().clone()
}

#[test]
fn decisions_are_told_in_the_words_operators_know() {
    let unusable = Policy::unusable("ns/u".into(), "ns".into(), Scope::Global, "why".into());
    for (policies, expected) in [
        (vec![], "no allow policies, allow"),
        (vec![policy("a", Action::Allow, true)], "allow policy match ns/a"),
        (vec![policy("a", Action::Allow, false)], "no allow policies matched"),
        (vec![policy("d", Action::Deny, true)], "deny policy match ns/d"),
        (vec![unusable], "unusable policy, deny ns/u"),
    ] {
        assert_eq!(told(Telling::Debug, policies.clone()), [format!("DEBUG {expected}")]);
        assert_eq!(told(Telling::Info, policies), [format!("INFO {expected}")]);
    }
}

#[test]
fn dry_runs_are_told_beside_the_decision() {
    let trial = |action, matches| dry(policy("t", action, matches));
    let told = |policies: Vec<Policy>| told(Telling::Info, policies);
    assert_eq!(
        told(vec![trial(Action::Deny, true)]),
        ["INFO dry-run: deny policy match ns/t", "INFO no allow policies, allow"]
    );
    assert_eq!(
        told(vec![trial(Action::Allow, true)]),
        ["INFO dry-run: allow policy match ns/t", "INFO no allow policies, allow"]
    );
    assert_eq!(
        told(vec![trial(Action::Allow, false)]),
        ["INFO dry-run: no allow policies match", "INFO no allow policies, allow"]
    );
}
