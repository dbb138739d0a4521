//! What one file says: its resources, encoded.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::sync::Arc;

use culvert_core::mesh_file;
use culvert_discovery::catalog::{Collection, Entry};

use super::Problem;

/// The name of a resource: names of addresses and of policies are no business of each other.
pub(super) type Key = (Collection, Arc<str>);

/// The resources of one file.
pub(super) type Content = BTreeMap<Key, Arc<Entry>>;

/// Reads the text of a file.
pub(super) fn read(text: &str) -> Result<Content, Problem> {
    let mesh = mesh_file::parse(text)?;
    let workloads = mesh.workloads.iter().map(Entry::workload);
    let services = mesh.services.iter().map(Entry::service);
    let policies = mesh.policies.iter().map(Entry::policy);
    let mut content = Content::new();
    for entry in workloads.chain(services).chain(policies) {
        match content.entry((entry.collection(), entry.name.clone())) {
            btree_map::Entry::Vacant(free) => free.insert(Arc::new(entry)),
            btree_map::Entry::Occupied(_) => return Err(Problem::Ambiguous { name: entry.name }),
        };
    }
    Ok(content)
}
