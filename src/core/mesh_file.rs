//! The mesh written down in one YAML (or JSON) file: workloads, services, policies.
//!
//! Goes in: the text of the file. Comes out: the mesh, or the first thing in it that is wrong, with its place. A file is
//! taken whole or not at all: an unknown key, a value that makes no sense, or two entries with one key reject it, because
//! a policy that is understood by half protects nobody. Deliberately absent: reading and watching the file.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use serde::Deserialize;
use serde_saphyr::{Location, Options, Spanned};

use crate::intern::Interner;
use crate::policy::Policy;
use crate::service::Service;
use crate::workload::Workload;

use list::List;

mod endpoints;
mod list;
mod policy;
mod service;
mod value;
mod workload;

/// Everything a file or a control plane says about the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mesh {
    /// The workloads.
    pub workloads: Vec<Workload>,
    /// The services.
    pub services: Vec<Service>,
    /// The policies.
    pub policies: Vec<Policy>,
}

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct Error {
    /// The line, counted from 1.
    pub line: u64,
    /// The column, counted from 1.
    pub column: u64,
    /// What is wrong there and what to write.
    pub message: String,
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    #[serde(default)]
    workloads: List<Spanned<workload::Entry>>,
    #[serde(default)]
    services: List<Spanned<service::Entry>>,
    #[serde(default)]
    policies: List<Spanned<policy::Entry>>,
}

/// Reads a mesh file.
///
/// # Errors
/// When anything in it is not understood; nothing of the file counts then.
pub fn parse(text: &str) -> Result<Mesh, Error> {
    let file: Option<File> =
        serde_saphyr::from_str_with_options(text, options(text)).map_err(|error| explain(&error))?;
    let Some(file) = file else { return Err(empty()) };
    let mut names = Interner::default();
    let mut workloads = convert(file.workloads, |entry| {
        let workload = entry.into_workload(&mut names)?;
        Ok((workload.uid.clone(), workload))
    })?;
    let services = convert(file.services, |entry| {
        let (service, endpoints) = entry.into_service(&mut names)?;
        Ok((service.key(), (service, endpoints)))
    })?;
    let policies = convert(file.policies, |entry| {
        let policy = entry.into_policy(&mut names)?;
        Ok((policy.key.clone(), policy))
    })?;
    let services = endpoints::fold(services, &mut workloads, &mut names);
    Ok(Mesh { workloads, services, policies })
}

/// Converts entries one by one; no two may have one key.
fn convert<E, T>(
    List(entries): List<Spanned<E>>,
    mut convert: impl FnMut(E) -> Result<(Arc<str>, T), String>,
) -> Result<Vec<T>, Error> {
    let mut lines: HashMap<Arc<str>, u64> = HashMap::with_capacity(entries.len());
    let mut converted = Vec::with_capacity(entries.len());
    for Spanned { value, referenced, .. } in entries {
        let (key, value) = convert(value).map_err(|message| at(referenced, message))?;
        match lines.entry(key) {
            Entry::Vacant(free) => free.insert(referenced.line()),
            Entry::Occupied(taken) => {
                let (key, line) = (taken.key(), taken.get());
                return Err(at(
                    referenced,
                    format!("`{key}` is already defined on line {line}; remove one of the two"),
                ));
            }
        };
        converted.push(value);
    }
    Ok(converted)
}

/// A file without content is more likely cut short than meant to take every workload out of the mesh.
fn empty() -> Error {
    Error { line: 1, column: 1, message: "the file is empty; write `{}` for a mesh of nothing".to_owned() }
}

/// The parser may do as much work as the length of the text justifies, and a bounded amount more for aliases.
fn options(text: &str) -> Options {
    const FOR_ALIASES: usize = 1_000_000;
    let work = text.len().saturating_mul(2).saturating_add(FOR_ALIASES);
    serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_events: work,
            max_nodes: work,
            max_total_scalar_bytes: work,
        },
    }
}

/// Turns an error of the parser into ours.
fn explain(error: &serde_saphyr::Error) -> Error {
    let location = error.location().unwrap_or(Location::UNKNOWN);
    at(location, message(error, location))
}

fn message(error: &serde_saphyr::Error, location: Location) -> String {
    if let serde_saphyr::Error::SerdeUnknownField { field, expected, .. } = error {
        return format!("unknown key `{field}`; the keys known here are {}", expected.join(", "));
    }
    if let serde_saphyr::Error::SerdeMissingField { field, .. } = error {
        return format!("the key `{field}` is missing; add it");
    }
    if let serde_saphyr::Error::SerdeUnknownVariant { variant, expected, .. } = error {
        return format!("`{variant}` is unknown; write one of {}", expected.join(", "));
    }
    if let serde_saphyr::Error::MultipleDocuments { .. } = error {
        return "a second document starts here; a mesh file is one document".to_owned();
    }
    if let serde_saphyr::Error::TaggedEnumMismatch { tagged, .. } = error {
        return format!(
            "the tag `!{tagged}` is unknown here; write one of {}",
            value::STRING_MATCHES.join(", ")
        );
    }
    let text = error.to_string();
    let place = format!(" at line {}, column {}", location.line(), location.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

fn at(location: Location, message: String) -> Error {
    Error { line: location.line(), column: location.column(), message }
}

#[cfg(test)]
mod tests;
