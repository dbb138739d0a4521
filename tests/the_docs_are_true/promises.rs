//! The promises of SECURITY.md, and the tests that keep them.

use std::collections::BTreeSet;
use std::fs;

use super::markdown::Page;
use super::{Flaws, at};
use crate::dashboards_and_alerts_hold::files;

const PAGE: &str = "SECURITY.md";

/// A promise: its heading, and the tests it names.
struct Promise {
    number: usize,
    line: usize,
    tests: Vec<Test>,
}

/// A function, and the file it is said to be in.
struct Test {
    line: usize,
    function: String,
    file: String,
}

/// What is wrong with the list: numbers out of order, promises nobody keeps, tests that do not exist.
pub(super) fn broken() -> Flaws {
    let promises = all(&Page::at(PAGE));
    assert!(promises.len() > 10, "promises are found");
    let mut flaws = Vec::new();
    for (place, Promise { number, line, tests }) in promises.iter().enumerate() {
        if *number != place + 1 {
            flaws.push(format!("{PAGE}:{line}: P{number} comes where P{} should", place + 1));
        }
        if tests.is_empty() {
            flaws.push(format!("{PAGE}:{line}: no test keeps P{number}"));
        }
        let missing = tests.iter().filter(|test| !test.exists());
        flaws
            .extend(missing.map(|Test { line, function, file }| {
                format!("{PAGE}:{line}: {file} has no test {function}")
            }));
    }
    flaws
}

/// Modules of this suite that the page does not name.
pub(super) fn modules_left_out() -> Flaws {
    let page = Page::at(PAGE);
    let named: BTreeSet<_> = page.links().iter().filter_map(|(_, target)| module(target)).collect();
    let modules = declared();
    assert!(modules.len() > 50, "modules are found: {modules:?}");
    let missing = modules.iter().filter(|module| !named.contains(*module));
    missing.map(|module| format!("{PAGE} does not name the tests of {module}")).collect()
}

/// The modules of `main.rs`.
fn declared() -> BTreeSet<String> {
    let main = fs::read_to_string(at("tests/main.rs")).unwrap();
    let names = main.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    names.filter(|name| *name != "harness").map(str::to_owned).collect()
}

/// The module a file of this suite belongs to.
fn module(path: &str) -> Option<String> {
    let below = path.strip_prefix("tests/")?.strip_suffix(".rs")?;
    Some(below.split('/').next()?.to_owned())
}

fn all(page: &Page) -> Vec<Promise> {
    let mut promises: Vec<Promise> = Vec::new();
    let mut is_open = false;
    for (line, text) in &page.prose {
        if text.starts_with('#') {
            let number = text.strip_prefix("### P").and_then(|rest| rest.split_once(". ")?.0.parse().ok());
            is_open = number.is_some();
            promises.extend(number.map(|number| Promise { number, line: *line, tests: Vec::new() }));
        } else if is_open && let (Some(promise), Some(test)) = (promises.last_mut(), Test::read(*line, text))
        {
            promise.tests.push(test);
        }
    }
    promises
}

impl Test {
    /// An item of a list that is a link: `- [function](file)`.
    fn read(line: usize, text: &str) -> Option<Self> {
        let (function, file) = text.strip_prefix("- [")?.strip_suffix(')')?.split_once("](")?;
        Some(Self { line, function: function.to_owned(), file: file.to_owned() })
    }

    /// Whether it is a function with the attribute of a test, in a file that is compiled.
    fn exists(&self) -> bool {
        let Ok(text) = fs::read_to_string(at(&self.file)) else { return false };
        let is_compiled = match module(&self.file) {
            Some(module) => declared().contains(&module) && files("tests", "rs").contains(&self.file),
            None => self.file.starts_with("src/"),
        };
        is_compiled && tests_of(&text).contains(self.function.as_str())
    }
}

/// The names of the tests in a file. Other attributes may stand between.
fn tests_of(text: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line == "#[test]" || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if line.starts_with("#[ignore") {
            is_test = false;
        } else if let Some((_, rest)) = line.split_once("fn ")
            && !line.starts_with("//")
        {
            names.extend(rest.split_once('(').map(|(name, _)| name).filter(|_| is_test));
            is_test = false;
        }
    }
    names
}

#[test]
fn what_is_ignored_or_no_test_keeps_nothing() {
    let text = "#[test]\nfn one() {}\n#[test]\n#[ignore = \"slow\"]\nfn two() {}\nfn three() {}\n\
                #[tokio::test(start_paused = true)]\n#[cfg(unix)]\nasync fn four() {}";
    assert_eq!(tests_of(text), BTreeSet::from(["four", "one"]));
}
