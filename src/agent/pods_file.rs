//! The pods file: YAML text in, a list of [`PodSpec`]s out, or one sentence that says where it is wrong and why.
//!
//! A file is taken whole or not at all. Whether the namespaces it names exist is not looked at here: they come and
//! go while the file stays the same.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use culvert_process::exit::Chain;
use culvert_process::follow::Follower;
use culvert_zds::MOST_PROBE_PORTS;
use ebpf_free_iptables::Options;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_saphyr::{MessageFormatter as _, Spanned};
use tokio::sync::watch;
use tracing::{error, info};

use crate::annotations::{self, Annotations};
use crate::pod::{Capture, Desired, NetnsSource, Others, PodSpec, Uid, Wishes, Workload};

#[cfg(test)]
mod tests;

/// A pods file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}:{line}: {reason}", file.display())]
pub(crate) struct Error {
    file: PathBuf,
    line: u64,
    reason: Reason,
}

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error("{0}; correct the file")]
    Syntax(String),
    #[error("pod `{pod}`: {field} is empty; give it a value")]
    Empty { pod: String, field: &'static str },
    #[error("pod `{pod}`: {field} is longer than the {limit} bytes Kubernetes allows; shorten it")]
    TooLong { pod: String, field: &'static str, limit: usize },
    #[error("pod `{pod}`: {field} contains `{character}`; use the name Kubernetes knows")]
    BadCharacter { pod: String, field: &'static str, character: char },
    #[error(
        "pod `{pod}`: neither netns nor pid is given; say where its network namespace is with one of them"
    )]
    NoNamespace { pod: String },
    #[error("pod `{pod}`: netns and pid are both given; remove one of them")]
    TwoNamespaces { pod: String },
    #[error(
        "pod `{pod}`: netns `{path}` is not an absolute path; write it from the root, like /run/netns/web"
    )]
    RelativePath { pod: String, path: String },
    #[error("pod `{pod}`: pid 0 is no process; write the number of a process of the pod")]
    NoProcess { pod: String },
    #[error("pod `{pod}`: `{port}` in probePorts is no port; write numbers from 1 to 65535")]
    NoPort { pod: String, port: String },
    #[error("pod `{pod}`: probePorts has more than {MOST_PROBE_PORTS} ports; name those kubelet probes")]
    TooManyPorts { pod: String },
    #[error("pod `{pod}`: {complaint}")]
    Annotation { pod: String, complaint: String },
    #[error("pod `{pod}`: the annotation `{name}` is unknown; those that mean something are {}", annotations::CAPTURE.join(", "))]
    UnknownAnnotation { pod: String, name: String },
    #[error("pod `{pod}`: uid `{uid}` is already used on line {first}; give each pod its own uid")]
    DuplicateUid { pod: String, uid: String, first: u64 },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    pods: Vec<Spanned<RawPod>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawPod {
    uid: String,
    name: String,
    namespace: String,
    service_account: String,
    netns: Option<String>,
    #[serde(default, deserialize_with = "pid")]
    pid: Option<u32>,
    #[serde(default)]
    probe_ports: Vec<String>,
    #[serde(default)]
    annotations: Annotations,
}

/// Reads a process number; the library's own message would name a Rust type.
fn pid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = |_| D::Error::custom(format!("pid `{text}` is not the number of a process"));
    text.parse().map(Some).map_err(wrong)
}

/// Reads the text of a pods file. `file` is only named in errors.
pub(crate) fn parse(file: &Path, text: &str, capture: &Arc<Capture>) -> Result<Desired, Error> {
    let wrong = |line, reason| Error { file: file.to_owned(), line, reason };
    let options = serde_saphyr::options! { with_snippet: false };
    let raw: RawFile = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line().max(1));
        let reason = serde_saphyr::DefaultMessageFormatter.format_message(&error).into_owned();
        wrong(line, Reason::Syntax(reason))
    })?;
    let mut first_use = BTreeMap::new();
    let mut pods = Vec::with_capacity(raw.pods.len());
    for Spanned { value: raw, referenced, .. } in raw.pods {
        let line = referenced.line();
        let pod = validate(raw, capture).map_err(|reason| wrong(line, reason))?;
        if let Some(first) = first_use.insert(pod.uid.clone(), line) {
            let (uid, pod) = (pod.uid.to_string(), pod.workload.name);
            return Err(wrong(line, Reason::DuplicateUid { pod, uid, first }));
        }
        pods.push(pod);
    }
    Ok(Arc::new(Wishes { pods, others: Others::Unknown }))
}

