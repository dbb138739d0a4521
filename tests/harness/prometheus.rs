//! A Prometheus server on a node, as distributions have it, and what it knows.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;

use culvert_lab::{Lab, Launch, Node, Program, http};
use serde_json::Value;

use super::talk::SOON;

const AT: ([u8; 4], u16) = ([127, 0, 0, 1], 9090);

/// The server.
pub(crate) struct Prometheus {
    node: Node,
    _program: Program,
}

impl Prometheus {
    /// Starts it on a node; each target is scraped every second, as a job of its own.
    #[track_caller]
    pub(crate) fn start(lab: &Lab, node: &Node, targets: &[(&str, SocketAddr, &str)]) -> Self {
        let mut text = String::from("global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n");
        for (job, target, path) in targets {
            writeln!(
                text,
                "- {{job_name: {job}, metrics_path: {path}, static_configs: [{{targets: ['{target}']}}]}}"
            )
            .unwrap();
        }
        let file = lab.directory().join("prometheus.yaml");
        fs::write(&file, text).unwrap();
        let launch = Launch::new("prometheus", "/usr/bin/prometheus", node.netns())
            .arg("--web.listen-address=127.0.0.1:9090")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", lab.directory().join("prometheus").display()));
        let program = lab.start(launch).unwrap();
        let ready = || http::get(node.netns(), AT, "/-/ready").is_ok_and(|answer| answer.status == 200);
        lab.wait_until(SOON * 2, "Prometheus is ready", ready).unwrap();
        Self { node: node.clone(), _program: program }
    }

    /// The sum of what a query finds, `None` if that is nothing.
    #[track_caller]
    pub(crate) fn query(&self, query: &str) -> Option<f64> {
        let found = self.ask(&format!("/api/v1/query?query={}", encoded(query)));
        let values = found["result"].as_array().unwrap().iter();
        let value = |sample: &Value| sample["value"][1].as_str().unwrap().parse::<f64>().unwrap();
        let values: Vec<f64> = values.map(value).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// Waits until a query finds a value.
    #[track_caller]
    pub(crate) fn wait_for(&self, lab: &Lab, query: &str, value: f64) {
        let found = || self.query(query) == Some(value);
        if let Err(error) = lab.wait_until(SOON, query, found) {
            panic!("{query} is {:?}, not {value}: {error:?}", self.query(query));
        }
    }

    /// What is known of a family: its type, its unit and its help.
    #[track_caller]
    pub(crate) fn family(&self, name: &str) -> [String; 3] {
        let found = self.ask(&format!("/api/v1/metadata?metric={name}"));
        ["type", "unit", "help"].map(|part| found[name][0][part].as_str().unwrap_or_default().to_owned())
    }

    /// How the last scrape of a job went: `up`, or what was wrong.
    #[track_caller]
    pub(crate) fn health(&self, job: &str) -> String {
        let found = self.ask("/api/v1/targets");
        let targets = found["activeTargets"].as_array().unwrap();
        let target = targets.iter().find(|target| target["labels"]["job"] == job).unwrap();
        match target["health"].as_str().unwrap() {
            "up" => "up".to_owned(),
            health => format!("{health}: {}", target["lastError"]),
        }
    }

    #[track_caller]
    fn ask(&self, path: &str) -> Value {
        let answer = http::get(self.node.netns(), AT, path).unwrap();
        let said: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(said["status"], "success", "{path}: {said}");
        said["data"].clone()
    }
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        match byte {
            byte if byte.is_ascii_alphanumeric() => all.push(char::from(byte)),
            byte => write!(all, "%{byte:02X}").unwrap(),
        }
        all
    })
}
