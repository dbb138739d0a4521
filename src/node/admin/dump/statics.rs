//! What the local mesh file says at this moment, whether or not the node has taken it over.

use culvert_core::mesh_file::{self, Mesh};
use serde_json::{Value, json};

use super::stream::Content;
use super::{PolicyView, ServiceView, WorkloadView};
use crate::config::MeshSource;

/// A larger file is told of by its length: reading it would take the memory of the mesh a second time.
const LARGEST: u64 = 1 << 20;

/// Reads the file anew.
pub(super) fn content(source: Option<&MeshSource>) -> Content {
    Content::Value(match source.map(read) {
        None => shown(&Mesh::default()),
        Some(Ok(mesh)) => shown(&mesh),
        Some(Err(error)) => json!({ "workloads": [], "policies": [], "services": [], "error": error }),
    })
}

fn read(source: &MeshSource) -> Result<Mesh, String> {
    let text = match source {
        MeshSource::Inline(text) => text.clone(),
        MeshSource::File(path) => {
            let failed = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
            let length = std::fs::metadata(path).map_err(failed)?.len();
            if length > LARGEST {
                return Err(format!("{} has {length} bytes and is not repeated here", path.display()));
            }
            std::fs::read_to_string(path).map_err(failed)?
        }
    };
    mesh_file::parse(&text).map_err(|error| error.to_string())
}

fn shown(mesh: &Mesh) -> Value {
    let Mesh { workloads, services, policies } = mesh;
    let of_service = |key: &str| {
        let key = key.to_owned();
        workloads.iter().filter(move |workload| workload.services.get(&key).is_some())
    };
    let services: Vec<_> =
        services.iter().map(|service| ServiceView::new(service, of_service(&service.key()))).collect();
    let workloads: Vec<_> = workloads.iter().map(WorkloadView::from).collect();
    let policies: Vec<_> = policies.iter().map(PolicyView::from).collect();
    json!({ "workloads": workloads, "policies": policies, "services": services })
}
