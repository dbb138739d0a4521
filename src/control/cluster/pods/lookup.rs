//! Pods as the API server has them at this moment, for what is not known here yet.

use std::time::Duration;

use culvert_kubernetes::{Client, Error, List, Request, Resource, ask};

use super::{Namespace, NamespaceFacts, Pod, PodFacts, Presence, Standing};
use crate::cluster::account::{Account, is_name};

/// One pod among all that had or will have its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodRef {
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// The node of a pod; none if it is not there, runs under another account, or has ended.
pub(crate) async fn node_of(
    client: &Client,
    account: &Account,
    pod: &PodRef,
    within: Duration,
) -> Result<Option<String>, Error> {
    let path = format!("{}/{}", pods_of(&account.namespace), pod.name);
    let found: Pod = match ask(client, Request::get(&path), within).await {
        Err(error) if error.code() == Some(404) => return Ok(None),
        answer => answer?,
    };
    let same = found.metadata.uid == pod.uid && found.spec.service_account_name == account.name;
    let there = same && !found.has_ended() && !found.spec.node_name.is_empty();
    Ok(there.then_some(found.spec.node_name))
}

/// How an account is on a node.
pub(crate) async fn presence(
    client: &Client,
    node: &str,
    account: &Account,
    within: Duration,
) -> Result<Presence, Error> {
    let Account { namespace, name } = account;
    // What cannot be a name has no pods, and must not become part of a request.
    if ![node, namespace, name].into_iter().all(is_name) {
        return Ok(Presence::Absent);
    }
    let fields = format!("spec.nodeName={node},spec.serviceAccountName={name}");
    let pods = &Resource::new("pods", pods_of(namespace)).selected(fields);
    let keep = |pod: Pod| Some(PodFacts::from(pod).standing);
    let (standings, _) = List { resource: pods, within }.all(client, keep, || {}).await?;
    let included = standings.contains(&Standing::AsNamespace) && includes(client, namespace, within).await?;
    let presences = standings.into_iter().map(|standing| standing.presence(included));
    Ok(presences.max().unwrap_or(Presence::Absent))
}

/// Whether a namespace includes pods that do not say otherwise.
async fn includes(client: &Client, namespace: &str, within: Duration) -> Result<bool, Error> {
    match ask::<Namespace>(client, Request::get(&format!("/api/v1/namespaces/{namespace}")), within).await {
        Err(error) if error.code() == Some(404) => Ok(false),
        answer => Ok(NamespaceFacts::from(answer?).includes),
    }
}

fn pods_of(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods")
}
