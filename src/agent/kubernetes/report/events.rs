//! Occurrences as events of Kubernetes, for people who ask what is wrong with a pod.
//!
//! The same thing about the same pod is said once a minute at most, with how often it has happened since. What cannot be sent after
//! some tries is lost, and counted.

use std::time::Duration;

use culvert_kubernetes::{Client, Error, Pace, Pauses, Request, ask};
use culvert_process::exit::Chain;
use k8s_openapi::jiff::Timestamp;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tracing::{debug, error, warn};

use self::notice::Notice;
use self::throttle::Throttle;
use super::super::metered;
use crate::board::Occurrence;
use crate::board::Told;

mod notice;
mod throttle;

#[cfg(test)]
mod tests;

/// Tries for each event.
const TRIES: usize = 3;

/// The least time between two: not every change of a node's pods at once is news.
const BETWEEN: Duration = Duration::from_millis(50);

/// As long as the API server takes it.
const LONGEST_NOTE: usize = 1024;
const LONGEST_INSTANCE: usize = 128;

/// Leaves room for what makes a name unique.
const LONGEST_NAME: usize = 200;

/// Runs until nobody tells of anything.
pub(super) async fn run(client: &Client, node: &str, pace: &Pace, mut occurrences: Told) {
    let mut throttle = Throttle::default();
    let mut denied = false;
    while let Some(occurrence) = occurrences.recv().await {
        let notice = Notice::of(&occurrence.what);
        let Some(unsaid) = throttle.admit(&occurrence.uid, notice.reason, Instant::now()) else {
            metered::event("throttled");
            continue;
        };
        let event = event(node, &occurrence, &notice, unsaid);
        match send(client, pace, &occurrence.workload.namespace, &event).await {
            Ok(()) => {
                denied = false;
                metered::event("sent");
            }
            Err(error) => {
                metered::event("failed");
                failed(&occurrence, &error, &mut denied);
            }
        }
        sleep(BETWEEN).await;
    }
}

async fn send(client: &Client, pace: &Pace, namespace: &str, event: &Value) -> Result<(), Error> {
    let path = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
    let mut pauses = Pauses::new(pace);
    let mut tries = 1;
    loop {
        match ask::<IgnoredAny>(client, Request::create(&path, event), pace.answer).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_final() || tries == TRIES => return Err(error),
            Err(error) => debug!(error = %Chain(&error), "an event could not be sent, trying again"),
        }
        tries += 1;
        sleep(pauses.next()).await;
    }
}

fn failed(occurrence: &Occurrence, error: &Error, denied: &mut bool) {
    let (pod, forbidden) = (&occurrence.workload, error.code() == Some(403));
    let error = Chain(error);
    if !forbidden {
        warn!(%pod, %error, "an event could not be sent");
    } else if !std::mem::replace(denied, true) {
        error!(
            %pod, %error,
            "not allowed; unless an admission policy is what refused, give the agent's service account a ClusterRole with create on events of events.k8s.io"
        );
    }
}

fn event(node: &str, occurrence: &Occurrence, notice: &Notice, unsaid: u32) -> Value {
    let Occurrence { uid, workload, .. } = occurrence;
    let now = Timestamp::now();
    let mut note = notice.note.clone();
    if unsaid > 0 {
        note = format!(
            "{} (and {unsaid} times more since it was last said)",
            shortened(&note, LONGEST_NOTE - 64)
        );
    }
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": format!("{}.{:x}", shortened(&workload.name, LONGEST_NAME), now.as_nanosecond()),
            "namespace": workload.namespace,
        },
        "eventTime": format!("{now:.6}"),
        "reportingController": "culvert.dev/agent",
        "reportingInstance": shortened(node, LONGEST_INSTANCE),
        "action": notice.action,
        "reason": notice.reason,
        "type": if notice.is_warning { "Warning" } else { "Normal" },
        "note": shortened(&note, LONGEST_NOTE),
        "regarding": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": workload.namespace,
            "name": workload.name,
            "uid": uid.as_str(),
        },
    })
}

/// At most `longest` bytes of a text.
fn shortened(text: &str, longest: usize) -> &str {
    let mut end = longest.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
