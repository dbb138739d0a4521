//! Whether files and objects can be read at all.

use culvert_derive::Kind;

use crate::check::finding::{Check, Finding, Place, Verdict};
use crate::check::manifests::document::Broken;
use crate::check::manifests::shelf::{Manifest, Origin, Shelf, What};
use crate::check::manifests::world::{World, some};

pub(super) const MANIFESTS: Check =
    Check { name: "manifests-seen", why: "what is not among the manifests is not judged" };
pub(super) const FILE: Check =
    Check { name: "file-readable", why: "what is in a document that cannot be read is not looked at" };
pub(super) const OBJECT: Check = Check {
    name: "object-readable",
    why: "the API server refuses an object with values of wrong types; a policy nobody can read denies what it could govern",
};
pub(super) const TWICE: Check =
    Check { name: "object-once", why: "of two manifests for one object the one that is applied last counts" };

/// What is in a file that cannot be read says nothing.
const LOST: &str = "nothing in it is looked at, and kubectl applies nothing of it";

/// A file that cannot be read as a whole.
pub(in crate::check::manifests) fn file(name: &str, why: &str) -> Finding {
    let place = Place { file: name.to_owned(), line: 1, object: None, path: None };
    FILE.at(place, Verdict::problem(format!("the file {why}"), "mend it, or take it out"), LOST)
}

/// A document that is no YAML.
pub(in crate::check::manifests) fn document(origin: &Origin, broken: &Broken, is_template: bool) -> Finding {
    let place =
        Place { file: origin.file.to_string(), line: origin.before + broken.line, object: None, path: None };
    let remedy = match is_template {
        true => "render templates first: helm template . | culvert check --manifests -",
        false => "correct it",
    };
    FILE.at(place, Verdict::problem(format!("this cannot be read: {}", broken.what), remedy), LOST)
}

/// How much has been looked at.
pub(in crate::check::manifests) fn counts(files: usize, shelf: &Shelf) -> Finding {
    let mut found = format!("{} in {}", counted(shelf.len(), "object"), counted(files, "file"));
    let others: usize = shelf.others.values().sum();
    if others > 0 {
        let mut kinds: Vec<(&String, &usize)> = shelf.others.iter().collect();
        kinds.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let kinds = some(kinds.into_iter().map(|(kind, count)| format!("{count} {kind}")));
        found += &format!("; {others} of other kinds are not looked at: {kinds}");
    }
    if shelf.strays > 0 {
        found += &format!("; of no kind at all: {}", counted(shelf.strays, "document"));
    }
    MANIFESTS.finding(Verdict::ok(found))
}

fn counted(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

pub(super) fn judge(world: &World<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = world.shelf.manifests().flat_map(texts).collect();
    let unreadable = world.derived.unreadable.iter();
    findings.extend(unreadable.map(|(manifest, path, why)| object(manifest, path, why)));
    findings.extend(world.shelf.manifests().filter(|it| is_nameless_elsewhere(it)).map(nameless));
    findings.extend(world.shelf.replaced().map(|(first, last)| twice(first, last)));
    findings
}

fn object(manifest: &Manifest, path: &str, why: &str) -> Finding {
    let effect = match manifest.what {
        What::Derived(Kind::AuthorizationPolicy) => {
            "the API server refuses it; were it there, nobody would get in where it could govern"
        }
        What::Derived(Kind::PeerAuthentication) => {
            "the API server refuses it; were it there, plaintext would be refused where it could govern"
        }
        What::Derived(_) | What::Controller(..) | What::NetworkPolicy => {
            "the API server refuses it; to the mesh it is not there"
        }
    };
    OBJECT.at(
        manifest.place(path),
        Verdict::problem(format!("the object cannot be read: {why}"), "correct it"),
        effect,
    )
}

/// What the mesh is not derived from itself is read by nobody else here.
fn is_nameless_elsewhere(manifest: &Manifest) -> bool {
    manifest.name.is_empty() && !matches!(manifest.what, What::Derived(_))
}

fn nameless(manifest: &Manifest) -> Finding {
    object(manifest, "", "the object has no name")
}

fn texts(manifest: &Manifest) -> Vec<Finding> {
    let finding = |path: &String| {
        let verdict =
            Verdict::problem("names, labels and annotations are texts, and this is none", "put it in quotes");
        OBJECT.at(manifest.place(path), verdict, "the API server refuses the object")
    };
    manifest.untexts.iter().map(finding).collect()
}

fn twice(first: &Manifest, last: &Manifest) -> Finding {
    let counts = last.place("");
    let verdict = Verdict::warning(
        format!("the same object is at {}:{}", counts.file, counts.line),
        "remove one of them; if these are layers of kustomize, check what it builds: kustomize build | culvert check --manifests -",
    );
    TWICE.at(
        first.place(""),
        verdict,
        "the other one is taken to be applied last, and this one is not looked at",
    )
}
