//! Workloads as the indexes know them.

use std::net::IpAddr;
use std::sync::Arc;

use crate::workload::Workload;

use super::index::Keyed;

/// One of the addresses of a workload.
#[derive(Debug, Clone)]
pub(crate) struct At {
    pub(crate) workload: Arc<Workload>,
    pub(crate) nth: u32,
}

/// A workload by the hostname to resolve for it.
#[derive(Debug, Clone)]
pub(crate) struct Hosted(pub(crate) Arc<Workload>);

/// A workload of this node by its name.
#[derive(Debug, Clone)]
pub(crate) struct Local(pub(crate) Arc<Workload>);

impl Keyed for Arc<Workload> {
    type Key = str;

    fn key(&self) -> &str {
        &self.uid
    }
}

impl Keyed for At {
    type Key = IpAddr;

    fn key(&self) -> &IpAddr {
        &self.workload.addresses[self.nth as usize]
    }
}

impl Keyed for Hosted {
    type Key = str;

    fn key(&self) -> &str {
        &self.0.hostname
    }
}

impl Keyed for Local {
    type Key = str;

    fn key(&self) -> &str {
        self.0.name()
    }
}
