//! Pages as far as they matter here: blocks, headings, what is written as code, and links.

use std::fs;

use super::{Flaws, at};
use crate::dashboards_and_alerts_hold::files;

/// A page of the documentation.
pub(super) struct Page {
    /// Within the repository.
    pub(super) path: String,
    pub(super) blocks: Vec<Block>,
    /// The other lines, with their numbers.
    pub(super) prose: Vec<(usize, String)>,
    comments: Vec<(usize, String)>,
}

/// What is between two fences.
pub(super) struct Block {
    /// Of the first fence.
    pub(super) line: usize,
    pub(super) language: String,
    pub(super) text: String,
    /// What the comment on the line before says.
    pub(super) marker: Option<Marker>,
}

/// What is to be done with commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Marker {
    /// They need something that is not there, or take too long.
    NotHere,
    /// The last of them runs until somebody ends it, which may be done when it has said this.
    Until(String),
}

/// Why commands are not run.
const REASONS: [&str; 5] =
    ["needs: cluster", "needs: istio", "needs: a node", "needs: root on a node", "takes: a build"];

impl Page {
    /// All there are.
    pub(super) fn all() -> Vec<Self> {
        let mut paths = files("docs", "md");
        paths.extend(["README.md", "SECURITY.md"].map(str::to_owned));
        assert!(paths.len() > 15, "pages are found: {paths:?}");
        paths.iter().map(|path| Self::at(path)).collect()
    }

    /// One of them, or another file of this form.
    pub(super) fn at(path: &str) -> Self {
        Self::read(path.to_owned(), &fs::read_to_string(at(path)).unwrap())
    }

    fn read(path: String, text: &str) -> Self {
        let mut page = Self { path, blocks: Vec::new(), prose: Vec::new(), comments: Vec::new() };
        let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
        while let Some((number, line)) = lines.next() {
            if let Some(language) = line.strip_prefix("```") {
                let body: Vec<_> =
                    lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
                let before = page.comments.last().filter(|(at, _)| at + 1 == number);
                let marker = before.and_then(|(_, comment)| Marker::read(comment));
                page.blocks.push(Block {
                    line: number,
                    language: language.to_owned(),
                    text: body.join("\n"),
                    marker,
                });
            } else if line.starts_with("<!--") {
                page.comments.push((number, line.to_owned()));
            } else {
                page.prose.push((number, line.to_owned()));
            }
        }
        page
    }

    /// Whether its commands have a test of their own, with markers of its own.
    pub(super) fn is_tried_elsewhere(&self) -> bool {
        self.path == "docs/install.md"
    }

    /// Comments that mean nothing, or nothing where they are.
    pub(super) fn marker_flaws(&self) -> Flaws {
        if self.is_tried_elsewhere() {
            return Vec::new();
        }
        let is_before_commands =
            |line: usize| self.blocks.iter().any(|block| block.line == line + 1 && block.is_shell());
        let flaw = |(line, comment): &(usize, String)| {
            let what = match Marker::read(comment) {
                None => Some(format!("`{comment}` is none of the markers {REASONS:?}")),
                Some(_) if !is_before_commands(*line) => Some(format!("`{comment}` is not before commands")),
                Some(_) => None,
            };
            what.map(|what| format!("{}:{line}: {what}", self.path))
        };
        self.comments.iter().filter_map(flaw).collect()
    }

    /// Texts that are written as code within prose, each with its line. One that is broken by the end of a line is joined.
    pub(super) fn codes(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        let mut paragraphs: Vec<(usize, String)> = Vec::new();
        let mut is_open = false;
        for (number, line) in &self.prose {
            let goes_on = is_open && !line.is_empty() && !line.starts_with(['|', '#', '-']);
            match paragraphs.last_mut().filter(|_| goes_on) {
                Some((_, paragraph)) => *paragraph = format!("{paragraph} {line}"),
                None => paragraphs.push((*number, line.clone())),
            }
            is_open = !line.is_empty();
        }
        for (number, paragraph) in &paragraphs {
            found.extend(paragraph.split('`').skip(1).step_by(2).map(|code| (*number, code.to_owned())));
        }
        found
    }

    /// Where links lead, each with its line.
    pub(super) fn links(&self) -> Vec<(usize, String)> {
        let of_line = |(number, line): &(usize, String)| {
            let text: String = line.split('`').step_by(2).collect();
            let ends = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
            ends.map(|(target, _)| (*number, target.to_owned())).collect::<Vec<_>>()
        };
        self.prose.iter().flat_map(of_line).collect()
    }

    /// The names links can have for its headings, made as GitHub and mdBook make them.
    pub(super) fn anchors(&self) -> Vec<String> {
        let mut anchors: Vec<String> = Vec::new();
        for (_, line) in &self.prose {
            let heading = line.trim_start_matches('#');
            if heading.len() == line.len() || !heading.starts_with(' ') {
                continue;
            }
            let kept = heading.trim().to_lowercase();
            let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | ' '));
            let slug: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
            let same = anchors.iter().filter(|other| **other == slug).count();
            anchors.push(if same == 0 { slug } else { format!("{slug}-{same}") });
        }
        anchors
    }
}

impl Block {
    pub(super) fn is_shell(&self) -> bool {
        ["sh", "bash", "console"].contains(&&*self.language)
    }

    /// The name of the file it is, if it is one.
    pub(super) fn file(&self) -> Option<&str> {
        let name = self.text.strip_prefix("# ")?.split([' ', ',', '\n']).next()?;
        name.ends_with(".yaml").then_some(name)
    }
}

impl Marker {
    fn read(comment: &str) -> Option<Self> {
        let says = comment.strip_prefix("<!-- ")?.strip_suffix(" -->")?;
        if REASONS.contains(&says) {
            return Some(Self::NotHere);
        }
        let text = says.strip_prefix("runs: until it says \"")?.strip_suffix('"')?;
        Some(Self::Until(text.to_owned()))
    }
}
