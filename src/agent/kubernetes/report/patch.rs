//! Writing one pod's annotation.
//!
//! The UID goes along: the API server refuses when the pod of that name is another one by now. The status is what is patched,
//! because leave to do that is less than leave to change pods.

use std::time::Duration;

use culvert_kubernetes::{Client, Error, Request, ask};
use culvert_membership::REDIRECTION;
use serde_json::json;

use crate::cluster::Claim;
use crate::pod::{Uid, Workload};

/// What the API server notes as the author.
const AUTHOR: &str = "culvert-agent";

/// Makes the annotation say `claim`.
pub(super) async fn claim(
    client: &Client,
    uid: &Uid,
    workload: &Workload,
    claim: Claim,
    within: Duration,
) -> Result<(), Error> {
    let value = match claim {
        Claim::Enabled => Some("enabled"),
        Claim::Pending => Some("pending"),
        Claim::Absent | Claim::Other => None,
    };
    let change = json!({
        "metadata": { "uid": uid.as_str(), "annotations": { REDIRECTION: value } }
    });
    let path = format!("/api/v1/namespaces/{}/pods/{}/status", workload.namespace, workload.name);
    let request = Request::merge(&path, &change).by(AUTHOR);
    ask::<serde::de::IgnoredAny>(client, request, within).await.map(|_| ())
}
