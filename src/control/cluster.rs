//! The control plane of a Kubernetes cluster: what the files are elsewhere, the API server is here.

pub(crate) mod account;
mod answers;
mod api;
mod lease;
mod mesh;
pub(crate) mod pods;
mod publish;
mod recent;
pub(crate) mod residents;
pub(crate) mod reviews;
mod root;
pub(crate) mod rotation;
mod secret;
mod status;

#[cfg(test)]
mod tests;

use culvert_kubernetes::Asker;

/// On whose behalf the API server is asked.
const ASKER: Asker = Asker {
    name: "control plane",
    watch_restarts: "culvert_control_watch_restarts_total",
    api_errors: "culvert_control_api_errors_total",
    view_age: "culvert_control_view_age_seconds",
};