fn validate(raw: RawPod, capture: &Arc<Capture>) -> Result<PodSpec, Reason> {
    let limits = [
        ("uid", &raw.uid, 253),
        ("name", &raw.name, 253),
        ("namespace", &raw.namespace, 63),
        ("serviceAccount", &raw.service_account, 253),
    ];
    let called = if raw.name.is_empty() { &raw.uid } else { &raw.name };
    for (field, value, limit) in limits {
        text(called, field, value, limit)?;
    }
    let netns = namespace(&raw)?;
    let own = Capture { rules: rules(&raw, &capture.rules)?, probe_ports: probe_ports(&raw)? };
    // Most pods say nothing, and share one.
    let capture = if own == **capture { Arc::clone(capture) } else { Arc::new(own) };
    let workload =
        Workload { name: raw.name, namespace: raw.namespace, service_account: raw.service_account };
    Ok(PodSpec { uid: Uid::from(raw.uid.as_str()), workload, netns, capture, expected: false })
}

/// The limits also keep every message about a pod within the packet size of the node protocol; the characters would
/// make another identity of the pod's.
fn text(pod: &str, field: &'static str, value: &str, limit: usize) -> Result<(), Reason> {
    // A name that is itself wrong may be long or hold anything.
    let pod = || pod.chars().take(63).flat_map(char::escape_debug).collect();
    if value.is_empty() {
        return Err(Reason::Empty { pod: pod(), field });
    }
    if value.len() > limit {
        return Err(Reason::TooLong { pod: pod(), field, limit });
    }
    match value.chars().find(|c| *c == '/' || c.is_whitespace() || c.is_control()) {
        Some(character) => Err(Reason::BadCharacter { pod: pod(), field, character }),
        None => Ok(()),
    }
}

/// What is wrong with an annotation of Kubernetes has no effect; a file is taken whole or not at all.
fn rules(raw: &RawPod, usual: &Options) -> Result<Options, Reason> {
    let pod = || raw.name.clone();
    if let Some(name) = raw.annotations.keys().find(|name| !annotations::CAPTURE.contains(&name.as_str())) {
        let name = name.chars().take(64).flat_map(char::escape_debug).collect();
        return Err(Reason::UnknownAnnotation { pod: pod(), name });
    }
    let mut complaints = Vec::new();
    let rules = annotations::rules(&raw.annotations, &Annotations::new(), usual, &mut complaints);
    match complaints.pop() {
        Some(complaint) => Err(Reason::Annotation { pod: pod(), complaint }),
        None => Ok(rules),
    }
}

fn probe_ports(raw: &RawPod) -> Result<BTreeSet<u16>, Reason> {
    let port = |text: &String| {
        let port = text.parse().ok().filter(|port| *port != 0);
        let shown = || text.chars().take(20).flat_map(char::escape_debug).collect();
        port.ok_or_else(|| Reason::NoPort { pod: raw.name.clone(), port: shown() })
    };
    let ports = raw.probe_ports.iter().map(port).collect::<Result<BTreeSet<_>, _>>()?;
    if ports.len() > MOST_PROBE_PORTS {
        return Err(Reason::TooManyPorts { pod: raw.name.clone() });
    }
    Ok(ports)
}

fn namespace(raw: &RawPod) -> Result<NetnsSource, Reason> {
    let pod = || raw.name.clone();
    match (&raw.netns, raw.pid) {
        (None, None) => Err(Reason::NoNamespace { pod: pod() }),
        (Some(_), Some(_)) => Err(Reason::TwoNamespaces { pod: pod() }),
        (Some(path), None) if path.is_empty() => Err(Reason::Empty { pod: pod(), field: "netns" }),
        (Some(path), None) if !path.starts_with('/') => {
            Err(Reason::RelativePath { pod: pod(), path: path.clone() })
        }
        (Some(path), None) => Ok(NetnsSource::Path(path.into())),
        (None, Some(0)) => Err(Reason::NoProcess { pod: pod() }),
        (None, Some(pid)) => Ok(NetnsSource::Process(pid)),
    }
}

/// Hands on each new version of the file for as long as anybody listens.
pub(crate) async fn follow(mut file: Follower, capture: &Arc<Capture>, desired: watch::Sender<Desired>) {
    while !desired.is_closed() {
        let text = file.changed().await;
        reload(file.path(), text, capture, &desired);
    }
}

/// Takes a new version over, or leaves everything as it is and says why.
fn reload(file: &Path, text: io::Result<String>, capture: &Arc<Capture>, desired: &watch::Sender<Desired>) {
    let parsed = match &text {
        Ok(text) => parse(file, text, capture).map_err(|error| Chain(&error).to_string()),
        Err(error) => Err(format!("{}: cannot be read: {error}", file.display())),
    };
    match parsed {
        Ok(pods) => {
            info!(file = %file.display(), pods = pods.pods.len(), "pods file reloaded");
            desired.send_replace(pods);
        }
        Err(reason) => error!(%reason, "pods file rejected, the pods in force stay"),
    }
}
