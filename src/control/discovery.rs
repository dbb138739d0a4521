//! The aggregated discovery service, in its delta form: who asks is authenticated, gets what it subscribes to, and every
//! change of it, for as long as its token is valid.
//!
//! The proxy of a node and the proxy of one workload may both read all of the mesh: to route and to judge, either has to
//! know names, addresses and policies of whoever it may meet. What a token guards is whose certificates it leads to. A
//! node's proxy must not take itself for that of another node, because that is always a mistake.
//!
//! ```text
//! requests ──▶ session ──▶ subscription (one for each type) ──▶ replica: what the client has, what may be stale
//!                 ▲                                                 │
//!              catalog ─────────────── newest state ────────────────┴──▶ push ──▶ responses
//! ```

mod node;
mod nonces;
mod push;
mod replica;
mod session;
mod stream;
mod subscription;

use std::sync::Arc;

use culvert_proto::xds::aggregated_discovery_service_server::AggregatedDiscoveryService;
use culvert_proto::xds::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tonic::{Request, Response, Status, Streaming};

use crate::callers::{Callers, Token};
use crate::catalog::Published;
use crate::live::Live;
use crate::token;

use stream::{Responses, Stream};

/// The discovery service.
pub(crate) struct Discovery {
    callers: Live<Callers>,
    published: Arc<Published>,
    stopping: watch::Receiver<bool>,
}

impl Discovery {
    /// Streams end, and say that the client should come back, when `stopping` becomes true.
    pub(crate) fn new(
        callers: Live<Callers>,
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
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Responses>, Status> {
        let peer = request.remote_addr().map_or_else(|| "-".to_owned(), |peer| peer.to_string());
        let token = token::bearer(request.metadata()).map(Token::of);
        let caller = token.as_ref().and_then(|token| self.callers.borrow().find(token).cloned());
        let (Some(token), Some(caller)) = (token, caller) else {
            tracing::warn!(peer, "discovery stream refused: no valid token");
            return Err(token::needed());
        };
        // One response waits to be written while the next one is made: a slow reader holds up itself alone.
        let (responses, receiver) = mpsc::channel(1);
        let stream = Stream {
            peer,
            token,
            caller,
            callers: self.callers.clone(),
            published: Arc::clone(&self.published),
            stopping: self.stopping.clone(),
            requests: request.into_inner(),
            responses,
        };
        let mut task = JoinSet::new();
        task.spawn(stream.run());
        Ok(Response::new(Responses::new(receiver, task)))
    }
}

/// What a stream sends.
type Sent = Result<DeltaDiscoveryResponse, Status>;
