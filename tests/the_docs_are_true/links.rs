//! Where links lead.

use std::path::{Component, Path, PathBuf};

use super::markdown::Page;
use super::{Flaws, at};

/// Links of a page that lead nowhere. Those out of the repository are not followed.
pub(super) fn dead(page: &Page, pages: &[Page]) -> Flaws {
    let mut flaws = Vec::new();
    for (line, target) in page.links() {
        if target.starts_with("https://") || target.starts_with("http://") {
            continue;
        }
        let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
        let path = if path.is_empty() { page.path.clone() } else { beside(&page.path, path) };
        if !at(&path).exists() {
            flaws.push(format!("{}:{line}: there is no {path}", page.path));
        } else if !anchor.is_empty() && !has_anchor(&path, anchor, pages) {
            flaws.push(format!("{}:{line}: {path} has no heading for #{anchor}", page.path));
        }
    }
    flaws
}

/// Pages that a list of them does not lead to.
pub(super) fn missing(list: &str, pages: &[Page]) -> Flaws {
    let page = pages.iter().find(|page| page.path == list).expect("the list is there");
    let listed: Vec<_> = page.links().iter().map(|(_, target)| beside(list, target)).collect();
    let others =
        pages.iter().map(|page| &page.path).filter(|path| !path.ends_with("SUMMARY.md") && *path != list);
    others.filter(|path| !listed.contains(path)).map(|path| format!("{list} does not list {path}")).collect()
}

fn has_anchor(path: &str, anchor: &str, pages: &[Page]) -> bool {
    let read;
    let page = match pages.iter().find(|page| page.path == path) {
        Some(page) => page,
        None => {
            read = Page::at(path);
            &read
        }
    };
    page.anchors().iter().any(|it| it == anchor)
}

/// A path as it is meant in a file, within the repository.
fn beside(file: &str, path: &str) -> String {
    let joined = Path::new(file).parent().unwrap_or(Path::new("")).join(path);
    let mut plain = PathBuf::new();
    for part in joined.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::Normal(part) => plain.push(part),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    plain.display().to_string()
}
