//! No log line at any level, no page, no metric and no profile has a key, a token, or the value of a header that may be one.

use std::fs;
use std::io::Read as _;

use culvert_lab::{Node, Program, http};

use crate::harness::cluster::{Cluster, ECHO};
use crate::harness::keys;
use crate::harness::talk::{SOON, assert_echo};

const ADMIN: ([u8; 4], u16) = ([127, 0, 0, 1], 15000);
const STATS: ([u8; 4], u16) = ([127, 0, 0, 1], 15020);
const AGENT: ([u8; 4], u16) = ([127, 0, 0, 1], 15014);

/// Settings with something in them that is nobody's business.
const SETTINGS: [(&str, &str); 5] = [
    ("RUST_LOG", "trace"),
    ("XDS_HEADER_X_KEY", "headers-value-of-xds"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=headers-value-of-telemetry"),
    ("OTEL_RESOURCE_ATTRIBUTES", "rack=shown"),
];

/// What must not be found, by what it is.
struct Secrets(Vec<(String, Vec<u8>)>);

impl Secrets {
    fn of(cluster: &Cluster) -> Self {
        let read = |path| fs::read_to_string(path).unwrap();
        let key = read(cluster.lab.directory().join("ca/root-key.pem"));
        let mut all: Vec<_> = key
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .map(|line| ("a line of the root's key".to_owned(), line.as_bytes().to_vec()))
            .collect();
        assert!(!all.is_empty());
        for node in [&cluster.one, &cluster.two] {
            all.push((format!("the token of {}", node.name()), read(node.token_file()).trim().into()));
        }
        for value in ["headers-value-of-xds", "headers-value-of-telemetry", "a-wrong-token"] {
            all.push((value.to_owned(), value.as_bytes().to_vec()));
        }
        // Workloads' keys are known to nobody: any key.
        all.extend(keys::forms().map(|(what, form)| (what.to_owned(), form)));
        Self(all)
    }

    #[track_caller]
    fn assert_absent(&self, from: &str, told: &[u8]) {
        assert!(!told.is_empty(), "{from} says nothing");
        for (what, secret) in &self.0 {
            assert!(secret.len() > 10, "{what} is too short to be looked for");
            let found = told.windows(secret.len()).any(|window| window == secret);
            assert!(!found, "{from} has {what}");
        }
    }
}

fn start() -> Cluster {
    let cluster = Cluster::without_mesh("secrets").unwrap();
    let lab = &cluster.lab;
    lab.enrol_all(&[&cluster.client, &cluster.neighbour, &cluster.server]).unwrap();
    let control = lab.control_launch().unwrap().env("RUST_LOG", "trace");
    let control = lab.start(control).unwrap();
    control.wait_for_log("ready", SOON).unwrap();
    for node in [&cluster.one, &cluster.two] {
        lab.start_agent_as(node, lab.agent_launch(node).unwrap().env("RUST_LOG", "trace")).unwrap();
        let launch = lab.node_launch(node).unwrap();
        let launch = SETTINGS.iter().fold(launch, |launch, (name, value)| launch.env(name, value));
        lab.start_node_as(node, launch).unwrap();
    }
    for pod in [&cluster.client, &cluster.neighbour, &cluster.server] {
        lab.wait_until(SOON, "the pod is captured", || pod.is_captured().unwrap()).unwrap();
    }
    // Traffic, and what is refused.
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"through a tunnel");
    cluster
}

/// A proxy that shows a token nobody has given.
fn start_with_a_wrong_token(cluster: &Cluster) -> Program {
    let lab = &cluster.lab;
    let node = lab.node("three").unwrap();
    let token = lab.directory().join("wrong.token");
    fs::write(&token, "a-wrong-token").unwrap();
    let launch = lab.node_launch(&node).unwrap().env("AUTH_TOKEN", token.display());
    let launch = SETTINGS.iter().fold(launch, |launch, (name, value)| launch.env(name, value));
    let proxy = lab.start(launch).unwrap();
    proxy.wait_for_log("Unauthenticated", SOON).unwrap();
    proxy
}

fn ask(node: &Node, server: ([u8; 4], u16), path: &str) -> Vec<u8> {
    let answer = http::get(node.netns(), server, path).unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.body
}

/// All that can be asked of a node without knowing the name of anything.
fn pages(node: &Node) -> Vec<String> {
    let description: serde_json::Value =
        serde_json::from_slice(&ask(node, ADMIN, "/v1/openapi.json")).unwrap();
    let described = description["paths"].as_object().unwrap().keys();
    let pages: Vec<_> = described.filter(|path| !path.contains('{') && *path != "/v1/why").cloned().collect();
    assert!(pages.len() > 10, "{pages:?}");
    let others = ["/config_dump", "/", "/logging"];
    pages.into_iter().chain(others.map(str::to_owned)).collect()
}

/// A profile is a gzip file, unless it was unpacked on its way.
fn unpacked(profile: Vec<u8>) -> Vec<u8> {
    let mut bytes = Vec::new();
    match flate2::read::GzDecoder::new(&*profile).read_to_end(&mut bytes) {
        Ok(_) => bytes,
        Err(_) => profile,
    }
}

#[test]
fn nothing_that_can_be_read_has_a_secret() {
    let cluster = start();
    let wrong = start_with_a_wrong_token(&cluster);
    let secrets = Secrets::of(&cluster);
    for node in [&cluster.one, &cluster.two] {
        for page in pages(node) {
            // How the log is filtered is told by POST.
            let method = if page == "/logging" { "POST" } else { "GET" };
            let answer = http::request(node.netns(), ADMIN, method, &page).unwrap();
            assert_eq!(answer.status, 200, "{page}: {}", answer.text());
            secrets.assert_absent(&page, &answer.body);
        }
        for page in ["/metrics", "/stats/prometheus"] {
            secrets.assert_absent(page, &ask(node, STATS, page));
        }
        secrets.assert_absent("the agent's metrics", &ask(node, AGENT, "/metrics"));
        ask(node, ADMIN, "/debug/pprof/heap/profiling?activate=true");
        for page in ["/debug/pprof/heap", "/debug/pprof/profile?seconds=1"] {
            secrets.assert_absent(page, &unpacked(ask(node, ADMIN, page)));
        }
    }
    for log in fs::read_dir(cluster.lab.directory()).unwrap() {
        let log = log.unwrap().path();
        if log.extension().is_some_and(|extension| extension == "log") {
            secrets.assert_absent(&log.display().to_string(), &fs::read(&log).unwrap());
        }
    }
    let told = wrong.log_text();
    assert!(told.contains("\ttrace\t") && !told.contains("a-wrong-token"), "it tells all, but that");
    secrets.assert_absent("who is refused", told.as_bytes());
}
