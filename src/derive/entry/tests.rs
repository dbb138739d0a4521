use serde_json::{Value, json};

use crate::Meta;

use super::*;

mod allocation;
mod reading;
mod services;
mod workloads;

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn meta(name: &str, labels: Pairs<'_>, annotations: Pairs<'_>) -> Meta {
    Meta {
        namespace: "shop".into(),
        name: name.into(),
        labels: labels.iter().copied().collect(),
        annotations: annotations.iter().copied().collect(),
        ..Meta::default()
    }
}

fn entry(spec: &Value) -> ServiceEntry {
    ServiceEntry::read(meta("api", &[], &[]), &json!({"spec": spec}))
}

fn problems(problems: &[crate::Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}
