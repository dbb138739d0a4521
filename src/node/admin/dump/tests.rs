use std::time::Duration;

use culvert_core::mesh_file;
use futures::{FutureExt as _, StreamExt as _};

use super::*;
use crate::config::MeshSource;

const MESH: &str = include_str!("../../../core/testdata/mesh.yaml");

/// What tools of others have been seen to read.
const EXPECTED: &str = include_str!("tests/mesh.json");

fn written(sections: Vec<Section>) -> String {
    let pieces: Vec<_> = stream::object(sections).collect().now_or_never().expect("nothing is waited for");
    let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.as_ref().unwrap().to_vec()).collect();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_mesh_is_shown_in_the_shape_tools_expect() {
    let snapshot = Arc::new(Snapshot::new(mesh_file::parse(MESH).unwrap(), ""));
    let [one, two, three] = std::array::from_fn(|_| Arc::clone(&snapshot));
    let text = written(vec![
        ("policies", Box::new(move || policies(&one))),
        ("services", Box::new(move || services(two))),
        ("stagedServices", Box::new(move || staged::content(&three))),
        ("workloads", Box::new(move || workloads(&snapshot))),
    ]);
    assert_eq!(text, EXPECTED);
}

#[test]
fn endpoints_are_listed_with_the_pod_that_could_not_reach_them() {
    let endpoint =
        Endpoint { workload: "c//Pod/n/db".into(), incarnation: 0, address: "10.0.0.1:80".parse().unwrap() };
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

#[test]
fn a_local_file_is_shown_as_it_is_now_or_what_is_wrong_with_it() {
    let shown = |source: Option<MeshSource>| match statics::content(source.as_ref()) {
        Content::Value(value) => value,
        Content::List(_) | Content::Map(_) => panic!("it is a value"),
    };
    let inline = shown(Some(MeshSource::Inline(MESH.to_owned())));
    let all: Value = serde_json::from_str(EXPECTED).unwrap();
    assert_eq!(inline["workloads"].as_array().unwrap().len(), all["workloads"].as_array().unwrap().len());
    assert_eq!(shown(None), json!({ "workloads": [], "policies": [], "services": [] }));
    let broken = shown(Some(MeshSource::Inline("workloads: 7".to_owned())));
    assert!(broken["error"].as_str().unwrap().contains("line 1"), "{broken}");
    let missing = shown(Some(MeshSource::File("/nowhere/mesh.yaml".into())));
    assert!(missing["error"].as_str().unwrap().contains("/nowhere/mesh.yaml"), "{missing}");
}
