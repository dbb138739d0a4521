//! The mesh state, in the shape tools know from `/config_dump`.

use std::sync::Arc;

use culvert_core::policy::Policy;
use culvert_core::service::Service;
use culvert_core::workload::Workload;

use super::problem::Refusal;
use super::query::Query;
use super::{Sources, json, page};
use crate::admin::dump::{PolicyView, ServiceView, WorkloadView};

/// What can be asked of these lists.
pub(super) const TAKES: &[&str] = &["limit", "after", "namespace", "q"];

/// What must hold of a member of the mesh.
struct Filter {
    namespace: Option<String>,
    /// How its name begins.
    name: Option<String>,
}

impl Filter {
    fn read(query: &Query) -> Result<Self, Refusal> {
        Ok(Self { namespace: query.text("namespace")?, name: query.text("q")? })
    }

    fn takes(&self, namespace: &str, name: &str) -> bool {
        self.namespace.as_deref().is_none_or(|wanted| wanted == namespace)
            && self.name.as_deref().is_none_or(|beginning| name.starts_with(beginning))
    }
}

/// `/v1/workloads`.
pub(super) fn workloads(sources: &Sources, query: &Query) -> Result<Vec<u8>, Refusal> {
    let (filter, snapshot) = (Filter::read(query)?, sources.shown.mesh.snapshot());
    let wanted = |it: &&Arc<Workload>| filter.takes(&it.namespace, it.name());
    let found = snapshot.workloads().filter(wanted).map(|workload| (&*workload.uid, workload));
    let part = page::by_text(query, found)?;
    Ok(json(&part.show(|workload| WorkloadView::from(&**workload))))
}

/// `/v1/services`.
pub(super) fn services(sources: &Sources, query: &Query) -> Result<Vec<u8>, Refusal> {
    let (filter, snapshot) = (Filter::read(query)?, sources.shown.mesh.snapshot());
    let wanted = |it: &&Arc<Service>| filter.takes(&it.namespace, &it.name);
    let found = snapshot.services().filter(wanted).map(|service| (service.key(), service));
    let part = page::by_text(query, found.map(|(key, service)| (key.to_string(), (key, service))))?;
    Ok(json(&part.show(|(key, service)| {
        ServiceView::new(service, snapshot.endpoints(&key).map(|workload| &**workload))
    })))
}

/// `/v1/policies`.
pub(super) fn policies(sources: &Sources, query: &Query) -> Result<Vec<u8>, Refusal> {
    let (filter, snapshot) = (Filter::read(query)?, sources.shown.mesh.snapshot());
    let wanted = |it: &&Arc<Policy>| filter.takes(&it.namespace, &it.name);
    let found = snapshot.policies().filter(wanted).map(|policy| (&*policy.key, policy));
    let part = page::by_text(query, found)?;
    Ok(json(&part.show(|policy| PolicyView::from(&**policy))))
}
