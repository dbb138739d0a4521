//! Who gets in, judged as nodes judge.

use serde_json::json;

use super::super::tests::{Cluster, Pod, object, parsed, peer, pod, web};
use culvert_core::policy::Peer;

use super::*;

mod model;
mod problems;
mod reach;
mod rows;
mod status;

fn authorization(key: &str, spec: &Value) -> Value {
    object("AuthorizationPolicy", key, spec)
}

fn annotated(mut object: Value, value: &str) -> Value {
    object["metadata"]["annotations"][DRY_RUN] = value.into();
    object
}

/// Some of everybody: with and without identity, from here and there, to various ports.
fn everybody() -> Vec<Peer> {
    let who = ["-", "here/web", "here/other", "there/web", "root/web", "else/one"];
    let ways = ["", " from=10.1.2.3", " from=fd00::1 to=[fd00::9]:80", " to=10.0.0.9:8080"];
    who.into_iter().flat_map(|who| ways.map(|way| peer(&format!("{who}{way}")))).collect()
}

/// Tells who of everybody gets in to a pod.
fn admitted(cluster: &Cluster, pod: &Pod) -> usize {
    everybody().iter().filter(|peer| cluster.lets_in(pod, peer)).count()
}
