//! What a node's admin port says below `/v1`.

use culvert_lab::{Node, Pod, http};
use serde_json::Value;

/// Where the admin port is, within its node.
pub(crate) const ADMIN: ([u8; 4], u16) = ([127, 0, 0, 1], 15000);

/// One object.
#[track_caller]
pub(crate) fn read(node: &Node, path: &str) -> Value {
    let answer = http::get(node.netns(), ADMIN, &format!("/v1/{path}")).unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

/// What is on all pages of a list, in order. The query has a parameter already.
#[track_caller]
pub(crate) fn list(node: &Node, path: &str) -> Vec<Value> {
    let (mut items, mut after) = (Vec::new(), String::new());
    loop {
        let mut page = read(node, &format!("{path}{after}"));
        let Value::Array(more) = page["items"].take() else { panic!("{path}: no list") };
        items.extend(more);
        let Some(next) = page["next"].as_str() else { return items };
        after = format!("&after={next}");
    }
}

/// The filter for connections of a pod.
pub(crate) fn of(pod: &Pod) -> String {
    format!("pod={}/{}", pod.namespace(), pod.name())
}
