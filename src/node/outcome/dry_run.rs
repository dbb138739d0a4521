//! What dry-run policies would have done, counted by policy.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use culvert_core::policy::DryRun;
use metrics::Label;

pub(super) const COUNTED: &str = "culvert_policy_dry_run_total";

/// How many policies and namespaces are counted under their own names, of all there ever were: series are never forgotten.
const NAMED: usize = 1000;

static NAMES: LazyLock<Mutex<Names>> = LazyLock::new(Mutex::default);

/// What is counted under its own name: keys of policies, and namespaces.
#[derive(Debug, Default)]
struct Names(HashSet<Arc<str>>);

impl Names {
    /// Whether this one is, or becomes, one of those with a name.
    fn include(&mut self, key: &Arc<str>) -> bool {
        self.0.contains(key) || self.0.len() < NAMED && self.0.insert(Arc::clone(key))
    }
}

/// Counts what a dry-run policy would have done about one connection, to a workload of `namespace`.
pub(crate) fn count_dry_run(finding: DryRun<'_>, namespace: &Arc<str>) {
    let (key, policy, namespace, result) = match finding {
        DryRun::Deny(it) => (&it.key, Arc::clone(&it.name), &it.namespace, "deny"),
        DryRun::Allow(it) => (&it.key, Arc::clone(&it.name), &it.namespace, "allow"),
        // Said of all policies that allow something.
        DryRun::NoneAllowed => (namespace, Arc::from("*"), namespace, "none_allowed"),
    };
    let named = NAMES.lock().unwrap_or_else(PoisonError::into_inner).include(key);
    let label = |name, value| match named {
        true => Label::new(name, value),
        false => Label::from_static_parts(name, "other"),
    };
    let labels = vec![
        label("policy", policy),
        label("namespace", Arc::clone(namespace)),
        Label::from_static_parts("result", result),
    ];
    metrics::counter!(COUNTED, labels).increment(1);
}

#[cfg(test)]
mod tests {
    use culvert_core::policy::{Policy, Scope};
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn findings_are_counted_by_policy_and_result() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let metrics = recorder.handle();
        let policy = Policy::unusable("shop/counted".into(), "shop".into(), Scope::Global, "why".into());
        metrics::with_local_recorder(&recorder, || {
            for finding in [DryRun::Deny(&policy), DryRun::Deny(&policy), DryRun::Allow(&policy)] {
                count_dry_run(finding, &"garage".into());
            }
            count_dry_run(DryRun::NoneAllowed, &"garage".into());
        });
        let text = metrics.render();
        for line in [
            "{policy=\"counted\",namespace=\"shop\",result=\"deny\"} 2",
            "{policy=\"counted\",namespace=\"shop\",result=\"allow\"} 1",
            "{policy=\"*\",namespace=\"garage\",result=\"none_allowed\"} 1",
        ] {
            assert!(text.contains(&format!("{COUNTED}{line}")), "{line} is not in {text}");
        }
    }

    #[test]
    fn names_do_not_become_more_for_ever() {
        let mut names = Names::default();
        let key = |number: usize| Arc::from(format!("ns/{number}"));
        assert!((0..NAMED).all(|number| names.include(&key(number))));
        assert!(!names.include(&key(NAMED)));
        assert!(names.include(&key(0)), "who has a name keeps it");
    }
}
