//! What is remembered of the pods of a large cluster. Run it by itself:
//! `cargo test -p culvert-control -- --ignored --nocapture bytes_for_each_pod`.

use serde_json::json;

use super::*;

const PODS: usize = 100_000;

fn pod(number: usize) -> Read {
    let app = number / 10;
    let json = json!({
        "metadata": {"name": format!("app{app}-5f7d8c9b6d-{number:05}"), "namespace": format!("team-{}", app % 100)},
        "spec": {"nodeName": format!("node-{}", number % 1000), "serviceAccountName": format!("app{app}")},
    });
    Ok(Object::read(Kind::Pod, json).unwrap())
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// The objects are let go of one by one, so that no text is counted as the mesh's.
#[test]
#[ignore = "a measurement"]
fn bytes_for_each_pod_of_a_large_cluster() {
    let index = Index::default();
    let before = resident();
    (0..PODS).for_each(|number| index.note(Kind::Pod, &Delta::One(pod(number))));
    let each = resident().saturating_sub(before) / PODS;
    println!("bytes for each pod: {each}");
    assert!(each < 500, "{each}");
}
