//! What docs/install.md and the chart's README tell newcomers to type can be typed: files are there, settings are known, objects are
//! valid, and what needs no cluster is run.

use std::fs;
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::harness::chart::{at, complaints, definitions, nonconformities, refusals, render};
use crate::harness::cluster::programs;

const GUIDE: &str = "docs/install.md";
const CHART: &str = "deploy/helm/culvert/README.md";

/// A block of commands, and what was said before it about where it can be run.
struct Block {
    marked: String,
    text: String,
}

#[test]
fn every_block_says_what_it_needs_and_what_needs_nothing_is_run() {
    let blocks = blocks(GUIDE);
    assert!(blocks.len() >= 8);
    let culvert = programs().unwrap().agent.parent().unwrap().to_owned();
    let path = format!("{}:{}", culvert.display(), std::env::var("PATH").unwrap());
    let mut run = 0;
    for Block { marked, text } in &blocks {
        match &**marked {
            "<!-- cluster -->" => {}
            "<!-- run -->" => {
                let output = Command::new("sh").args(["-ec", text]).env("PATH", &path).output().unwrap();
                let said = [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
                // A problem of this machine is an answer, too.
                assert!(matches!(output.status.code(), Some(0 | 1)), "{text}: {}", said.concat());
                run += 1;
            }
            other => panic!("neither run nor said to need a cluster: {other}\n{text}"),
        }
    }
    assert!(run > 0);
}

#[test]
fn files_that_are_named_are_there() {
    let mut named = 0;
    for Block { text, .. } in blocks(GUIDE).into_iter().chain(blocks(CHART)) {
        for word in text.split(|it: char| it.is_whitespace() || it == '\'') {
            if word.starts_with("docs/") || word.starts_with("deploy/") {
                assert!(at(word).exists(), "{word} in: {text}");
                named += 1;
            }
        }
    }
    assert!(named >= 8, "{named}");
}

#[test]
fn settings_that_are_named_are_known() {
    let mut named = 0;
    for path in [GUIDE, CHART, "docs/issuers.md", "docs/upgrade.md"] {
        let text = fs::read_to_string(at(path)).unwrap();
        let settings =
            text.split("--set ").skip(1).filter_map(|it| it.split([' ', '`', '\n']).next()?.split_once('='));
        for (key, value) in settings.filter(|it| it.1 != "NAME") {
            let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
            let values = key
                .rsplit('.')
                .fold(value, |value, part| Value::Object(Map::from_iter([(part.to_owned(), value)])));
            render(&values).unwrap_or_else(|error| panic!("{path}: {values}: {error}"));
            named += 1;
        }
    }
    assert!(named >= 8, "{named}");
}

#[test]
fn policies_that_are_shown_are_those_that_are_applied() {
    let guide = fs::read_to_string(at(GUIDE)).unwrap();
    let shown = guide
        .split("```yaml\n# ")
        .skip(1)
        .map(|it| it.split("```").next().unwrap().split_once('\n').unwrap());
    let shown: Vec<_> = shown.collect();
    assert_eq!(shown.len(), 1);
    for (path, text) in shown {
        assert_eq!(fs::read_to_string(at(path)).unwrap(), text, "{path}");
    }
}

#[test]
fn objects_that_are_applied_are_taken() {
    let shop = objects("docs/install/shop.yaml");
    let complaints = complaints(&["1.30", "1.37"], &shop);
    assert!(complaints.is_empty(), "{complaints:#?}");
    let rendered = render(&json!({})).unwrap();
    let checks: Vec<_> = rendered.of_kind("ValidatingAdmissionPolicy").collect();
    for path in ["docs/install/deny.yaml", "docs/install/strict.yaml"] {
        for object in objects(path) {
            let definition =
                definitions().into_iter().find(|it| it["spec"]["names"]["kind"] == object["kind"]).unwrap();
            let version = object["apiVersion"].as_str().unwrap().rsplit('/').next().unwrap();
            let served =
                definition["spec"]["versions"].as_array().unwrap().iter().find(|it| it["name"] == version);
            let schema = &served.unwrap()["schema"]["openAPIV3Schema"];
            assert_eq!(nonconformities(schema, std::slice::from_ref(&object)), [None], "{path}");
            let request = json!({ "resource": definition["spec"]["names"]["plural"], "operation": "CREATE", "object": object });
            assert_eq!(refusals(&checks, &[request]), [[""; 0]], "{path}");
        }
    }
}

/// The policy is about the client that is there.
#[test]
fn the_policy_names_the_client_and_selects_the_server() {
    let shop = objects("docs/install/shop.yaml");
    let pod =
        |name: &str| shop.iter().find(|it| it["kind"] == "Pod" && it["metadata"]["name"] == name).unwrap();
    let policy = &objects("docs/install/deny.yaml")[0];
    let (client, web) = (pod("client"), pod("web"));
    let account = client["spec"]["serviceAccountName"].as_str().unwrap();
    let namespace = client["metadata"]["namespace"].as_str().unwrap();
    let trust_domain =
        render(&json!({})).unwrap().container("culvert-control").variable("TRUST_DOMAIN").to_owned();
    let principal = format!("{trust_domain}/ns/{namespace}/sa/{account}");
    assert_eq!(policy["spec"]["rules"][0]["from"][0]["source"]["principals"], json!([principal]));
    assert_eq!(policy["spec"]["selector"]["matchLabels"], web["metadata"]["labels"]);
    assert_ne!(client["metadata"]["labels"], web["metadata"]["labels"]);
    assert_eq!(policy["metadata"]["namespace"], web["metadata"]["namespace"]);
}

fn objects(path: &str) -> Vec<Value> {
    let text = fs::read_to_string(at(path)).unwrap();
    text.split("\n---\n")
        .map(|it| serde_saphyr::from_str(it).unwrap_or_else(|error| panic!("{path}: {error}")))
        .collect()
}

/// All blocks of commands of a document.
fn blocks(path: &str) -> Vec<Block> {
    let text = fs::read_to_string(at(path)).unwrap();
    let mut parts = text.split("```sh\n");
    let mut before = parts.next().unwrap();
    let mut blocks = Vec::new();
    for part in parts {
        let (commands, rest) = part.split_once("```").unwrap();
        let marked = before.trim_end().lines().last().unwrap_or_default().to_owned();
        blocks.push(Block { marked, text: commands.to_owned() });
        before = rest;
    }
    blocks
}
