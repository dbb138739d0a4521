//! One row for each thing there is to find: the manifests, with a mark at the line that is to be named, and the finding.

use super::*;

mod labels;
mod network;
mod objects;
mod policies;
mod services;

/// What follows this in a text is on the line that is to be named.
const MARK: &str = "#<";

/// Beside an application that is as it should be, this is found in `text`, and nothing else.
#[track_caller]
fn found(name: &str, state: State, path: &str, text: &str) -> Finding {
    let mut all = found_all(text);
    assert_eq!(all.len(), 1, "{all:#?}");
    let finding = all.remove(0);
    let place = finding.place.clone().unwrap();
    let marked = text.lines().position(|line| line.contains(MARK)).unwrap() as u64 + 1;
    let is = (finding.name, finding.state, place.file.as_str(), place.line, place.path.as_deref());
    assert_eq!(
        is,
        (name, state, "row.yaml", marked, Some(path).filter(|path| !path.is_empty())),
        "{finding:#?}"
    );
    finding
}

fn found_all(text: &str) -> Vec<Finding> {
    troubles(&[("good.yaml", GOOD), ("row.yaml", text)])
}

/// A policy for the namespace of the application.
fn policy(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n{spec}"
    )
}

fn namespace(labels: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: other\n  labels:\n{labels}\n")
}

/// A Deployment whose pods have these labels and annotations, and what else is in their specification.
fn deployment(namespace: &str, labels: &str, annotations: &str, spec: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: api\n  namespace: {namespace}\nspec:\n  template:\n    metadata:\n      labels:\n        app: api\n{labels}      annotations:\n        a: b\n{annotations}    spec:\n{spec}      containers: [{{name: a, ports: [{{name: http, containerPort: 80}}]}}]\n"
    )
}
