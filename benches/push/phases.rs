//! What is measured, in its order: a server alone, all nodes that come for the first time, changes, all nodes that come back.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use culvert_proto::xds::DeltaDiscoveryRequest;
use culvert_proto::xds::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use prost::Message as _;
use tonic::Request;
use tonic::codegen::tokio_stream::{self, StreamExt as _};
use tonic::transport::Endpoint;

use super::changes::Change;
use super::crowd::{Crowd, Times, Wanted};
use super::node::token;
use super::opening::{self, Has, Opening};
use super::server::Server;
use super::{Error, Plan};
use crate::figures::Figures;
use crate::memory;
use crate::mesh::made;
use crate::path::cpu::Cpu;

/// How long the memory of the server may take to fall.
const SETTLE: Duration = Duration::from_secs(5);
/// Between two changes: each is settled before the next.
const PAUSE: Duration = Duration::from_millis(500);

pub(super) async fn all(plan: &Plan, programs: &Path, figures: &mut Figures) -> Result<(), Error> {
    eprintln!(
        "starting culvert-control with {} workloads and {} services",
        plan.size.workloads, plan.size.services
    );
    let server = Server::start(plan, programs)?;
    let endpoint = server.endpoint()?;
    let [alone] = memory::settled([server.pid()], SETTLE);
    figures.add("resident memory, no node", alone, "MB");
    let has = everything(&endpoint).await?;
    eprintln!("{} nodes connect", plan.nodes);
    let openings = Openings::new(plan, &has);
    let mut crowd = fresh(plan, &server, &openings, figures).await?;
    let [with] = memory::settled([server.pid()], SETTLE);
    figures.add("resident memory, all nodes connected", with, "MB");
    figures.add("resident memory for each node", (with - alone) * 1e3 / plan.nodes as f64, "kB");
    for change in Change::ALL {
        eprintln!("{}", change.title());
        changes(plan, &server, change, &mut crowd, figures).await?;
    }
    drop(crowd);
    if plan.on_demand.is_none() {
        eprintln!("{} nodes come back", plan.returning);
        back(plan, &server, &has, figures).await?;
    }
    Ok(())
}

/// What nodes say when they come for the first time.
struct Openings {
    each: Vec<Arc<Opening>>,
    wanted: Wanted,
}

impl Openings {
    fn new(plan: &Plan, has: &[Has; 2]) -> Self {
        let what = "what there is";
        let Some(services) = plan.on_demand else {
            let everything = Arc::new(opening::everything([&Has::new(), &Has::new()]));
            let wanted = Wanted { what, responses: [1, 1], items: [has[0].len(), has[1].len()] };
            return Self { each: vec![everything; plan.nodes], wanted };
        };
        // The service that changes, and others.
        let asked = |node: usize| {
            (0..services).map(move |nth| if nth == 0 { 0 } else { node * 7919 + nth * 104_729 })
        };
        let names =
            |node| asked(node).map(|number| made::service(number % plan.size.services).name).collect();
        let each = (0..plan.nodes).map(|node| Arc::new(opening::on_demand(names(node)))).collect();
        Self { each, wanted: Wanted { what, responses: [1, 1], items: [1, 0] } }
    }
}

/// One node takes everything, to know what it is.
async fn everything(endpoint: &Endpoint) -> Result<[Has; 2], Error> {
    let mut has = [Has::new(), Has::new()];
    let requests = opening::everything([&Has::new(), &Has::new()]);
    let first: Vec<_> =
        requests.iter().filter_map(|it| DeltaDiscoveryRequest::decode(it.clone()).ok()).collect();
    // The stream stays open until everything has come.
    let mut request = Request::new(tokio_stream::iter(first).chain(tokio_stream::pending()));
    request.metadata_mut().insert("authorization", format!("Bearer {}", token(0)).parse().expect("ASCII"));
    let mut client =
        AggregatedDiscoveryServiceClient::new(endpoint.connect().await?).max_decoding_message_size(64 << 20);
    let ended = |status| Error::Ended(Box::new(status));
    let mut responses = client.delta_aggregated_resources(request).await.map_err(ended)?.into_inner();
    while let Some(response) = responses.message().await.map_err(ended)? {
        let of = &mut has[usize::from(response.type_url == culvert_wire::AUTHORIZATION_TYPE)];
        of.extend(response.resources.into_iter().map(|resource| (resource.name, resource.version)));
        // The last of several responses says which state it completes.
        if !response.system_version_info.is_empty() {
            break;
        }
    }
    Ok(has)
}

