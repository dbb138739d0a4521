//! The aggregated discovery service, in its delta form: who was [let in](crate::server) gets what it subscribes to, and every
//! change of it, for as long as its token is valid.
//!
//! How much of the mesh a caller may have is known with the caller. The proxy of a node may read all of it: to route and to judge,
//! it has to know names, addresses and policies of whoever it may meet. In a cluster, where every pod has a token, the proxy of one
//! workload may have what it asks for by name, and not a list of everything. A node's proxy must not take itself for that of another
//! node, because that is always a mistake.
//!
//! What is said on a stream is decided by [`culvert_discovery`]; here are the sockets, the deadlines and the log.

mod node;
mod stream;

use std::sync::Arc;

use culvert_proto::xds::aggregated_discovery_service_server::AggregatedDiscoveryService;
use culvert_proto::xds::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tonic::{Request, Response, Status, Streaming};

use crate::callers::Callers;
use crate::published::Published;
use crate::server::Admitted;

use stream::{Responses, Stream};

/// The discovery service.
pub(crate) struct Discovery {
    callers: Arc<dyn Callers>,
    published: Arc<Published>,
    stopping: watch::Receiver<bool>,
}

impl Discovery {
    /// Streams end, and say that the client should come back, when `stopping` becomes true.
    pub(crate) fn new(
        callers: Arc<dyn Callers>,
        published: Arc<Published>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self { callers, published, stopping }
    }
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Discovery {
    type DeltaAggregatedResourcesStream = Responses;

    async fn delta_aggregated_resources(
        &self,
        mut request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Responses>, Status> {
        let admitted = request.extensions_mut().remove::<Arc<Admitted>>();
        let admitted = admitted.ok_or_else(|| Status::internal("nobody was let in"))?;
        // One response waits to be written while the next one is made: a slow reader holds up itself alone.
        let (responses, receiver) = mpsc::channel(1);
        let stream = Stream {
            peer: admitted.peer.clone(),
            token: admitted.token.clone(),
            known: admitted.known.clone(),
            callers: Arc::clone(&self.callers),
            published: Arc::clone(&self.published),
            stopping: self.stopping.clone(),
            requests: request.into_inner(),
            responses,
            _admitted: admitted,
        };
        let mut task = JoinSet::new();
        task.spawn(stream.run());
        Ok(Response::new(Responses::new(receiver, task)))
    }
}

/// What a stream sends.
type Sent = Result<DeltaDiscoveryResponse, Status>;
