//! The documents of a text: where each begins, and what it says.
//!
//! Goes in: YAML with any number of documents, or JSON. Comes out: a value for each document, or the first thing that is wrong with
//! it: what is wrong with one says nothing about the others. **Invariant:** all documents together cost no more than their length,
//! and once a bounded amount more for what they repeat by aliases.

use std::thread;

use serde::de::IgnoredAny;
use serde_saphyr::{Location, Options};

use super::located::Located;

/// Reads documents.
#[derive(Debug)]
pub(super) struct Reader {
    /// How much more may be made of what is yet to come than is written there.
    allowance: usize,
}

/// One document, or why it cannot be read.
#[derive(Debug)]
pub(super) struct Document {
    /// The number of lines before it.
    pub(super) before: u64,
    pub(super) content: Result<Located, Broken>,
}

/// What is wrong with a document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// The line, counted from the document's first one.
    pub(super) line: u64,
    pub(super) what: String,
}

/// What some editors begin a text with.
const MARK: char = '\u{feff}';
/// More than anybody repeats who writes manifests.
const FOR_ALIASES: usize = 250_000;
/// Schemas of custom resources are about half as deep.
const DEEPEST: usize = 100;
/// The parser calls itself for each level, and needs up to 30 KiB for that when it is not optimised.
const STACK: usize = 32 << 20;

impl Default for Reader {
    fn default() -> Self {
        Self { allowance: FOR_ALIASES }
    }
}

impl Reader {
    /// Reads the documents of a text. What says nothing is none.
    pub(super) fn read(&mut self, text: &str) -> Vec<Document> {
        thread::scope(|scope| {
            let reading = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || self.all(text));
            let read = reading.map_err(|error| error.to_string());
            let read =
                read.and_then(|reading| reading.join().map_err(|_| "the parser has failed".to_owned()));
            read.unwrap_or_else(|what| vec![Document { before: 0, content: Err(Broken { line: 1, what }) }])
        })
    }

    fn all(&mut self, text: &str) -> Vec<Document> {
        let text = text.strip_prefix(MARK).unwrap_or(text);
        let filled = split(text).into_iter().filter(|(_, text)| !is_void(text));
        filled.map(|(before, text)| Document { before, content: self.one(text) }).collect()
    }

    fn one(&mut self, text: &str) -> Result<Located, Broken> {
        match serde_saphyr::from_str_with_options::<Located>(text, options(text.len(), self.allowance)) {
            Ok(located) => {
                self.allowance -= located.lines.count().saturating_sub(text.len()).min(self.allowance);
                Ok(located)
            }
            Err(error) => {
                // Nobody tells what that has cost.
                self.allowance /= 2;
                Err(broken(&error))
            }
        }
    }
}

/// Tells whether there is no document in a text.
pub(super) fn says_nothing(text: &str) -> bool {
    let text = text.strip_prefix(MARK).unwrap_or(text);
    split(text).into_iter().all(|(_, text)| is_void(text))
}

/// Cuts a text into documents; each part comes with the number of lines before it.
fn split(text: &str) -> Vec<(u64, &str)> {
    values(text).unwrap_or_else(|| parts(text))
}

/// Cuts JSON values apart that follow each other, as programs write them and `kubectl` reads them.
fn values(text: &str) -> Option<Vec<(u64, &str)>> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let (mut values, mut start, mut before) = (Vec::new(), 0, 0);
    while let Some(value) = stream.next() {
        value.ok()?;
        let value = &text[start..stream.byte_offset()];
        values.push((before, value));
        start = stream.byte_offset();
        before += value.matches('\n').count() as u64;
    }
    Some(values)
}

/// Cuts a text before every line that begins a document.
fn parts(text: &str) -> Vec<(u64, &str)> {
    let (mut parts, mut start, mut at, mut before) = (Vec::new(), 0, 0, 0);
    for (number, line) in (0..).zip(text.split_inclusive('\n')) {
        if is_marker(line) && at > start {
            parts.push((before, &text[start..at]));
            (start, before) = (at, number);
        }
        at += line.len();
    }
    parts.push((before, &text[start..]));
    parts
}

