//! The objects of all files that have a say in the mesh, each with the place it is written at; the others are counted.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use culvert_derive::{Key, Kind, Labels};
use serde_json::Value;

use super::known::{self, CUSTOM, Mistake, What};
use super::located::{Lines, Located};
use crate::check::finding::Place;

/// All objects that matter.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    manifests: Vec<Manifest>,
    /// The others, by kind.
    pub(super) others: BTreeMap<String, usize>,
    /// Documents that are no objects.
    pub(super) strays: usize,
    /// What is none of the kinds that matter, and was probably meant to be one.
    pub(super) mistaken: Vec<(Place, Mistake)>,
    by_name: BTreeMap<Name, usize>,
}

/// One object as it is written.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) what: What,
    /// Empty for what is in none.
    pub(super) namespace: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) value: Value,
    /// The ways to labels, annotations and names that are no texts; they are kept as the texts they were probably meant to be.
    pub(super) untexts: Vec<String>,
    lines: Lines,
    origin: Origin,
}

/// Where objects come from.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) file: Rc<str>,
    /// The number of lines before the document.
    pub(super) before: u64,
}

type Name = (What, Arc<str>, Arc<str>);

/// A kind nobody knows may be called anything; so much of it is told.
const NAMED: usize = 64;

impl Shelf {
    /// Takes what a document says: an object, a list of objects, or something else. What is in no namespace is put into `home`.
    pub(super) fn take(&mut self, document: Located, origin: &Origin, home: &Arc<str>) {
        let Located { mut value, lines } = document;
        let Some(kind) = value["kind"].as_str().map(str::to_owned) else {
            self.strays += 1;
            return;
        };
        if kind.ends_with("List") && value["items"].is_array() {
            let items = if let Value::Array(items) = value["items"].take() { items } else { Vec::new() };
            for (value, lines) in items.into_iter().zip(lines.into_items("items")) {
                self.take(Located { value, lines }, origin, home);
            }
            return;
        }
        let version = value["apiVersion"].as_str().unwrap_or_default();
        if let Some(mistake) = known::mistake(version, &kind) {
            let title = format!("{kind} {}", value["metadata"]["name"].as_str().unwrap_or_default());
            self.mistaken.push((origin.place(&lines, mistake.field, Some(title)), mistake));
        }
        match What::of(known::halves(version).0, &kind).or_else(|| What::like_others(&value)) {
            Some(what) => self.put(Manifest::new(what, value, lines, origin.clone(), home)),
            None => *self.others.entry(kind.chars().take(NAMED).collect()).or_default() += 1,
        }
    }

    fn put(&mut self, manifest: Manifest) {
        let name = (manifest.what, manifest.namespace.clone(), manifest.name.clone());
        self.by_name.insert(name, self.manifests.len());
        self.manifests.push(manifest);
    }

    /// Counts all that matter.
    pub(super) fn len(&self) -> usize {
        self.manifests.len()
    }

    /// Gives those that count: of several with one name, the last.
    pub(super) fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.manifests.iter().enumerate().filter(|(at, it)| self.counting(*at, it) == *at).map(|(_, it)| it)
    }

    /// Gives those of a kind.
    pub(super) fn of(&self, what: What) -> impl Iterator<Item = &Manifest> {
        self.manifests().filter(move |manifest| manifest.what == what)
    }

    /// Gives those in whose place another one counts, and that one.
    pub(super) fn replaced(&self) -> impl Iterator<Item = (&Manifest, &Manifest)> {
        self.manifests.iter().enumerate().filter_map(|(at, it)| {
            let counts = self.counting(at, it);
            (counts != at).then(|| (it, &self.manifests[counts]))
        })
    }

    /// Gives the one with this key.
    pub(super) fn called(&self, key: &Key) -> Option<&Manifest> {
        let name = (What::Derived(key.kind), key.namespace.clone(), key.name.clone());
        self.by_name.get(&name).map(|at| &self.manifests[*at])
    }

    /// Gives a namespace.
    pub(super) fn namespace(&self, name: &str) -> Option<&Manifest> {
        self.called(&Key { kind: Kind::Namespace, namespace: Arc::default(), name: name.into() })
    }

    /// Which of those with its name counts. Of what has no name there may be several, and of custom kinds as well.
    fn counting(&self, at: usize, manifest: &Manifest) -> usize {
        let name = (manifest.what, manifest.namespace.clone(), manifest.name.clone());
        let last = self.by_name.get(&name).copied();
        last.filter(|_| !manifest.name.is_empty() && manifest.what != CUSTOM).unwrap_or(at)
    }
}

