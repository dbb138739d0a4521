//! Streams: how far callers reach, and when it ends.

use culvert_lab::api_server::Trouble;
use culvert_proto::xds::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use culvert_proto::xds::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node};
use tokio::sync::mpsc;
use tonic::Streaming;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;

use super::*;

/// A stream of addresses.
struct Client {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Client {
    async fn open(bench: &Bench, token: &str) -> Result<Self, Status> {
        let (requests, receiver) = mpsc::channel(16);
        let mut request = Request::new(ReceiverStream::new(receiver));
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let mut client = AggregatedDiscoveryServiceClient::new(bench.channel.clone());
        let responses = client.delta_aggregated_resources(request).await?.into_inner();
        Ok(Self { requests, responses })
    }

    /// Subscribes as somebody on this node; to everything if nothing is named.
    async fn subscribe(&self, node: &str, names: &[&str], unsubscribe: &[&str]) {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let request = DeltaDiscoveryRequest {
            node: Some(Node {
                metadata: Some(Struct { fields: [("NODE_NAME".to_owned(), text(node))].into() }),
                ..Node::default()
            }),
            type_url: "type.googleapis.com/istio.workload.Address".to_owned(),
            resource_names_subscribe: owned(names),
            resource_names_unsubscribe: owned(unsubscribe),
            ..DeltaDiscoveryRequest::default()
        };
        self.requests.send(request).await.unwrap();
    }

    /// The names in the next response, sorted.
    async fn next(&mut self) -> Result<Vec<String>, Status> {
        let response = tokio::time::timeout(DEADLINE, self.responses.message()).await.unwrap()?.unwrap();
        let mut names: Vec<_> = response.resources.into_iter().map(|resource| resource.name).collect();
        names.sort();
        Ok(names)
    }

