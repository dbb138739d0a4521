//! `culvert demo`: the mesh at work on one machine, told in five steps, each of them checked.
//!
//! In goes a machine with root; out come a story, a table of what was observed, and success only if all of it is as it
//! should be. The story is this file from top to bottom. What it is told about is in [`stage`], how observations become
//! findings in [`evidence`] and [`facts`], and what is printed in [`narration`].

use std::time::{Duration, Instant};

use culvert_lab::http;

use application::Exchange;
use checks::{Finding, Step};
use evidence::Totals;
use facts::access::AccessLine;
use interrupt::Interrupt;
use narration::Narration;
use stage::{Host, Stage, ask, inside};

mod advice;
mod application;
mod checks;
mod error;
mod evidence;
mod facts;
mod interrupt;
mod narration;
mod stage;

pub(crate) use error::Error;

/// How a demo is run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Stay up afterwards, with commands to try, until Ctrl-C
    #[arg(long)]
    keep: bool,
}

/// Where a node answers questions about itself, and where it shows its counters.
const ADMIN: ([u8; 4], u16) = ([127, 0, 0, 1], 15000);
const METRICS: ([u8; 4], u16) = ([127, 0, 0, 1], 15020);
/// How often the service is asked, at most, until both its endpoints have answered.
const TRIES: usize = 30;

/// Runs the demo.
///
/// # Errors
/// When it could not be run to its end, when a check failed, or when it was interrupted.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let interrupt = Interrupt::listen()?;
    // Ctrl-C on a terminal reaches the mesh's programs as well; what fails because they ended is not a failure.
    tell(options, &interrupt).or_else(|error| interrupt.check().and(Err(error)))
}

fn tell(options: &Options, interrupt: &Interrupt) -> Result<(), Error> {
    let mut narration = Narration::new(interrupt);
    let stage = Stage::build(&narration)?;
    in_the_clear(&stage, &mut narration)?;
    let request = enrolled(&stage, &mut narration)?;
    accounted(&stage, &request, &mut narration)?;
    refused(&stage, &mut narration)?;
    answering(&stage, &mut narration)?;
    conclude(options, &stage, &narration)
}

/// (a) Before enrolment, a request works, and anybody on the way can read it.
fn in_the_clear(stage: &Stage, narration: &mut Narration<'_>) -> Result<(), Error> {
    narration.chapter(Step::Clear, "before enrolment, pods talk in the clear")?;
    let wire = stage.link()?;
    let answer = ask(&stage.client, stage.web_1.address());
    narration.check("client asks web-1", evidence::answered_by(&answer, &stage.web_1.pod))?;
    narration.check("the wire between the nodes", evidence::readable(&wire.stop()?))
}

/// A request in the mesh: what the server saw of it, what both nodes logged, and how long all that took.
struct Request {
    exchange: Option<Exchange>,
    outbound: AccessLine,
    inbound: AccessLine,
    took: Duration,
}

/// (b) After enrolment, the same request works, and nobody on the way can read it.
fn enrolled(stage: &Stage, narration: &mut Narration<'_>) -> Result<Request, Error> {
    narration.chapter(Step::Enrolled, "the pods are enrolled; nothing in them changes")?;
    stage.lab.enrol_all(&stage.pods())?;
    narration.say("  each pod has its rules, its listeners and its certificate")?;
    let wires = [
        ("the wire between the nodes", stage.link()?),
        ("the client's interface", stage.client_interface()?),
    ];
    let request = ask_again(stage, narration)?;
    narration.check("client asks service web", both_endpoints_answer(stage))?;
    for (what, wire) in wires {
        narration.check(what, evidence::unreadable(&wire.stop()?, stage))?;
    }
    Ok(request)
}

fn ask_again(stage: &Stage, narration: &mut Narration<'_>) -> Result<Request, Error> {
    let ([a, b], [logs_a, logs_b]) = (&stage.nodes, stage.log_positions());
    let before = Instant::now();
    let answer = ask(&stage.client, stage.web_1.address());
    narration.check("client asks web-1 again", evidence::answered_by(&answer, &stage.web_1.pod))?;
    let says = |direction| [("src.workload", "client"), ("dst.workload", "web-1"), ("direction", direction)];
    Ok(Request {
        exchange: stage.web_1.exchanges().last().copied(),
        outbound: a.access_line(logs_a, &says("outbound")),
        inbound: b.access_line(logs_b, &says("inbound")),
        took: before.elapsed(),
    })
}