impl Origin {
    /// Gives the place of something in an object.
    fn place(&self, lines: &Lines, path: &str, object: Option<String>) -> Place {
        let path = Some(path).filter(|path| !path.is_empty());
        let line = self.before + lines.of(path.unwrap_or_default());
        Place { file: self.file.to_string(), line, object, path: path.map(str::to_owned) }
    }
}

impl Manifest {
    fn new(what: What, mut value: Value, lines: Lines, origin: Origin, home: &Arc<str>) -> Self {
        if value["metadata"].is_null() {
            value["metadata"] = Value::Object(serde_json::Map::new());
        }
        let mut untexts = Vec::new();
        into_texts(
            value.get_mut("metadata"),
            "metadata",
            &["name", "namespace", "generateName"],
            &mut untexts,
        );
        let meta = &mut value["metadata"];
        if !what.is_of_cluster() && meta["namespace"].as_str().is_none_or(str::is_empty) && meta.is_object() {
            meta["namespace"] = (&**home).into();
        }
        if meta["name"].as_str().is_none_or(str::is_empty) && meta["generateName"].is_string() {
            meta["name"] = meta["generateName"].clone();
        }
        let text = |field: &str| Arc::from(meta[field].as_str().unwrap_or_default());
        let namespace = if what.is_of_cluster() { Arc::default() } else { text("namespace") };
        let name = text("name");
        labels_into_texts(&mut value, "", &mut untexts);
        if let What::Controller(_, template) = what {
            labels_into_texts(&mut value, template, &mut untexts);
        }
        Self { what, namespace, name, value, untexts, lines, origin }
    }

    /// Gives the place of something in it; of the object as a whole when the path is empty.
    pub(super) fn place(&self, path: &str) -> Place {
        self.origin.place(&self.lines, path, Some(self.title()))
    }

    /// What people call it: `Deployment shop/web`.
    pub(super) fn title(&self) -> String {
        let own = self.value["kind"].as_str().filter(|_| self.what == CUSTOM);
        let kind = own.unwrap_or_else(|| self.what.kind());
        let name = if self.name.is_empty() { "without a name" } else { &self.name };
        match &*self.namespace {
            "" => format!("{kind} {name}"),
            namespace => format!("{kind} {namespace}/{name}"),
        }
    }

    /// Gives what is at a path of plain fields.
    pub(super) fn at(&self, path: &str) -> &Value {
        path.split('.').filter(|field| !field.is_empty()).fold(&self.value, |value, field| &value[field])
    }

    /// Gives one of its labels.
    pub(super) fn label(&self, key: &str) -> Option<&str> {
        self.value["metadata"]["labels"][key].as_str()
    }

    /// Gives what names it among objects the mesh is derived from.
    pub(super) fn key(&self) -> Option<Key> {
        let What::Derived(kind) = self.what else { return None };
        Some(Key { kind, namespace: self.namespace.clone(), name: self.name.clone() })
    }

    /// Tells whether something else that is there has made it.
    pub(super) fn is_owned(&self) -> bool {
        let owners = self.value["metadata"]["ownerReferences"].as_array();
        owners.is_some_and(|owners| owners.iter().any(|owner| owner["controller"] == true))
    }
}

/// Makes texts of the labels and annotations of what is at `at`, and notes which were none.
fn labels_into_texts(value: &mut Value, at: &str, untexts: &mut Vec<String>) {
    let start = Some(at).filter(|at| !at.is_empty()).map_or_else(String::new, |at| format!("{at}."));
    for field in ["labels", "annotations"] {
        let path = format!("{start}metadata.{field}");
        let found = value.pointer_mut(&format!("/{}", path.replace('.', "/")));
        let keys = found.as_ref().and_then(|it| it.as_object()).into_iter().flatten();
        let keys: Vec<String> =
            keys.filter(|(_, value)| !value.is_string()).map(|(key, _)| key.clone()).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        into_texts(found, &path, &keys, untexts);
    }
}

/// Makes texts of the fields with these names, and notes which were none. Nothing is no text, and becomes an empty one.
fn into_texts(object: Option<&mut Value>, at: &str, fields: &[&str], untexts: &mut Vec<String>) {
    let Some(object) = object.and_then(Value::as_object_mut) else { return };
    for field in fields {
        let Some(value) = object.get_mut(*field).filter(|value| !value.is_string()) else { continue };
        untexts.push(if at == "metadata" { format!("{at}.{field}") } else { format!("{at}[{field}]") });
        *value = if value.is_null() { "".into() } else { value.to_string().into() };
    }
}

/// Gives the labels that are texts.
pub(super) fn labels(written: &Value) -> Labels {
    let pairs = written.as_object().into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))).collect()
}
