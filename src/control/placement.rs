//! Which identities are on which node: what the authority wants to know of the mesh file.
//!
//! The only part that knows how a mesh is written down.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use culvert_core::identity::SpiffeId;
use culvert_core::mesh_file;

/// The identities of each node.
#[derive(Debug, Default)]
pub(crate) struct Placement(HashMap<String, HashSet<SpiffeId>>);

/// Reads the text of a mesh file. Workloads that name no node, or that can have no identity, are on none.
pub(crate) fn read(_: &Path, text: &str) -> Result<Placement, mesh_file::Error> {
    let mesh = mesh_file::parse(text)?;
    let mut placement = Placement::default();
    for workload in mesh.workloads.iter().filter(|workload| !workload.place.node.is_empty()) {
        if let Ok(id) = workload.identity() {
            placement.0.entry(workload.place.node.to_string()).or_default().insert(id);
        }
    }
    Ok(placement)
}

impl Placement {
    /// The identities of a node; none for a node without workloads.
    pub(crate) fn on(&self, node: &str) -> impl Iterator<Item = &SpiffeId> + use<'_> {
        self.0.get(node).into_iter().flatten()
    }

    /// How many pairs of node and identity there are.
    pub(crate) fn len(&self) -> usize {
        self.0.values().map(HashSet::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_on_the_nodes_of_their_workloads() {
        let workload = |uid: &str, rest: &str| {
            format!(
                "- {{uid: {uid}, name: {uid}, namespace: ns, workloadIps: [10.0.0.1], services: {{}}, {rest}}}\n"
            )
        };
        let text = [
            workload("one", "serviceAccount: web, node: a"),
            workload("two", "serviceAccount: web, node: a"),
            workload("three", "serviceAccount: db, node: a, trustDomain: other.example"),
            workload("four", "serviceAccount: web, node: b"),
            workload("five", "serviceAccount: web"),
            workload("six", "node: b"),
        ];
        let placement = read(Path::new("mesh.yaml"), &format!("workloads:\n{}", text.concat())).unwrap();
        let on = |node: &str| {
            let mut all: Vec<_> = placement.on(node).map(ToString::to_string).collect();
            all.sort();
            all
        };
        let web = "spiffe://cluster.local/ns/ns/sa/web";
        assert_eq!(on("a"), [web, "spiffe://other.example/ns/ns/sa/db"]);
        assert_eq!(on("b"), ["spiffe://cluster.local/ns/ns/sa/default", web]);
        assert!(on("").is_empty() && on("c").is_empty());
        assert_eq!(placement.len(), 4);
    }

    #[test]
    fn a_bad_file_is_refused_with_its_line() {
        let error = read(Path::new("mesh.yaml"), "workloads:\n- {nonsense: 1}").unwrap_err();
        assert!(error.to_string().starts_with("line 2"), "{error}");
    }
}