fn both_endpoints_answer(stage: &Stage) -> Finding {
    let expected = format!("answers of both endpoints within {TRIES} requests, and no failure");
    let (mut first, mut second) = (0, 0);
    while (first == 0 || second == 0) && first + second < TRIES {
        let answer = ask(&stage.client, stage.web_address());
        if evidence::answered_by(&answer, &stage.web_1.pod).holds {
            first += 1;
        } else if evidence::answered_by(&answer, &stage.web_2.pod).holds {
            second += 1;
        } else {
            return Finding::new(expected, evidence::outcome(&answer), false);
        }
    }
    let observed = format!("{}: {first} answers of web-1, {second} of web-2", stage.web_address());
    Finding::new(expected, observed, first > 0 && second > 0)
}

/// (c) The server knows its real caller, and both nodes know who talked to whom, and how much.
fn accounted(stage: &Stage, request: &Request, narration: &mut Narration<'_>) -> Result<(), Error> {
    narration.chapter(Step::Accounted, "everybody knows who talked to whom, and how much")?;
    let (client, server) = (&stage.client, &stage.web_1.pod);
    let Request { exchange, outbound, inbound, took } = request;
    narration
        .check("the caller, as web-1 sees it", evidence::own_address(client, exchange.map(|it| it.caller)))?;
    narration.check("identities, as node-a logs them", evidence::identities(outbound, client, server))?;
    narration.check("identities, as node-b logs them", evidence::identities(inbound, client, server))?;
    let [forth, back] = exchange.map_or([0, 0], |it| [it.request_bytes, it.answer_bytes]);
    narration
        .check("bytes and time, as node-a counts them", evidence::counted(outbound, [forth, back], *took))?;
    narration.check("bytes and time, as node-b counts them", evidence::counted(inbound, [back, forth], *took))
}

/// (d) Whom a policy does not let in is refused, and the server's node says why.
fn refused(stage: &Stage, narration: &mut Narration<'_>) -> Result<(), Error> {
    narration.chapter(Step::Refused, "db lets in service account web only")?;
    let ([_, b], [_, logs], db) = (&stage.nodes, stage.log_positions(), &stage.db);
    let answer = ask(&stage.web_2.pod, db.address());
    narration.check("web-2 asks db", evidence::answered_by(&answer, &db.pod))?;
    let answer = ask(&stage.client, db.address());
    narration.check("client asks db", evidence::reset(&answer))?;
    narration.check("requests that reached db", Finding::equal(1, db.exchanges().len()))?;
    let line =
        b.access_line(logs, &[("dst.workload", "db"), ("src.workload", "client"), ("direction", "inbound")]);
    narration.check("the reason, as node-b logs it", evidence::denied(&line, &stage.client))
}

/// (e) Each node answers questions about itself, and its counters agree with the applications'.
fn answering(stage: &Stage, narration: &mut Narration<'_>) -> Result<(), Error> {
    narration.chapter(Step::Answering, "the nodes answer questions about themselves")?;
    for host in &stage.nodes {
        let (name, netns) = (host.node.name(), host.node.netns());
        narration.say(format!("  {}", inside(netns, "curl -s 127.0.0.1:15000/config_dump")))?;
        let local = stage.pods().into_iter().filter(|pod| pod.node() == name);
        let dump = http::get(netns, ADMIN, "/config_dump");
        narration.check(&format!("{name}:15000/config_dump"), evidence::names_all(&dump, local))?;
    }
    // The first exchange of web-1 was before enrolment.
    let (on_b, on_a) = (stage.web_1.exchanges().split_off(1), stage.web_2.exchanges());
    let [a, b] = &stage.nodes;
    counting(stage, (a, "source"), Totals::of(on_b.iter().chain(&on_a)), narration)?;
    counting(stage, (b, "destination"), Totals::of(&on_b), narration)
}

/// A node's counters for what the client asked the service account of web, at one end of the tunnel.
fn counting(
    stage: &Stage,
    (host, reporter): (&Host, &str),
    expected: Totals,
    narration: &mut Narration<'_>,
) -> Result<(), Error> {
    let (name, netns) = (host.node.name(), host.node.netns());
    narration.say(format!("  {}", inside(netns, "curl -s 127.0.0.1:15020/metrics")))?;
    let (from, to) = (stage.client.identity(), stage.web_1.pod.identity());
    let labels = [
        ("reporter", reporter),
        ("source_workload", "client"),
        ("destination_workload", "web"),
        ("source_principal", &from),
        ("destination_principal", &to),
        ("connection_security_policy", "mutual_tls"),
    ];
    let counters = || evidence::counters(&http::get(netns, METRICS, "/metrics"), expected, &labels);
    narration.check(&format!("{name}:15020/metrics, client to web"), evidence::settled(counters))
}

/// Ends the story: the table, what to try if it is to stay up, and whether all of it was true.
fn conclude(options: &Options, stage: &Stage, narration: &Narration<'_>) -> Result<(), Error> {
    narration.table();
    let verdict = narration.verdict();
    if verdict.is_err() {
        stage.lab.keep_directory();
    }
    if options.keep {
        advice::give(stage);
        narration.wait_for_the_end();
    }
    verdict
}
