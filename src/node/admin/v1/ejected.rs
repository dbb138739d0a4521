//! Endpoints that are asked last for a while.

use std::time::Instant;

use culvert_api::Ejected;

use super::connections::shape;
use super::problem::Refusal;
use super::query::Query;
use super::{Sources, json, page};
use crate::proxy::PodInfo;
use crate::set_aside::{Endpoint, Listed};

/// `/v1/ejected`.
pub(super) fn list(sources: &Sources, query: &Query) -> Result<Vec<u8>, Refusal> {
    let by_pod = sources.shown.state.set_aside().list(Instant::now()).into_iter();
    let all = by_pod.flat_map(|(pod, listed)| listed.into_iter().map(move |listed| (pod.clone(), listed)));
    let part = page::by_text(query, all.map(|entry| (key(&entry), entry)))?;
    Ok(json(&part.show(|(pod, Listed { endpoint, pause, left })| Ejected {
        pod: shape::pod(&pod),
        workload: endpoint.workload.to_string(),
        address: endpoint.address.to_string(),
        seconds: pause.as_secs(),
        seconds_left: left.as_secs(),
    })))
}

/// By pod, then by endpoint.
fn key((pod, listed): &(PodInfo, Listed)) -> String {
    let Endpoint { workload, incarnation, address } = &listed.endpoint;
    format!("{}\0{}\0{workload}\0{incarnation:04x}\0{address}", pod.namespace, pod.name)
}
