//! `/config_dump`: what this node holds, as JSON.

use std::time::SystemTime;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::identity::{Identities, Listed, X509};
use crate::state::State;

/// Pods and certificates; private keys and tokens are in no dump.
pub(super) fn dump(state: &State, identities: &Identities) -> String {
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
    let version = json!({ "version": env!("CARGO_PKG_VERSION") });
    let dump = json!({ "certificates": certificates, "version": version, "workloadState": pods });
    format!("{dump:#}\n")
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

fn rfc3339(time: SystemTime) -> Option<String> {
    OffsetDateTime::from(time).format(&Rfc3339).ok()
}
