//! What is found in manifests, and where.

use super::*;
use crate::check::finding::State;
use crate::check::report;
use crate::output::{Format, Paint, Screen};

mod bounds;
mod rows;

/// A namespace in the mesh, and an application in it with all one may write for it.
const GOOD: &str = include_str!("testdata/shop.yaml");

/// Looks at texts by name.
fn look(texts: &[(&str, &str)]) -> Vec<Finding> {
    let texts = texts.iter().map(|(name, text)| ((*name).to_owned(), Ok((*text).to_owned())));
    judged(texts, "default", Settings::default())
}

/// What needs somebody's attention.
fn troubles(texts: &[(&str, &str)]) -> Vec<Finding> {
    look(texts).into_iter().filter(|finding| finding.state >= State::Warning).collect()
}

#[test]
fn good_manifests_give_nothing_but_how_many_they_are() {
    let findings = look(&[("shop.yaml", GOOD)]);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert_eq!(findings[0].state, State::Ok);
    assert_eq!(
        findings[0].found,
        "14 objects in 1 file; 2 of other kinds are not looked at: 1 ConfigMap, 1 HorizontalPodAutoscaler"
    );
}

#[test]
fn a_list_is_the_objects_in_it() {
    let list = "kind: List\napiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata:\n    name: x\n    labels: {istio.io/dataplane-mode: ambiant}\n";
    let nested = format!("apiVersion: v1\nkind: NamespaceList\nitems:\n- {}", list.replace('\n', "\n  "));
    for (text, line) in [(list.to_owned(), 8), (nested, 11)] {
        let found = troubles(&[("list.yaml", &text)]);
        let place = found[0].place.clone().unwrap();
        assert_eq!((found.len(), place.line, place.object.as_deref()), (1, line, Some("Namespace x")));
    }
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_still_looked_at() {
    let broken = "apiVersion: v1\nkind: Namespace\nmetadata: {name: x\n---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: yy\n  labels:\n    istio.io/dataplane-mode: on\n";
    let after = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: z\n  labels:\n    istio.io/dataplane-mode: Ambient\n";
    let found = troubles(&[("a.yaml", broken), ("b.yaml", after)]);
    let places: Vec<_> = found
        .iter()
        .map(|finding| {
            let place = finding.place.as_ref().unwrap();
            (finding.name, place.file.as_str(), place.line)
        })
        .collect();
    assert_eq!(
        places,
        [
            ("file-readable", "a.yaml", 3),
            ("object-readable", "a.yaml", 10),
            ("label-value", "a.yaml", 10),
            ("label-value", "b.yaml", 6),
        ]
    );
}

#[test]
fn findings_are_in_the_order_of_files_and_lines() {
    let bad = "apiVersion: v1\nkind: Namespace\nmetadata: {name: one, labels: {istio.io/dataplane-mode: 'off'}}\n---\na: [\n---\n";
    let twice = format!("{bad}{}", bad.replace("one", "two"));
    let places = |finding: &Finding| finding.place.as_ref().map(|place| (place.file.clone(), place.line));
    let places: Vec<_> = troubles(&[("b.yaml", bad), ("a.yaml", &twice)]).iter().map(places).collect();
    assert_eq!(places.len(), 6);
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn a_file_that_cannot_be_read_at_all_is_a_problem() {
    let texts = [("a.yaml".to_owned(), Err(Unread::Broken("the file is no UTF-8 text".to_owned())))];
    let findings = judged(texts, "default", Settings::default());
    let problem = findings.iter().find(|finding| finding.state == State::Problem).unwrap();
    assert_eq!((problem.name, problem.found.as_str()), ("file-readable", "the file is no UTF-8 text"));
}

#[test]
fn a_template_that_was_not_rendered_says_what_to_do() {
    let template = "metadata:\n  name: {{ .Release.Name }}\n  labels: {{ x }} y\n---\n";
    let found = troubles(&[("web.yaml", &template.repeat(3))]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].remedy.as_deref().unwrap().starts_with("render templates first: helm template"));
}

#[test]
fn the_settings_of_the_mesh_are_those_that_are_said() {
    let policy = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: shop}\nspec: {rules: [{from: [{source: {principals: [corp.example/ns/shop/sa/web]}}]}]}\n";
    let root = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: a, namespace: mesh}\nspec: {selector: {matchLabels: {app: web}}, mtls: {mode: STRICT}}\n";
    let names = |settings: Settings, text: &str| -> Vec<&'static str> {
        let texts =
            [("shop.yaml".to_owned(), Ok(GOOD.to_owned())), ("a.yaml".to_owned(), Ok(text.to_owned()))];
        let findings = judged(texts, "default", settings).into_iter();
        findings.filter(|finding| finding.state >= State::Warning).map(|finding| finding.name).collect()
    };
    let usual = Settings::default;
    assert_eq!(names(usual(), policy), ["policy-trust-domain"]);
    // Everything else in the directory is of the usual one.
    let corp = Settings { trust_domain: "corp.example".into(), ..usual() };
    assert_eq!(names(corp, policy), ["policy-trust-domain"; 3]);
    assert_eq!(names(usual(), root), [""; 0]);
    let mesh = Settings { root_namespace: "mesh".into(), ..usual() };
    assert_eq!(names(mesh, root), ["policy-understood", "policy-selects"][..1]);
}

#[test]
fn nothing_files_say_is_obeyed_by_a_terminal() {
    let evil = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: \"x\\e[2J\\u202e\"\n  labels:\n    istio.io/dataplane-mode: \"\\e]0;x\\a\"\n---\nkind: \"\\e[31m\"\n---\n\"\\e[1m\": [\n";
    let findings = look(&[("\u{1b}[2Jevil.yaml", evil)]);
    assert!(findings.len() >= 3, "{findings:#?}");
    for format in [Format::Table, Format::Json, Format::Yaml] {
        let screen = Screen { width: Some(80), paint: Paint::new(false) };
        let text = report::tell(format, &findings, &screen).unwrap();
        assert!(!text.contains(|c: char| c != '\n' && (c.is_control() || c == '\u{202e}')), "{text:?}");
    }
}

#[test]
fn people_read_where_what_and_why_and_programs_the_same() {
    let text = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: x\n  labels:\n    istio.io/dataplane-mode: ambiant\n";
    let findings = troubles(&[("dir/x.yaml", text)]);
    let told = report::tell(Format::Table, &findings, &Screen { width: Some(80), paint: Paint::new(false) });
    let expected = "\
problem  label-value  dir/x.yaml:6 Namespace x metadata.labels[istio.io/dataplane-mode]
                      `ambiant` means nothing here
                      why: the namespace is not in the mesh: its pods speak
                      plaintext, and nobody enforces policies for them
                      do:  write ambient, or none

0 ok, 0 unknown, 0 with a warning, 1 with a problem
";
    assert_eq!(told.unwrap(), expected);
    let json = report::tell(Format::Json, &findings, &Screen::plain()).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let place = serde_json::json!({
        "file": "dir/x.yaml", "line": 6, "object": "Namespace x", "path": "metadata.labels[istio.io/dataplane-mode]",
    });
    assert_eq!(json["findings"][0]["place"], place);
}
