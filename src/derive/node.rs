//! A node: where in the world its pods are.

use std::sync::Arc;

use culvert_core::intern::Interner;
use culvert_core::workload::Locality;
use serde::Deserialize;

use crate::{Key, Kind, Labels};

/// A node, as far as the mesh cares. Nodes report on themselves all the time; none of that is of interest here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Node {
    pub(crate) locality: Locality,
}

const REGION: &str = "topology.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";
const SUBZONE: &str = "topology.istio.io/subzone";

impl Node {
    pub(crate) fn shared(self, names: &mut Interner) -> Self {
        let Locality { region, zone, subzone } = self.locality;
        let locality =
            Locality { region: names.text(&region), zone: names.text(&zone), subzone: names.text(&subzone) };
        Self { locality }
    }
}

#[derive(Deserialize)]
pub(crate) struct Written {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    name: Arc<str>,
    #[serde(default)]
    labels: Labels,
}

impl Written {
    pub(crate) fn key(&self) -> Key {
        Key { kind: Kind::Node, namespace: Arc::default(), name: self.metadata.name.clone() }
    }
}

impl From<Written> for Node {
    fn from(Written { metadata: Metadata { labels, .. } }: Written) -> Self {
        let label = |key| labels.get(key).unwrap_or_default().into();
        Self { locality: Locality { region: label(REGION), zone: label(ZONE), subzone: label(SUBZONE) } }
    }
}
