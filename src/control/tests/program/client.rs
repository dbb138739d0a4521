//! A node as the discovery service sees it: subscribes, believes what it is told, and answers.

use std::collections::{BTreeMap, BTreeSet};

use culvert_proto::rpc;
use culvert_proto::xds::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use culvert_proto::xds::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node};
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

use crate::harness::{Control, DEADLINE};

pub(crate) const ADDRESSES: &str = "type.googleapis.com/istio.workload.Address";
pub(crate) const POLICIES: &str = "type.googleapis.com/istio.security.Authorization";

/// What a client has of one type: versions by name.
pub(crate) type Has = BTreeMap<String, String>;

/// A stream.
pub(crate) struct Client {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
    pub(crate) addresses: Has,
    pub(crate) policies: Has,
    pub(crate) aliases: BTreeSet<String>,
    /// The size of each response, in resources and removals.
    pub(crate) sizes: Vec<usize>,
}

impl Client {
    /// Opens a stream with this token.
    pub(crate) async fn open(control: &Control, token: &str) -> Result<Self, Status> {
        Self::open_over(control.connect("localhost").await.unwrap(), token).await
    }

    /// The same over this connection.
    pub(crate) async fn open_over(channel: Channel, token: &str) -> Result<Self, Status> {
        let (requests, receiver) = mpsc::channel(16);
        let mut request = Request::new(ReceiverStream::new(receiver));
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let mut client = AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(8 << 20);
        let responses = client.delta_aggregated_resources(request).await?.into_inner();
        Ok(Self {
            requests,
            responses,
            addresses: Has::new(),
            policies: Has::new(),
            aliases: BTreeSet::new(),
            sizes: Vec::new(),
        })
    }

    /// Opens a stream for node `a`, subscribes to everything, and has all of it; it had these before.
    pub(crate) async fn synced(control: &Control, addresses: &Has, policies: &Has) -> Self {
        let mut client = Self::open(control, "token-a").await.unwrap();
        client.begin("a", addresses, policies, false).await;
        // One answer to each request at least; more when there is much.
        client.receive().await.unwrap();
        client.receive().await.unwrap();
        client
    }

    /// The first two requests: wildcard or on demand.
    pub(crate) async fn begin(&mut self, node: &str, addresses: &Has, policies: &Has, on_demand: bool) {
        let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
        let node = Node {
            id: format!("ztunnel~10.0.0.9~node-{node}.system~system.svc.cluster.local"),
            metadata: Some(Struct { fields: [("NODE_NAME".to_owned(), text(node))].into() }),
            ..Node::default()
        };
        let star = if on_demand { vec!["*".to_owned()] } else { vec![] };
        for (type_url, has) in [(ADDRESSES, addresses), (POLICIES, policies)] {
            let star = if type_url == ADDRESSES { star.clone() } else { vec![] };
            self.send(DeltaDiscoveryRequest {
                node: Some(node.clone()),
                type_url: type_url.to_owned(),
                resource_names_subscribe: star.clone(),
                resource_names_unsubscribe: star,
                initial_resource_versions: has.clone(),
                ..DeltaDiscoveryRequest::default()
            })
            .await;
        }
        (self.addresses, self.policies) = (addresses.clone(), policies.clone());
    }

    /// Names addresses.
    pub(crate) async fn subscribe(&mut self, names: &[&str]) {
        self.send(DeltaDiscoveryRequest {
            type_url: ADDRESSES.to_owned(),
            resource_names_subscribe: names.iter().map(ToString::to_string).collect(),
            ..DeltaDiscoveryRequest::default()
        })
        .await;
    }

    pub(crate) async fn send(&mut self, request: DeltaDiscoveryRequest) {
        self.requests.send(request).await.unwrap();
    }

    /// Takes one response, and accepts it.
    pub(crate) async fn receive(&mut self) -> Result<DeltaDiscoveryResponse, Status> {
        let response = self.next().await?;
        self.answer(&response, None).await;
        Ok(response)
    }

    /// Takes one response.
    pub(crate) async fn next(&mut self) -> Result<DeltaDiscoveryResponse, Status> {
        let response = tokio::time::timeout(DEADLINE, self.responses.message()).await.unwrap()?.unwrap();
        let has = if response.type_url == ADDRESSES { &mut self.addresses } else { &mut self.policies };
        for resource in &response.resources {
            has.insert(resource.name.clone(), resource.version.clone());
            self.aliases.extend(resource.aliases.iter().cloned());
        }
        response.removed_resources.iter().for_each(|name| {
            has.remove(name);
        });
        self.sizes.push(response.resources.len() + response.removed_resources.len());
        Ok(response)
    }

    /// Accepts a response, or refuses it with a reason. A stream that has ended takes no answer.
    pub(crate) async fn answer(&mut self, response: &DeltaDiscoveryResponse, refusal: Option<&str>) {
        let answer = DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            error_detail: refusal.map(|text| rpc::Status { code: 0, message: text.to_owned() }),
            ..DeltaDiscoveryRequest::default()
        };
        let _ = self.requests.send(answer).await;
    }

    /// Takes responses until it has these addresses.
    pub(crate) async fn until(&mut self, names: &[&str]) {
        while self.addresses.keys().ne(names) {
            self.receive().await.unwrap_or_else(|status| panic!("{status}, has {:?}", self.addresses));
        }
    }

    /// Waits for the end of the stream.
    pub(crate) async fn end(&mut self) -> Status {
        loop {
            if let Err(status) = self.receive().await {
                return status;
            }
        }
    }
}
