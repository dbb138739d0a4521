//! `/config_dump`: what this node holds, as JSON.

use std::time::{Instant, SystemTime};

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::control_plane::{self, status::State as Reachable};
use crate::dns;
use crate::identity::revocation::{Revocation, Status};
use crate::identity::{Identities, Listed, X509};
use crate::proxy::PodInfo;
use crate::set_aside::{self, Endpoint};
use crate::state::State;

/// Pods and certificates; private keys and tokens are in no dump.
pub(super) fn dump(state: &State, identities: &Identities, revocation: &Revocation) -> String {
    let pods: serde_json::Map<String, Value> = state
        .pods()
        .into_iter()
        .map(|pod| {
            let info = json!({
                "name": pod.pod.name,
                "namespace": pod.pod.namespace,
                "serviceAccount": pod.pod.service_account,
            });
            (pod.uid, json!({ "state": pod.state, "info": info }))
        })
        .collect();
    let certificates: Vec<Value> = identities.list().iter().map(certificate).collect();
    let services = state.control_planes();
    let control_plane: serde_json::Map<String, Value> =
        services.iter().map(|status| (status.key().to_owned(), reachable(status))).collect();
    let version = json!({ "version": env!("CARGO_PKG_VERSION") });
    let dump = json!({
        "certificates": certificates,
        "controlPlane": control_plane,
        "dns": state.dns().as_ref().map(resolving),
        "revocation": revoked(revocation),
        "setAside": state.set_aside().list(Instant::now()).iter().map(unreached).collect::<Vec<_>>(),
        "version": version,
        "workloadState": pods,
    });
    format!("{dump:#}\n")
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

fn certificate(listed: &Listed) -> Value {
    json!({
        "identity": listed.identity.to_string(),
        "state": listed.state,
        "certChain": listed.chain.iter().map(x509).collect::<Vec<_>>(),
        "rootCerts": listed.roots.iter().map(x509).collect::<Vec<_>>(),
    })
}

fn x509(certificate: &X509) -> Value {
    json!({
        "serialNumber": certificate.serial,
        "validFrom": rfc3339(certificate.validity.not_before),
        "expirationTime": rfc3339(certificate.validity.not_after),
    })
}

pub(super) fn rfc3339(time: SystemTime) -> Option<String> {
    OffsetDateTime::from(time).format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn endpoints_are_listed_with_the_pod_that_could_not_reach_them() {
        let endpoint = Endpoint {
            workload: "c//Pod/n/db".into(),
            incarnation: 0,
            address: "10.0.0.1:80".parse().unwrap(),
        };
        let [pause, left] = [20, 7].map(Duration::from_secs);
        let [name, namespace, service_account] = ["web", "n", "default"].map(str::to_owned);
        let pod = PodInfo { name, namespace, service_account };
        assert_eq!(
            unreached(&(pod, vec![set_aside::Listed { endpoint, pause, left }])),
            json!({
                "namespace": "n",
                "name": "web",
                "endpoints": [{ "workload": "c//Pod/n/db", "address": "10.0.0.1:80", "forSeconds": 20, "secondsLeft": 7 }],
            })
        );
    }
}
