//! The certificates this node holds: how many are there or not, and which one runs out first.

use std::time::UNIX_EPOCH;

use culvert_metrics::Collected;

use crate::identity::{Identities, Tally, issuer};

/// The histogram of calls to the authority, and its bounds in seconds.
pub(super) const DURATION: (&str, &[f64]) =
    (issuer::REQUEST_DURATION, &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);

/// Looks at the certificates as they are at the moment.
pub(super) fn look(identities: &Identities) -> Vec<Collected> {
    families(&identities.tally())
}

fn families(tally: &Tally) -> Vec<Collected> {
    let states = [
        ("initializing", tally.initializing),
        ("available", tally.available),
        ("unavailable", tally.unavailable),
    ];
    let certificates = Collected::gauge(
        "culvert_certificates",
        "Identities of this node's pods, by the state of their certificate (unstable).",
    );
    let first = tally.first_expiry.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    vec![
        states
            .iter()
            .fold(certificates, |family, (state, count)| family.with(&[("state", state)], *count as f64)),
        Collected::gauge(
            "culvert_certificate_expiry_timestamp_seconds",
            "When the first of the certificates held runs out, since 1970 (unstable).",
        )
        .of(first.map(|since| since.as_secs_f64())),
    ]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use culvert_metrics::{Metrics, Settings};

    use super::*;

    #[test]
    fn each_state_is_told_and_an_end_if_there_is_one() {
        let expiry = "culvert_certificate_expiry_timestamp_seconds";
        let text = |first_expiry| {
            let metrics = Metrics::new(Settings::default());
            metrics.collect(move || {
                families(&Tally { initializing: 1, available: 2, unavailable: 0, first_expiry })
            });
            metrics.text()
        };
        let with = text(Some(UNIX_EPOCH + Duration::from_secs(5)));
        assert!(with.contains(&format!("{expiry} 5\n")), "{with}");
        for (state, count) in [("initializing", 1), ("available", 2), ("unavailable", 0)] {
            assert!(with.contains(&format!("culvert_certificates{{state=\"{state}\"}} {count}\n")), "{with}");
        }
        assert!(!text(None).contains(expiry));
    }
}
