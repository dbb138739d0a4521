//! The identities of this node's pods, and their certificates.

use std::collections::HashMap;

use culvert_api::{Certificate, Identity, IdentityState, PodRef};
use culvert_core::identity::SpiffeId;

use super::connections::shape;
use super::problem::Refusal;
use super::query::Query;
use super::{Sources, json, moment, page, pods};
use crate::identity::{Listed, Phase, X509};

/// `/v1/identities`.
pub(super) fn list(sources: &Sources, query: &Query) -> Result<Vec<u8>, Refusal> {
    let listed = sources.shown.identities.list().into_iter();
    let part = page::by_text(query, listed.map(|listed| (listed.identity.to_string(), listed)))?;
    let mut whose = whose(sources);
    Ok(json(&part.show(|listed| {
        let pods = whose.remove(&listed.identity).unwrap_or_default();
        identity(&listed, pods)
    })))
}

/// Which pods are whom.
fn whose(sources: &Sources) -> HashMap<SpiffeId, Vec<PodRef>> {
    let snapshot = sources.shown.mesh.snapshot();
    let mut whose: HashMap<SpiffeId, Vec<PodRef>> = HashMap::new();
    for known in pods::everybody(&sources.shown.state) {
        if let Some(identity) = pods::identity(&snapshot, &known.pod) {
            whose.entry(identity).or_default().push(shape::pod(&known.pod));
        }
    }
    whose
}

fn identity(listed: &Listed, mut pods: Vec<PodRef>) -> Identity {
    pods.sort_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
    Identity {
        identity: listed.identity.to_string(),
        state: match listed.phase {
            Phase::Initializing => IdentityState::Initializing,
            Phase::Available => IdentityState::Available,
            Phase::Unavailable => IdentityState::Unavailable,
        },
        error: listed.error.clone(),
        pods,
        chain: listed.chain.iter().map(certificate).collect(),
        roots: listed.roots.iter().map(certificate).collect(),
    }
}

fn certificate(certificate: &X509) -> Certificate {
    Certificate {
        serial_number: certificate.serial.clone(),
        valid_from: moment::text(certificate.validity.not_before),
        expires: moment::text(certificate.validity.not_after),
    }
}
