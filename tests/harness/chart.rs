//! The Helm chart as Helm renders it, and what others say of it: questions to `tests/peers/chart.py`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// Where the chart is, in the repository.
const CHART: &str = "deploy/helm/culvert";

/// A rendering of the chart.
#[derive(Debug)]
pub(crate) struct Rendered {
    /// All objects, by file.
    pub(crate) objects: Vec<Value>,
    /// What Helm tells whoever has installed it.
    pub(crate) notes: String,
}

/// The cluster the chart is rendered for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cluster<'c> {
    /// Of Kubernetes; that of Helm's library without.
    pub(crate) version: Option<&'c str>,
    /// Beside those every cluster has.
    pub(crate) apis: &'c [&'c str],
}

/// A container of a rendered workload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Container<'r> {
    /// The whole object the container is in.
    pub(crate) workload: &'r Value,
    /// The container itself.
    pub(crate) it: &'r Value,
}

/// A path of the repository.
pub(crate) fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Renders the chart; the error is Helm's.
#[track_caller]
pub(crate) fn render(values: &Value) -> Result<Rendered, String> {
    render_in("culvert-system", values)
}

/// Renders the chart as released into a namespace; the error is Helm's.
#[track_caller]
pub(crate) fn render_in(namespace: &str, values: &Value) -> Result<Rendered, String> {
    rendered(&json!({ "chart": at(CHART), "values": values, "namespace": namespace }))
}

/// Renders the chart for a cluster; the error is Helm's.
#[track_caller]
pub(crate) fn render_for(cluster: Cluster<'_>, values: &Value) -> Result<Rendered, String> {
    let Cluster { version, apis } = cluster;
    rendered(&json!({ "chart": at(CHART), "values": values, "version": version, "apis": apis }))
}

#[track_caller]
fn rendered(question: &Value) -> Result<Rendered, String> {
    let answer = ask("render", question);
    match answer["error"].as_str() {
        Some(error) => Err(error.to_owned()),
        None => Ok(Rendered {
            objects: answer["objects"].as_array().unwrap().clone(),
            notes: answer["notes"].as_str().unwrap().to_owned(),
        }),
    }
}

/// What Helm's linter has against the chart with these values; hints left out.
#[track_caller]
pub(crate) fn lint(values: &Value) -> Vec<String> {
    texts(&ask("lint", &json!({ "chart": at(CHART), "values": values })))
}

/// What the strict schemas of Kubernetes' versions have against objects.
#[track_caller]
pub(crate) fn complaints(versions: &[&str], objects: &[Value]) -> Vec<String> {
    texts(&ask("validate", &json!({ "versions": versions, "objects": objects })))
}

/// What a schema has against each of these objects.
#[track_caller]
pub(crate) fn nonconformities(schema: &Value, objects: &[Value]) -> Vec<Option<String>> {
    let answer = ask("conform", &json!({ "schema": schema, "objects": objects }));
    answer.as_array().unwrap().iter().map(|it| it.as_str().map(str::to_owned)).collect()
}

/// What admission policies say to each of these requests.
#[track_caller]
pub(crate) fn refusals(policies: &[&Value], requests: &[Value]) -> Vec<Vec<String>> {
    let answer = ask("admit", &json!({ "policies": policies, "requests": requests }));
    answer.as_array().unwrap().iter().map(texts).collect()
}

/// All that an installation with defaults is made of, as text.
#[track_caller]
pub(crate) fn manifest() -> String {
    said("manifest", &json!({ "chart": at(CHART) }))
}

/// The definitions of the resources the chart brings, as a program reads them.
#[track_caller]
pub(crate) fn definitions() -> Vec<Value> {
    let files = std::fs::read_dir(at(CHART).join("crds")).unwrap();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    files.map(|entry| read(entry.unwrap().path())).collect()
}

impl Rendered {
    /// The objects of a kind.
    pub(crate) fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(move |it| it["kind"] == *kind)
    }

    /// The object of a kind and name.
    #[track_caller]
    pub(crate) fn named(&self, kind: &str, name: &str) -> &Value {
        let found = self.objects.iter().find(|it| it["kind"] == *kind && it["metadata"]["name"] == *name);
        found.unwrap_or_else(|| panic!("no {kind} {name} is rendered"))
    }

    /// The pod template of the workload of this name.
    #[track_caller]
    pub(crate) fn template(&self, name: &str) -> &Value {
        let workload = self.objects.iter().find(|it| is_workload(it) && it["metadata"]["name"] == name);
        &workload.unwrap_or_else(|| panic!("no workload {name} is rendered"))["spec"]["template"]
    }

    /// All containers, those that run first included.
    pub(crate) fn containers(&self) -> Vec<Container<'_>> {
        let mut containers = Vec::new();
        for workload in self.objects.iter().filter(|it| is_workload(it)) {
            let spec = &workload["spec"]["template"]["spec"];
            let lists = ["initContainers", "containers"].into_iter().filter_map(|key| spec[key].as_array());
            containers.extend(lists.flatten().map(|it| Container { workload, it }));
        }
        containers
    }

    /// The container of this name.
    #[track_caller]
    pub(crate) fn container(&self, name: &str) -> Container<'_> {
        let found = self.containers().into_iter().find(|it| it.it["name"] == name);
        found.unwrap_or_else(|| panic!("no container {name} is rendered"))
    }
}

impl Container<'_> {
    /// The program it runs, by the name of its image.
    pub(crate) fn program(&self) -> &str {
        let image = self.it["image"].as_str().unwrap();
        let name = image.rsplit('/').next().unwrap();
        name.split(':').next().unwrap()
    }

    /// The names and values of its environment; no value for what only kubelet knows.
    pub(crate) fn environment(&self) -> Vec<(&str, Option<&str>)> {
        let variables = self.it["env"].as_array().unwrap().iter();
        variables.map(|it| (it["name"].as_str().unwrap(), it["value"].as_str())).collect()
    }

    /// The value of a variable.
    #[track_caller]
    pub(crate) fn variable(&self, name: &str) -> &str {
        let found = self.environment().into_iter().find(|it| it.0 == name).and_then(|it| it.1);
        found.unwrap_or_else(|| panic!("{} is not set in {}", name, self.it["name"]))
    }

    /// What it is started with.
    pub(crate) fn arguments(&self) -> Vec<String> {
        texts(self.it.get("args").unwrap_or(&json!([])))
    }
}

fn is_workload(object: &Value) -> bool {
    matches!(object["kind"].as_str(), Some("Deployment" | "DaemonSet"))
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn ask(what: &str, question: &Value) -> Value {
    serde_json::from_str(&said(what, question)).unwrap()
}

#[track_caller]
fn said(what: &str, question: &Value) -> String {
    let target =
        Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the directory is inside cargo's target");
    let python = target.join("charts/bin/python");
    assert!(python.exists(), "{} is missing; run tests/peers/charts.sh (make test does)", python.display());
    let mut command = Command::new(python);
    command.arg(at("tests/peers/chart.py")).arg(what).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(question.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "chart.py {what}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}