/// Three dashes at the beginning of a line begin a document, whatever is before them.
fn is_marker(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Tells whether there is nothing but comments and what belongs to the document that follows.
fn is_void(text: &str) -> bool {
    let says_nothing = |line: &str| line.is_empty() || line.starts_with(['#', '%']) || line == "...";
    text.lines().all(|line| {
        let line = if is_marker(line) { &line[3..] } else { line };
        says_nothing(line.trim())
    })
}

/// As `kubectl` reads: `on` is a boolean, and 0644 is octal.
pub(super) fn options(length: usize, allowance: usize) -> Options {
    let work = length.saturating_mul(2).saturating_add(allowance).saturating_add(16);
    serde_saphyr::options! {
        with_snippet: false,
        legacy_octal_numbers: true,
        budget: serde_saphyr::budget! {
            max_depth: DEEPEST,
            flow_nesting_limit: DEEPEST,
            max_events: work,
            max_nodes: work,
            max_total_scalar_bytes: work,
            // What they repeat is counted.
            enforce_alias_anchor_ratio: false,
        },
    }
}

fn broken(error: &serde_saphyr::Error) -> Broken {
    let location = error.location().unwrap_or(Location::UNKNOWN);
    Broken { line: location.line().max(1), what: said(error, location) }
}

fn said(error: &serde_saphyr::Error, location: Location) -> String {
    if let serde_saphyr::Error::DuplicateMappingKey { key, .. } = error {
        let key = key.as_deref().map_or_else(String::new, |key| format!(" `{key}`"));
        return format!("the key{key} is there twice");
    }
    if let serde_saphyr::Error::MultipleDocuments { .. } = error {
        return "another document begins here, and there is no line `---` before it".to_owned();
    }
    if let serde_saphyr::Error::Budget { .. } | serde_saphyr::Error::AliasReplayLimitExceeded { .. } = error {
        return "it is too deep, or repeats too much by aliases".to_owned();
    }
    let text = error.to_string();
    let place = format!(" at line {}, column {}", location.line(), location.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(text: &str) -> Vec<(u64, Result<Value, u64>)> {
        let content = |document: Document| {
            let content = document.content.map(|located| located.value);
            (document.before, content.map_err(|broken| broken.line))
        };
        Reader::default().read(text).into_iter().map(content).collect()
    }

    #[test]
    fn each_document_is_read_on_its_own_and_knows_where_it_begins() {
        let text = "# nothing\n---\na: 1\n---\n# nothing either\n--- # the next one\nb: [\n---\r\nc: |\n  ---\n  x\n...\n--- {d: 1}\n";
        let expected = [
            (1, Ok(json!({"a": 1}))),
            (5, Err(2)),
            (7, Ok(json!({"c": "---\nx\n"}))),
            (12, Ok(json!({"d": 1}))),
        ];
        assert_eq!(read(text), expected);
    }

    #[test]
    fn json_is_read_with_its_lines_whatever_it_is_indented_by() {
        for indent in ["  ", "\t", ""] {
            let text = format!("{{\n{indent}\"a\": {{\n{indent}{indent}\"b/c\": [\"\\u00e9\\/\"]\n}}\n}}\n");
            let documents = Reader::default().read(&text);
            let located = documents[0].content.as_ref().unwrap();
            assert_eq!(located.value, json!({"a": {"b/c": ["é/"]}}));
            assert_eq!(located.lines.of("a[b/c]"), 3, "{indent:?}");
        }
    }

    #[test]
    fn values_of_json_may_follow_each_other() {
        let text = "{\"a\": \"}\\n---\"}\n{\"b\":\n1}{\"c\": 1}\n";
        let expected = [(0, Ok(json!({"a": "}\n---"}))), (0, Ok(json!({"b": 1}))), (2, Ok(json!({"c": 1})))];
        assert_eq!(read(text), expected);
        let documents = Reader::default().read(text);
        assert_eq!(documents[1].content.as_ref().unwrap().lines.of("b"), 2);
        // This is YAML.
        assert_eq!(read("{a: 1}\n---\n{\"b\": 1}\n"), [(0, Ok(json!({"a": 1}))), (1, Ok(json!({"b": 1})))]);
        assert_eq!(read("{\"a\": 1}\n---\n{\"b\": 1}\n").len(), 2);
    }

    #[test]
    fn a_document_without_a_line_before_it_is_told() {
        let documents = Reader::default().read("a: 1\n...\nb: 1\n");
        let what = "another document begins here, and there is no line `---` before it".to_owned();
        assert_eq!(*documents[0].content.as_ref().unwrap_err(), Broken { line: 3, what });
    }

    #[test]
    fn what_was_refused_has_cost_something_as_well() {
        let mut reader = Reader::default();
        let refused = format!("a: &a [{}]\nb: [{}]\nc: [\n", "x,".repeat(100), "*a,".repeat(1_000));
        let readable = format!("a: &a [{}]\nb: [{}]\n", "x,".repeat(100), "*a,".repeat(1_500));
        assert!(Reader::default().read(&readable)[0].content.is_ok());
        for _ in 0..4 {
            assert!(reader.read(&refused)[0].content.is_err());
        }
        assert!(reader.read(&readable)[0].content.is_err());
    }

    #[test]
    fn a_key_that_is_there_twice_is_named() {
        let documents = Reader::default().read("a: 1\nb: {c: 1}\na: 2\n");
        let broken = documents[0].content.as_ref().unwrap_err();
        assert_eq!(*broken, Broken { line: 3, what: "the key `a` is there twice".to_owned() });
    }

    #[test]
    fn what_is_too_deep_or_multiplies_is_refused_before_it_costs_much() {
        let deep = "[".repeat(100_000);
        let indented: String = (0..5_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..12 {
            let before = format!("*a{},", level - 1).repeat(10);
            bomb += &format!("a{level}: &a{level} [{before}]\n");
        }
        for text in [&deep, &indented, &bomb] {
            assert!(matches!(read(text).as_slice(), [(0, Err(_))]), "{}", &text[..60]);
        }
    }

    #[test]
    fn what_aliases_repeat_is_paid_for_once_for_all_documents() {
        let one = format!("a: &a [{}]\nb: [{}]\n", "x,".repeat(100), "*a,".repeat(250));
        let many = vec![one; 40].join("---\n");
        let documents = Reader::default().read(&many);
        let readable = documents.iter().filter(|document| document.content.is_ok()).count();
        assert!((5..=15).contains(&readable), "{readable} of 40");
        assert!(documents.last().unwrap().content.is_err());
    }
}