/// All nodes come at once, and have nothing.
async fn fresh(
    plan: &Plan,
    server: &Server,
    openings: &Openings,
    figures: &mut Figures,
) -> Result<Crowd, Error> {
    memory::forget_peak(server.pid());
    let (cpu, started) = (Cpu::of(server.pid()), Instant::now());
    let mut crowd = Crowd::connect(plan.nodes, &server.endpoint()?, |node| Arc::clone(&openings.each[node]));
    let times = crowd.all(started, openings.wanted).await?;
    let spent = Cpu::of(server.pid()).since(&cpu);
    arrival(&format!("{} nodes connect afresh", plan.nodes), (&times, &crowd), spent, server, figures);
    Ok(crowd)
}

/// All nodes come at once, and have everything.
async fn back(plan: &Plan, server: &Server, has: &[Has; 2], figures: &mut Figures) -> Result<(), Error> {
    let [addresses, policies] = has;
    let opening = Arc::new(opening::everything([addresses, policies]));
    tokio::time::sleep(SETTLE).await;
    memory::forget_peak(server.pid());
    let (cpu, started) = (Cpu::of(server.pid()), Instant::now());
    let mut crowd = Crowd::connect(plan.returning, &server.endpoint()?, |_| Arc::clone(&opening));
    let wanted = Wanted { what: "that they have everything", responses: [1, 1], items: [0, 0] };
    let times = crowd.all(started, wanted).await?;
    let spent = Cpu::of(server.pid()).since(&cpu);
    arrival(&format!("{} nodes come back", plan.returning), (&times, &crowd), spent, server, figures);
    Ok(())
}

fn arrival(what: &str, (times, crowd): (&Times, &Crowd), spent: f64, server: &Server, figures: &mut Figures) {
    figures.add(format!("{what}: the last has all"), times.at(1.0).as_secs_f64(), "s");
    figures.add(format!("{what}: half of them have all"), times.at(0.5).as_secs_f64(), "s");
    figures.add(format!("{what}: CPU time of the server"), spent, "s");
    figures.add(format!("{what}: most resident memory"), memory::peak(server.pid()), "MB");
    figures.add(format!("{what}: connections tried again"), crowd.tried_again as f64, "");
}

/// One change after the other; medians over the rounds.
async fn changes(
    plan: &Plan,
    server: &Server,
    change: Change,
    crowd: &mut Crowd,
    figures: &mut Figures,
) -> Result<(), Error> {
    let items = if change == Change::Policy { [0, 1] } else { [1, 0] };
    let wanted = Wanted { what: change.title(), responses: [0, 0], items };
    let mut rounds: [Vec<f64>; 4] = Default::default();
    for round in 0..plan.rounds {
        // What the change makes after itself is settled as well.
        tokio::time::sleep(PAUSE).await;
        let (cpu, started) = (Cpu::of(server.pid()), Instant::now());
        server.change(change, round + 1)?;
        let times = crowd.all(started, wanted).await?;
        let first = times.at(0.0);
        let after = |share| (times.at(share) - first).as_secs_f64() * 1e3;
        let spent = Cpu::of(server.pid()).since(&cpu) * 1e3;
        let all = [first.as_secs_f64() * 1e3, after(0.99), after(1.0), spent];
        rounds.iter_mut().zip(all).for_each(|(of, value)| of.push(value));
    }
    let names = [
        "from the file to the first node",
        "from the first node to p99",
        "from the first node to the last",
        "CPU time of the server",
    ];
    for (name, values) in names.into_iter().zip(&mut rounds) {
        values.sort_unstable_by(f64::total_cmp);
        figures.add(format!("{}: {name}", change.title()), values[values.len() / 2], "ms");
    }
    Ok(())
}
