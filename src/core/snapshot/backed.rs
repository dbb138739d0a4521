//! A service together with the workloads that can take its connections.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::service::Service;
use crate::workload::{PortMap, Workload};

/// A service and the workloads behind it, so that choosing one needs no lookup.
#[derive(Debug)]
pub(crate) struct Backed {
    /// The service.
    pub(crate) service: Arc<Service>,
    /// Its endpoints that are known workloads and count under its health policy.
    pub(crate) backends: Vec<Backend>,
}

/// One workload behind a service.
#[derive(Debug)]
pub(crate) struct Backend {
    /// The workload.
    pub(crate) workload: Arc<Workload>,
    /// The ports it serves on other targets than the service declares.
    pub(crate) ports: PortMap,
}

impl Backed {
    pub(super) fn new(service: Arc<Service>, workloads: &BTreeMap<Arc<str>, Arc<Workload>>) -> Self {
        let policy = service.load_balancer.health_policy;
        let counting = service.endpoints.iter().filter(|(_, endpoint)| endpoint.counts_under(policy));
        let backends = counting
            .filter_map(|(uid, endpoint)| {
                Some(Backend { workload: workloads.get(uid)?.clone(), ports: endpoint.ports.clone() })
            })
            .collect();
        Self { service, backends }
    }
}
