//! `/config_dump`: what this node holds, as JSON in the shape existing tools read, and what is ours besides.
//!
//! It may be the whole mesh: it is made piece by piece of one snapshot, and only as fast as it is taken. Keys, tokens and the values of
//! headers are in no dump.

mod certificate;
mod connections;
mod policy;
mod service;
mod staged;
mod statics;
mod stream;
mod workload;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::body::Body;
use culvert_core::snapshot::Snapshot;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Sources;
use crate::control_plane::{self, status::State as Reachable};
use crate::dns;
use crate::identity::revocation::{Revocation, Status};
use crate::proxy::PodInfo;
use crate::set_aside::{self, Endpoint};
use crate::version;
use stream::{Content, Section, item};

pub(super) use policy::PolicyView;
pub(super) use service::ServiceView;
pub(super) use workload::WorkloadView;

/// All of it.
pub(super) fn dump(sources: &Sources) -> Body {
    Body::from_stream(stream::object(sections(sources)))
}

fn sections(sources: &Sources) -> Vec<Section> {
    let snapshot = sources.mesh.snapshot();
    let (for_services, for_staged, for_workloads) =
        (Arc::clone(&snapshot), Arc::clone(&snapshot), Arc::clone(&snapshot));
    let sources = sources.clone();
    let (identities, state) = (sources.identities, sources.state);
    let (control_planes, set_aside, resolves) = (state.clone(), state.set_aside(), state.clone());
    let (settings, revocation) = (sources.settings, sources.revocation);
    let (static_config, istio) = (sources.static_config, sources.istio_version);
    vec![
        (
            "certificates",
            Box::new(move || {
                let certificates = identities.list().into_iter();
                list(certificates.map(|listed| item(&certificate::CertificateView::from(&listed))))
            }),
        ),
        ("config", Box::new(move || Content::Value((*settings).clone()))),
        (
            "controlPlane",
            Box::new(move || {
                let services = control_planes.control_planes();
                let shown = services.iter().map(|status| (status.key().to_owned(), reachable(status)));
                Content::Value(Value::Object(shown.collect()))
            }),
        ),
        ("dns", Box::new(move || Content::Value(resolves.dns().as_ref().map(resolving).into()))),
        ("policies", Box::new(move || policies(&snapshot))),
        ("revocation", Box::new(move || Content::Value(revoked(&revocation)))),
        ("services", Box::new(move || services(for_services))),
        (
            "setAside",
            Box::new(move || Content::Value(set_aside.list(Instant::now()).iter().map(unreached).collect())),
        ),
        ("stagedServices", Box::new(move || staged::content(&for_staged))),
        ("staticConfig", Box::new(move || statics::content(static_config.as_ref()))),
        ("version", Box::new(move || Content::Value(version::shown(&istio)))),
        ("workloadState", Box::new(move || connections::content(&state))),
        ("workloads", Box::new(move || workloads(&for_workloads))),
    ]
}

fn list(items: impl Iterator<Item = Vec<u8>> + Send + 'static) -> Content {
    Content::List(Box::new(items))
}

fn policies(snapshot: &Snapshot) -> Content {
    let mut policies: Vec<_> = snapshot.policies().cloned().collect();
    policies.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    list(policies.into_iter().map(|policy| item(&PolicyView::from(&*policy))))
}

fn services(snapshot: Arc<Snapshot>) -> Content {
    let mut services: Vec<_> = snapshot.services().cloned().collect();
    let rank =
        |service: &culvert_core::service::Service| (service.hostname.clone(), service.namespace.clone());
    services.sort_by_cached_key(|service| rank(service));
    list(services.into_iter().map(move |service| {
        let key = service.key();
        let endpoints = snapshot.endpoints(&key).map(|workload| &**workload);
        item(&ServiceView::new(&service, endpoints))
    }))
}

fn workloads(snapshot: &Snapshot) -> Content {
    let mut workloads: Vec<_> = snapshot.workloads().cloned().collect();
    workloads.sort_unstable_by(|one, other| one.uid.cmp(&other.uid));
    list(workloads.into_iter().map(|workload| item(&WorkloadView::from(&*workload))))
}

/// Whether a service of the control plane answers, since when, and why not.
fn reachable(status: &control_plane::Status) -> Value {
    let view = status.view();
    let (state, error) = match view.state {
        Reachable::Unused => ("Unused", None),
        Reachable::Up => ("Up", None),
        Reachable::Down(why) => ("Down", Some(why)),
    };
    json!({
        "address": status.address(),
        "state": state,
        "since": rfc3339(view.since),
        "error": error,
        "version": view.version,
    })
}

/// Where queries of pods are taken, and what is wrong with that.
fn resolving(status: &dns::Status) -> Value {
    let trouble = |(pod, error): (PodInfo, String)| json!({ "namespace": pod.namespace, "name": pod.name, "error": error });
    json!({
        "capture": status.capture().map_or_else(|| "Off".to_owned(), |address| address.to_string()),
        "troubles": status.troubles().into_iter().map(trouble).collect::<Vec<_>>(),
    })
}

/// The endpoints a pod is not given for a while, unless there are no others.
fn unreached((PodInfo { name, namespace, .. }, endpoints): &(PodInfo, Vec<set_aside::Listed>)) -> Value {
    let endpoint = |listed: &set_aside::Listed| {
        let Endpoint { workload, address, .. } = &listed.endpoint;
        json!({
            "workload": workload,
            "address": address,
            "forSeconds": listed.pause.as_secs(),
            "secondsLeft": listed.left.as_secs(),
        })
    };
    let endpoints: Vec<Value> = endpoints.iter().map(endpoint).collect();
    json!({ "namespace": namespace, "name": name, "endpoints": endpoints })
}

/// What is known of revoked certificates.
fn revoked(revocation: &Revocation) -> Value {
    match revocation.status() {
        Status::Off => json!({ "state": "Off" }),
        Status::Valid { lists, certificates } => {
            json!({ "state": "Valid", "lists": lists, "certificates": certificates })
        }
        Status::Missing => json!({ "state": "Missing" }),
        Status::Invalid { why } => json!({ "state": "Invalid", "error": why }),
    }
}

/// A moment as RFC 3339, in UTC and whole seconds.
pub(super) fn rfc3339(time: SystemTime) -> String {
    let whole = OffsetDateTime::from(time).replace_nanosecond(0);
    // A year with five digits has no such text.
    whole.ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
