//! Dashboards and alerts ask for what there is, alerts fire when they should, and whoever is woken by one finds what to do.

mod alert;
mod dashboard;
mod expression;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use alert::{Alert, Runbook};
use dashboard::Dashboard;

/// What Prometheus itself knows.
const OF_PROMETHEUS: &[&str] = &["up"];
/// How families of ours begin.
const BEGINNINGS: &[&str] = &["culvert_", "istio_", "workload_manager_", "tokio_", "process_"];
/// What one family of a histogram is made of.
const OF_HISTOGRAMS: &[&str] = &["_bucket", "_sum", "_count"];

/// An expression, and where it is.
struct Asked {
    place: String,
    expression: String,
}

#[test]
fn what_is_asked_for_is_there() {
    let there = families();
    assert!(there.len() > 60, "families are found in the source: {there:?}");
    let alerts = Alert::all().iter().map(Alert::asked).collect::<Vec<_>>();
    let dashboards = Dashboard::all();
    let shown = dashboards.iter().flat_map(|it| [it.asked(), it.chosen_from()]).flatten();
    let mut unknown = Vec::new();
    for asked in alerts.into_iter().chain(shown) {
        let names = expression::families(&asked.expression);
        assert!(!names.is_empty(), "{} asks for nothing: {}", asked.place, asked.expression);
        let missing = names.into_iter().filter(|name| !is_there(name, &there));
        unknown.extend(missing.map(|name| format!("{name} ({})", asked.place)));
    }
    assert!(unknown.is_empty(), "no program shows {unknown:#?}");
}

#[test]
fn dashboards_are_in_order() {
    let dashboards = Dashboard::all();
    assert!(dashboards.len() >= 2);
    let mut uids = BTreeSet::new();
    for dashboard in &dashboards {
        let name = &dashboard.name;
        let uid = dashboard.it["uid"].as_str().unwrap_or_default();
        assert!(!uid.is_empty() && uids.insert(uid), "{name}: its uid is `{uid}`");
        assert!(dashboard.it["schemaVersion"].as_u64() >= Some(38), "{name}: Grafana 10 and later");
        let ids: BTreeSet<_> = dashboard.panels().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), dashboard.panels().count(), "{name}: panels with the same id");
        let flaws: Vec<_> = dashboard.panels().flat_map(|panel| dashboard.flaws(panel)).collect();
        assert!(flaws.is_empty(), "{flaws:#?}");
    }
}

#[test]
fn prometheus_understands_what_dashboards_ask() {
    let mut rules = String::from("groups:\n- name: dashboards\n  rules:\n");
    let dashboards = Dashboard::all();
    let all = dashboards.iter().flat_map(|it| it.asked().into_iter().map(|asked| it.filled_in(&asked)));
    for (number, expression) in all.enumerate() {
        // JSON's strings are YAML's, too.
        let expression = serde_json::Value::from(expression.unwrap());
        writeln!(rules, "  - {{record: asked{number}, expr: {expression}}}").unwrap();
    }
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboards.rules.yaml");
    fs::write(&file, rules).unwrap();
    promtool(&["check", "rules"], &file);
}

#[test]
fn alerts_fire_when_they_should() {
    promtool(&["check", "rules"], &at(alert::RULES));
    promtool(&["test", "rules"], &at(alert::CASES));
    let names = names(&Alert::all(), Alert::name);
    let cases = alert::cases();
    for fires in [true, false] {
        let tried = cases.iter().filter(|case| case.1 == fires).map(|case| case.0.clone()).collect();
        assert_eq!(names, tried, "each alert has a case for fires = {fires}");
    }
}

#[test]
fn each_alert_has_a_runbook() {
    let (alerts, runbooks) = (Alert::all(), Runbook::all());
    assert_eq!(names(&alerts, Alert::name), names(&runbooks, |it| &it.name));
    let of_alerts = alerts.iter().flat_map(Alert::flaws);
    let flaws: Vec<_> = of_alerts.chain(runbooks.iter().flat_map(|it| it.flaws(&runbooks))).collect();
    assert!(flaws.is_empty(), "{flaws:#?}");
}

/// The names of all, each of which is another one.
#[track_caller]
fn names<T>(all: &[T], name: impl Fn(&T) -> &str) -> BTreeSet<String> {
    let names: BTreeSet<_> = all.iter().map(|it| name(it).to_owned()).collect();
    assert_eq!(names.len(), all.len(), "a name is there twice: {names:?}");
    names
}

pub(crate) fn is_there(name: &str, there: &BTreeSet<String>) -> bool {
    let is_part = |end: &&str| {
        name.strip_suffix(*end).is_some_and(|family| !family.ends_with("_total") && there.contains(family))
    };
    OF_PROMETHEUS.contains(&name) || there.contains(name) || OF_HISTOGRAMS.iter().any(is_part)
}

/// The names of all alerts.
pub(crate) fn alerts() -> BTreeSet<String> {
    names(&Alert::all(), Alert::name)
}

/// The families the programs' source names, tests left out.
pub(crate) fn families() -> BTreeSet<String> {
    let is_name = |text: &String| {
        BEGINNINGS.iter().any(|it| text.starts_with(it))
            && text.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_')
    };
    quoted().into_iter().filter(is_name).collect()
}

/// What is between quotation marks in the programs' source, tests left out; as far as it has none within.
pub(crate) fn quoted() -> BTreeSet<String> {
    let sources = files("src", "rs").into_iter().filter(|path| !path.contains("tests"));
    sources.flat_map(|path| text(&path).split('"').map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// All files with this ending in a directory of the repository, in order.
pub(crate) fn files(directory: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(at(directory)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{directory}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&path, ending));
        } else if path.ends_with(&format!(".{ending}")) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn text(path: &str) -> String {
    fs::read_to_string(at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A path of the repository.
fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Has promtool judge a file.
#[track_caller]
fn promtool(words: &[&str], file: &Path) {
    let output = Command::new("promtool").args(words).arg(file).output().expect("promtool is installed");
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "promtool {words:?}: {}", said.concat());
}
