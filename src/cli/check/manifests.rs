//! `culvert check --manifests`: what Culvert would make of manifests, and what is wrong with them, before anything is applied.
//!
//! In go files; out come findings, each with its place, what comes of it and a remedy. The mesh is derived from the manifests by what
//! derives it in a cluster, so that both say the same. No cluster is asked, and what is not among the manifests is not guessed.

use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use culvert_derive::Settings;

use super::finding::{Check, Finding};
use document::Reader;
use shelf::{Origin, Shelf};
use source::{Source, Unread};
use world::World;

mod derived;
mod document;
mod judge;
mod known;
mod located;
mod pods;
mod shelf;
mod source;
mod world;

#[cfg(test)]
mod tests;

/// What all checks of manifests are called together.
pub(crate) const NAME: &str = "manifests";
/// All of them.
pub(crate) const CHECKS: &[&Check] = &judge::CHECKS;

/// What manifests are looked at, and as what.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// Look at manifests in place of this host: files, directories to be searched, `-` for standard input
    #[arg(
        long,
        value_name = "PATH",
        num_args = 1..,
        conflicts_with_all = [
            "netns", "pid", "pod_rules", "cni_conf_dir", "agent_socket", "node_socket", "kubectl", "xds", "ca", "root", "env_of",
        ],
    )]
    manifests: Vec<PathBuf>,

    /// The trust domain the mesh is to have
    #[arg(long, value_name = "NAME", default_value_t = Settings::default().trust_domain.to_string(), requires = "manifests")]
    trust_domain: String,

    /// What names of services end in
    #[arg(long, value_name = "NAME", default_value_t = Settings::default().domain.to_string(), requires = "manifests")]
    cluster_domain: String,

    /// The namespace of the installation, whose policies hold everywhere
    #[arg(long, value_name = "NAME", default_value_t = Settings::default().root_namespace.to_string(), requires = "manifests")]
    root_namespace: String,

    /// The namespace that manifests are applied to which name none
    #[arg(short, long, value_name = "NAME", default_value = "default", requires = "manifests")]
    namespace: String,
}

/// Why manifests cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot look at {}", path.display())]
    Unseen { path: PathBuf, source: io::Error },
    #[error("there is no file *.yaml, *.yml or *.json in {named}; name the directory of the manifests")]
    Nothing { named: String },
    #[error("there is nothing in {named}; see whether what was to write the manifests has failed")]
    Empty { named: String },
}

/// Tells whether this is the name of a check of manifests, or of all.
pub(crate) fn knows(name: &str) -> bool {
    name == NAME || CHECKS.iter().any(|check| check.name == name)
}

/// The names of all checks, for people who mistyped one.
pub(crate) fn names() -> String {
    CHECKS.iter().map(|check| check.name).collect::<Vec<_>>().join(", ")
}

impl Options {
    /// Tells whether manifests are looked at.
    pub(crate) fn is_given(&self) -> bool {
        !self.manifests.is_empty()
    }

    /// Looks at the manifests. What was found is in the order of files and lines.
    ///
    /// # Errors
    /// When there is nothing to look at.
    pub(crate) fn look(&self) -> Result<Vec<Finding>, Error> {
        let sources = Source::all(&self.manifests);
        let sources = sources.map_err(|(path, source)| Error::Unseen { path, source })?;
        if sources.is_empty() {
            return Err(Error::Nothing { named: self.named() });
        }
        let mut is_empty = true;
        let texts = sources.iter().map(|source| (source.name(), source.text()));
        let texts = texts.inspect(|(_, text)| {
            is_empty &= text.as_ref().is_ok_and(|text| document::says_nothing(text));
        });
        let findings = judged(texts, &self.namespace, self.settings());
        // What says nothing is nothing to be content with.
        if is_empty { Err(Error::Empty { named: self.named() }) } else { Ok(findings) }
    }

    fn named(&self) -> String {
        let named: Vec<String> = self.manifests.iter().map(|it| it.display().to_string()).collect();
        named.join(", ")
    }

    fn settings(&self) -> Settings {
        Settings {
            trust_domain: self.trust_domain.as_str().into(),
            domain: self.cluster_domain.as_str().into(),
            root_namespace: self.root_namespace.as_str().into(),
            ..Settings::default()
        }
    }
}

/// Judges texts by name. What is in no namespace is put into `home`.
fn judged(
    texts: impl IntoIterator<Item = (String, Result<String, Unread>)>,
    home: &str,
    settings: Settings,
) -> Vec<Finding> {
    let (mut shelf, mut reader, home) = (Shelf::default(), Reader::default(), Arc::from(home));
    let (mut findings, mut files) = (Vec::new(), Vec::new());
    for (name, text) in texts {
        match text {
            Ok(text) => findings.extend(read(&name, &text, &mut reader, &mut shelf, &home)),
            Err(why) => findings.push(judge::reading::unread(&name, &why)),
        }
        files.push(name);
    }
    let pods = pods::all(&shelf);
    findings.extend(judge::all(&World::new(settings, &shelf, &pods)));
    findings.sort_by(|one, other| one.place.cmp(&other.place));
    let begin = judge::reading::begin(&files, &shelf);
    begin.into_iter().chain(findings).collect()
}

/// Reads one text; gives what cannot be read of it.
fn read(name: &str, text: &str, reader: &mut Reader, shelf: &mut Shelf, home: &Arc<str>) -> Vec<Finding> {
    let (file, is_template): (Rc<str>, _) = (name.into(), text.contains("{{"));
    let mut findings = Vec::new();
    for document in reader.read(text) {
        let origin = Origin { file: file.clone(), before: document.before };
        match document.content {
            Ok(located) => shelf.take(located, &origin, home),
            // Of a template that was not rendered nothing more is to be said.
            Err(_) if is_template && !findings.is_empty() => {}
            Err(broken) => findings.push(judge::reading::document(&origin, &broken, is_template)),
        }
    }
    findings
}
