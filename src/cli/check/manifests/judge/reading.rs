//! Whether files and objects can be read at all.

use std::path::Path;

use culvert_derive::Kind;

use crate::check::finding::{Check, Finding, Place, Verdict};
use crate::check::manifests::document::Broken;
use crate::check::manifests::known::{Mistake, What};
use crate::check::manifests::shelf::{Manifest, Origin, Shelf};
use crate::check::manifests::source::Unread;
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

const RENDER: &str = "render templates first: helm template . | culvert check --manifests -";
/// What a name has in it that nobody has filled in.
const TEMPLATES: [&str; 3] = ["{{", "${", "<%"];
/// So much of a name is told.
const NAMED: usize = 64;
/// By these names kustomize knows what it builds.
const LAYERS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "kustomization.json"];

/// A file or a directory that is not looked at as a whole.
pub(in crate::check::manifests) fn unread(name: &str, why: &Unread) -> Finding {
    let place = Place { file: name.to_owned(), line: 1, object: None, path: None };
    match why {
        Unread::Broken(why) => FILE.at(place, Verdict::problem(why, "mend it, or take it out"), LOST),
        Unread::Elsewhere => {
            let verdict = Verdict::unknown(
                "this link leads to a directory, or out of the one that was named, and is not followed",
                "name it as well if manifests are there: culvert check --manifests DIR LINK",
            );
            FILE.at(place, verdict, "what is there is not looked at")
        }
    }
}

/// A document that is no YAML.
pub(in crate::check::manifests) fn document(origin: &Origin, broken: &Broken, is_template: bool) -> Finding {
    let place =
        Place { file: origin.file.to_string(), line: origin.before + broken.line, object: None, path: None };
    let remedy = match is_template {
        true => RENDER,
        false => "correct it",
    };
    FILE.at(place, Verdict::problem(format!("this cannot be read: {}", broken.what), remedy), LOST)
}

/// How much has been looked at, and what it is before it is built.
pub(in crate::check::manifests) fn begin(files: &[String], shelf: &Shelf) -> Vec<Finding> {
    let is_layer = |file: &&String| LAYERS.iter().any(|name| Path::new(*file).ends_with(name));
    let layers: Vec<String> = files.iter().filter(is_layer).cloned().collect();
    let unbuilt = (!layers.is_empty()).then(|| {
        MANIFESTS.finding(Verdict::unknown(
            format!(
                "what kustomize builds: its layers are looked at one by one, as they are written: {}",
                some(layers)
            ),
            "build them first: kustomize build DIR | culvert check --manifests -",
        ))
    });
    [counts(files.len(), shelf)].into_iter().chain(unbuilt).collect()
}

fn counts(files: usize, shelf: &Shelf) -> Finding {
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
    MANIFESTS.finding(match shelf.len() {
        0 => Verdict::unknown(found, "see whether the right files are named"),
        _ => Verdict::ok(found),
    })
}

fn counted(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

pub(super) fn judge(world: &World<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = world.shelf.manifests().flat_map(texts).collect();
    let unreadable = world.derived.unreadable.iter();
    findings.extend(unreadable.map(|(manifest, path, why)| object(manifest, path, why)));
    findings.extend(world.shelf.manifests().filter(|it| is_nameless_elsewhere(it)).map(nameless));
    findings.extend(world.shelf.manifests().filter_map(misnamed));
    findings.extend(world.shelf.mistaken.iter().map(|(place, mistake)| mistaken(place, mistake)));
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
        What::Derived(_) | What::Controller(..) | What::NetworkPolicy | What::ServiceAccount => {
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

/// A name that nothing can have.
fn misnamed(manifest: &Manifest) -> Option<Finding> {
    let names = [("metadata.name", &manifest.name, 253), ("metadata.namespace", &manifest.namespace, 63)];
    let (path, name, _) = names.into_iter().find(|(_, name, longest)| !is_name(name, *longest))?;
    let remedy = match TEMPLATES.iter().any(|mark| name.contains(mark)) {
        true => RENDER,
        false => "write lower-case letters, digits, `-` and, but for namespaces, `.`",
    };
    let name: String = name.chars().take(NAMED).collect();
    let verdict = Verdict::problem(format!("nothing can be called `{name}`"), remedy);
    Some(OBJECT.at(manifest.place(path), verdict, "the API server refuses the object"))
}

/// Tells whether a name is one, or is not there. The beginning of one may end in a dash.
fn is_name(name: &str, longest: usize) -> bool {
    let inner =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || (c == '.' && longest > 63);
    name.len() <= longest && name.chars().all(inner) && !name.starts_with(['-', '.']) && !name.ends_with('.')
}

fn mistaken(place: &Place, mistake: &Mistake) -> Finding {
    let verdict = Verdict::problem(&mistake.found, &mistake.remedy);
    OBJECT.at(place.clone(), verdict, "the API server refuses it; to the mesh it is not there")
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
