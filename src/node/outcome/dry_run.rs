//! What dry-run policies would have done, counted by policy.

use std::sync::Arc;

use culvert_core::policy::DryRun;
use metrics::Label;

pub(super) const COUNTED: &str = "culvert_policy_dry_run_total";

/// Counts what a dry-run policy would have done about one connection, to a workload of `namespace`.
pub(crate) fn count_dry_run(finding: DryRun<'_>, namespace: &Arc<str>) {
    let (policy, namespace, result) = match finding {
        DryRun::Deny(it) => (Arc::clone(&it.name), &it.namespace, "deny"),
        DryRun::Allow(it) => (Arc::clone(&it.name), &it.namespace, "allow"),
        // Said of all policies that allow something.
        DryRun::NoneAllowed => (Arc::from("*"), namespace, "none_allowed"),
    };
    let labels = vec![
        Label::new("policy", policy),
        Label::new("namespace", Arc::clone(namespace)),
        Label::from_static_parts("result", result),
    ];
    metrics::counter!(COUNTED, labels).increment(1);
}

#[cfg(test)]
mod tests {
    use culvert_core::policy::{Policy, Scope};
    use culvert_metrics::{Metrics, Settings};

    use super::*;

    #[test]
    fn findings_are_counted_by_policy_and_result() {
        let metrics = Metrics::new(Settings::default());
        let policy = Policy::unusable("shop/counted".into(), "shop".into(), Scope::Global, "why".into());
        metrics::with_local_recorder(&metrics, || {
            for finding in [DryRun::Deny(&policy), DryRun::Deny(&policy), DryRun::Allow(&policy)] {
                count_dry_run(finding, &"garage".into());
            }
            count_dry_run(DryRun::NoneAllowed, &"garage".into());
        });
        let text = metrics.text();
        for line in [
            "{policy=\"counted\",namespace=\"shop\",result=\"deny\"} 2",
            "{policy=\"counted\",namespace=\"shop\",result=\"allow\"} 1",
            "{policy=\"*\",namespace=\"garage\",result=\"none_allowed\"} 1",
        ] {
            assert!(text.contains(&format!("{COUNTED}{line}")), "{line} is not in {text}");
        }
    }
}
