//! What the documentation says can be done was done: its commands run, its files are taken by the programs they are for, its links
//! lead somewhere, and names in it are those the programs have.
//!
//! A block of shell commands is run, or says on the line before why it is not: `<!-- needs: cluster -->`. A file in it is one whose
//! first line is its name, and is there when the commands of its page run.

mod commands;
mod files;
mod links;
mod markdown;
mod names;
mod objects;
mod programs;
mod promises;

use std::path::{Path, PathBuf};

use markdown::Page;

/// What is wrong, each with its place.
type Flaws = Vec<String>;

#[track_caller]
fn assert_none(flaws: &Flaws) {
    assert!(flaws.is_empty(), "{} flaws:\n{}", flaws.len(), flaws.join("\n"));
}

/// A path of the repository.
fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

#[test]
fn commands_can_be_typed_or_say_why_not() {
    let pages = Page::all();
    let flaws: Flaws = pages.iter().flat_map(|page| page.marker_flaws()).collect();
    assert_none(&flaws);
    assert_none(&commands::run(&pages));
}

#[test]
fn files_are_taken_by_the_programs_they_are_for() {
    assert_none(&files::taken(&Page::all()));
}

#[test]
fn objects_are_understood() {
    let pages = Page::all();
    let objects = objects::all(&pages);
    let ours = objects.iter().filter(|object| object.is_judged()).count();
    assert!(ours >= 6, "examples are found: {ours}");
    assert_none(&objects.iter().flat_map(|object| object.flaws()).collect());
}

#[test]
fn a_policy_that_is_refused_says_what_the_page_shows() {
    let page = std::fs::read_to_string(at("docs/policies.md")).unwrap();
    let page: Vec<_> = page.split_whitespace().collect();
    for said in objects::said_of_http() {
        assert!(page.join(" ").contains(&said), "docs/policies.md does not show: {said}");
    }
}

#[test]
fn links_lead_somewhere() {
    let pages = Page::all();
    let flaws: Flaws = pages.iter().flat_map(|page| links::dead(page, &pages)).collect();
    assert_none(&flaws);
}

#[test]
fn every_page_can_be_found() {
    let pages = Page::all();
    for list in ["docs/SUMMARY.md", "README.md"] {
        assert_none(&links::missing(list, &pages));
    }
}

#[test]
fn names_are_those_of_the_programs() {
    let pages = Page::all();
    let known = names::Known::gather();
    assert_none(&pages.iter().flat_map(|page| known.unknown_in(page)).collect());
}

#[test]
fn every_promise_is_kept_by_tests() {
    assert_none(&promises::broken());
}

#[test]
fn every_module_of_tests_is_named() {
    assert_none(&promises::modules_left_out());
}