    /// How the stream ends.
    async fn end(&mut self) -> Result<(), Status> {
        loop {
            self.next().await?;
        }
    }
}

/// Streams are looked at often.
fn watchful() -> Setup {
    let often = Duration::from_millis(50);
    Setup {
        timing: Timing { yes: Duration::ZERO, away: Duration::ZERO, again: often, ..Timing::default() },
        ..Setup::default()
    }
}

async fn two_workloads(setup: Setup) -> Bench {
    let bench = Bench::with(setup).await;
    bench.published.apply([workload("web", "n1"), workload("db", "n2")]);
    bench
}

#[tokio::test]
async fn a_node_has_the_whole_mesh_until_its_pod_is_gone() {
    let bench = two_workloads(watchful()).await;
    let mut client = Client::open(&bench, &bench.node("n1")).await.unwrap();
    client.subscribe("n1", &[], &[]).await;
    assert_eq!(client.next().await.unwrap(), ["db", "web"]);
    let mut elsewhere = Client::open(&bench, &bench.node("n2")).await.unwrap();
    elsewhere.subscribe("n2", &[], &[]).await;
    assert_eq!(elsewhere.next().await.unwrap(), ["db", "web"]);
    bench.cluster.remove("pods", "mesh", "culvert-node-n1").unwrap();
    check_refused(&client.end().await, Code::Unauthenticated, "pod-gone");
    bench.published.apply([workload("new", "n1")]);
    assert_eq!(elsewhere.next().await.unwrap(), ["new"]);
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let bench = two_workloads(Setup::default()).await;
    let token = bench.issue(of_node("n1").lasting(Duration::from_secs(2)));
    let mut client = Client::open(&bench, &token).await.unwrap();
    client.subscribe("n1", &[], &[]).await;
    assert_eq!(client.next().await.unwrap(), ["db", "web"]);
    check_refused(&client.end().await, Code::Unauthenticated, "token-expired");
    check_refused(&Client::open(&bench, &token).await.map(|_| ()), Code::Unauthenticated, "token-expired");
}

#[tokio::test]
async fn a_stream_outlives_an_api_server_that_is_away() {
    let mut setup = watchful();
    setup.timing.overdue = Duration::ZERO;
    let bench = two_workloads(setup).await;
    let mut client = Client::open(&bench, &bench.node("n1")).await.unwrap();
    client.subscribe("n1", &[], &[]).await;
    assert_eq!(client.next().await.unwrap(), ["db", "web"]);
    bench.cluster.forget_requests();
    bench.cluster.trouble(Trouble::status(503).on("create", "tokenreviews"));
    let tried = || bench.cluster.requests_of("create", "tokenreviews").len() > 3;
    let trying = async {
        while !tried() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, trying).await.unwrap();
    bench.published.apply([workload("new", "n1")]);
    assert_eq!(client.next().await.unwrap(), ["new"]);
    bench.cluster.end_troubles();
    bench.cluster.remove("pods", "mesh", "culvert-node-n1").unwrap();
    check_refused(&client.end().await, Code::Unauthenticated, "pod-gone");
}

#[tokio::test]
async fn a_workload_gets_what_it_names_and_what_is_on_its_node() {
    let bench = two_workloads(watchful()).await;
    let token = bench.issue(of_workload("shop", "web"));
    let mut client = Client::open(&bench, &token).await.unwrap();
    client.subscribe("n1", &["*"], &["*"]).await;
    assert_eq!(client.next().await.unwrap(), ["web"]);
    client.subscribe("n1", &["db"], &[]).await;
    assert_eq!(client.next().await.unwrap(), ["db"]);
    bench.cluster.remove("pods", "shop", "web").unwrap();
    check_refused(&client.end().await, Code::Unauthenticated, "pod-gone");
}

#[tokio::test]
async fn a_workload_gets_no_list_of_everything_and_is_not_on_another_node() {
    let bench = two_workloads(Setup::default()).await;
    let token = bench.issue(of_workload("shop", "web"));
    let mut client = Client::open(&bench, &token).await.unwrap();
    client.subscribe("n1", &[], &[]).await;
    let refused = client.next().await;
    check_refused(&refused, Code::PermissionDenied, "wildcard-not-allowed");
    assert!(refused.unwrap_err().message().contains("XDS_ON_DEMAND"));
    for (token, node) in [(token, "n2"), (bench.node("n2"), "n1")] {
        let mut client = Client::open(&bench, &token).await.unwrap();
        client.subscribe(node, &["*"], &["*"]).await;
        assert_eq!(client.next().await.unwrap_err().code(), Code::PermissionDenied);
    }
}

#[tokio::test]
async fn a_stranger_opens_no_stream() {
    let bench = Bench::new().await;
    let expired = bench.issue(of_node("n1").expired());
    for (token, reason) in [("", "token-missing"), ("x.y.z", "token-unknown"), (&*expired, "token-expired")] {
        check_refused(&Client::open(&bench, token).await.map(|_| ()), Code::Unauthenticated, reason);
    }
}

#[tokio::test]
async fn a_workload_has_a_few_streams_at_once_and_a_node_some() {
    let bench = two_workloads(Setup::default()).await;
    bench.cluster.create(running("shop", "web-2", "n1").service_account("web")).unwrap();
    let second = Token::of("shop", "web").audience("istio-ca").pod("web-2");
    let [web, web_2, node] = [bench.issue(of_workload("shop", "web")), bench.issue(second), bench.node("n1")];
    for (token, most) in [(&web, 4), (&web_2, 4), (&node, 16)] {
        let mut streams = Vec::new();
        for _ in 0..most {
            let client = Client::open(&bench, token).await.unwrap();
            client.subscribe("n1", &["web"], &[]).await;
            streams.push(client);
        }
        for refused in [Client::open(&bench, token).await, Client::open(&bench, token).await] {
            check_refused(&refused.map(|_| ()), Code::ResourceExhausted, "too-many-streams");
        }
        for stream in &mut streams {
            assert_eq!(stream.next().await.unwrap(), ["web"]);
        }
        streams.pop();
        let again = async {
            loop {
                match Client::open(&bench, token).await {
                    Err(status) if status.code() == Code::ResourceExhausted => {}
                    opened => return opened,
                }
            }
        };
        tokio::time::timeout(DEADLINE, again).await.unwrap().unwrap();
    }
}
