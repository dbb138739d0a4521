//! What services say about their endpoints becomes what the workloads say: membership is kept in one place.

use std::collections::HashMap;
use std::sync::Arc;

use crate::intern::Interner;
use crate::service::Service;
use crate::workload::{Health, PortMap, Workload};

use super::service::Endpoint;

/// Services to join, by the uid of the workload.
type Joins = HashMap<String, Vec<(Arc<str>, PortMap, Health)>>;

/// Has the workloads join the services that list them, and gives the services.
///
/// A workload that names the service itself knows its ports and its health better. An endpoint that is unhealthy makes its
/// workload unhealthy: health is a workload's, not one for each of its services.
pub(super) fn fold(
    services: Vec<(Service, Vec<Endpoint>)>,
    workloads: &mut [Workload],
    names: &mut Interner,
) -> Vec<Service> {
    let mut joins = Joins::new();
    let mut plain = Vec::with_capacity(services.len());
    for (service, endpoints) in services {
        let key = names.text(&service.key());
        for Endpoint { workload, ports, health } in endpoints {
            joins.entry(workload).or_default().push((key.clone(), ports, health));
        }
        plain.push(service);
    }
    for workload in workloads {
        let mut template = (*workload.template).clone();
        let joined = joins.remove(&*workload.uid).into_iter().flatten();
        let joined: Vec<_> =
            joined.filter(|(service, ..)| template.services.get(service).is_none()).collect();
        if joined.iter().any(|(.., health)| *health == Health::Unhealthy) {
            workload.status = Health::Unhealthy;
        }
        let joined = joined.into_iter().map(|(service, ports, _)| (service, ports));
        let own = template.services.iter().map(|(service, ports)| (service.clone(), ports.clone()));
        template.services = own.chain(joined).collect();
        workload.template = names.template(template);
    }
    plain
}
