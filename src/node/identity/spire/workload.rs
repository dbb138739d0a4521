//! The SPIFFE Workload API: who this process is, as the agent sees it.
//!
//! The trust bundle comes with each SVID, so there is nothing else to follow. Bundles of other trust domains and revocation lists in
//! the message are left alone.

use culvert_proto::spire::workload::X509svidRequest;
use culvert_proto::spire::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use futures::{StreamExt as _, TryStreamExt as _};
use tonic::Request;
use tonic::metadata::MetadataValue;

use super::agent::{Agent, Said, messages};
use super::svid::Svid;

/// Without this header agents refuse: requests that a browser was made to send do not have it.
const HEADER: &str = "workload.spiffe.io";

/// Asks, and listens from then on.
pub(super) fn subscribe(agent: &Agent) -> Said {
    let mut client = SpiffeWorkloadApiClient::new(agent.channel());
    let mut request = Request::new(X509svidRequest {});
    request.metadata_mut().insert(HEADER, MetadataValue::from_static("true"));
    let said = messages(async move { client.fetch_x509svid(request).await });
    said.map_ok(|response| response.svids.into_iter().map(Svid::of_workload).collect()).boxed()
}
