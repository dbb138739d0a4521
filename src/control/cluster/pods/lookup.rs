//! Pods as the API server has them at this moment, for what is not known here yet.

use std::time::Duration;

use culvert_derive::{Kind, Object};
use culvert_kubernetes::{Client, Error, Lenient, List, Request, Resource, Unreadable, ask};
use culvert_membership::{Backing, Life, Settings};
use culvert_token::review::PodRef;
use culvert_token::{Account, is_name};
use serde::{Deserialize, Deserializer};

use super::Presence;

/// A pod, read as it is for the mesh.
struct Pod(Object);

/// A namespace, read the same way.
struct Namespace(Object);

/// The node of a pod; none if it is not there, runs under another account, has ended, or cannot be read.
pub(crate) async fn node_of(
    client: &Client,
    account: &Account,
    pod: &PodRef,
    within: Duration,
) -> Result<Option<String>, Error> {
    let path = format!("{}/{}", pods_of(&account.namespace), pod.name);
    let found = match ask::<Lenient<Pod>>(client, Request::get(&path), within).await {
        Err(error) if error.code() == Some(404) => return Ok(None),
        answer => readable(answer?),
    };
    let there = found.as_ref().and_then(|Pod(object)| object.as_resident()).filter(|found| {
        let same = found.is(&pod.uid) && **found.account == *account.name;
        same && found.says.life == Life::Going && !found.node.is_empty()
    });
    Ok(there.map(|found| found.node.to_string()))
}

/// How an account is on a node.
pub(crate) async fn presence(
    client: &Client,
    settings: &Settings,
    (node, account): (&str, &Account),
    within: Duration,
) -> Result<Presence, Error> {
    let Account { namespace, name } = account;
    // What cannot be a name has no pods, and must not become part of a request.
    if ![node, namespace, name].into_iter().all(is_name) {
        return Ok(Presence::Absent);
    }
    let fields = format!("spec.nodeName={node},spec.serviceAccountName={name}");
    let pods = &Resource::new("pods", pods_of(namespace)).selected(fields);
    let keep = |pod| Some(settings.of_pod(&readable::<Pod>(pod)?.0.as_resident()?.says));
    let (standings, _) = List { resource: pods, within }.all(client, keep, || {}).await?;
    if standings.is_empty() {
        return Ok(Presence::Absent);
    }
    let backing = backing(client, settings, namespace, within).await?;
    Ok(backing.map_or(Presence::Absent, |backing| Presence::best(standings.into_iter(), backing)))
}

/// What a namespace says for its pods; nothing if it is not there, or cannot be read.
async fn backing(
    client: &Client,
    settings: &Settings,
    namespace: &str,
    within: Duration,
) -> Result<Option<Backing>, Error> {
    let path = format!("/api/v1/namespaces/{namespace}");
    let found = match ask::<Lenient<Namespace>>(client, Request::get(&path), within).await {
        Err(error) if error.code() == Some(404) => return Ok(None),
        answer => readable(answer?),
    };
    Ok(found.and_then(|Namespace(object)| Some(settings.of_namespace(object.as_namespace()?))))
}

/// What can be read. The other objects count for nobody, as they do in a watch.
fn readable<T>(Lenient(read): Lenient<T>) -> Option<T> {
    let told = |unreadable: &Unreadable| tracing::warn!(object = %unreadable, "an object that was looked up cannot be read");
    read.inspect_err(told).ok()
}

impl<'de> Deserialize<'de> for Pod {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Object::read(Kind::Pod, from).map(Self)
    }
}

impl<'de> Deserialize<'de> for Namespace {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Object::read(Kind::Namespace, from).map(Self)
    }
}

fn pods_of(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods")
}
