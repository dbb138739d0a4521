//! What is told of connections that were never made.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Instant, SystemTime};

use culvert_core::hbone::Baggage;
use culvert_core::refusal::Refusal;
use culvert_core::service::Service;
use culvert_core::workload::Workload;
use culvert_process::log::Tap as _;
use culvert_proto::otlp::common::{KeyValue, any_value::Value};
use culvert_proto::otlp::logs::LogRecord;
use culvert_proto::otlp::trace::{Span, SpanKind, Status, StatusCode};

use super::attributes::Clock;
use super::*;
use crate::deliver::dial;
use crate::ledger::{Direction, OfNode, OfPod, OnTunnel, Party, Tried};
use crate::outcome::{Failure, Report};
use crate::proxy::PodInfo;
use crate::tunnel::Agreement;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn config(spans: Option<Spans>, logs: Option<usize>) -> Config {
    Config {
        endpoint: Uri::from_static("http://127.0.0.1:4318"),
        protocol: Protocol::Http,
        headers: Vec::new(),
        timeout: Duration::from_secs(1),
        roots: None,
        resource: BTreeMap::new(),
        spans,
        logs,
        mark: None,
    }
}

/// A pod whose connections are told of, and what is told.
struct Bench {
    telemetry: Telemetry,
    waiting: Waiting,
    pod: OfPod,
}

fn bench(spans: Option<Spans>, logs: Option<usize>) -> Bench {
    let (telemetry, waiting) = Telemetry::new(&config(spans, logs));
    let pod = pod_of(&telemetry);
    Bench { telemetry, waiting, pod }
}

fn pod_of(telemetry: &Telemetry) -> OfPod {
    let pod = PodInfo { name: "web-1".into(), namespace: "shop".into(), service_account: "web".into() };
    OfNode::new(telemetry.clone()).begin(pod, None)
}

fn all() -> Bench {
    bench(Some(Spans { sampler: Sampler::ALL.or_as_parents_do(), queue: 64 }), Some(64))
}

fn address(last: u8, port: u16) -> SocketAddr {
    (IpAddr::from([10, 0, 0, last]), port).into()
}

impl Bench {
    fn begin(&self, direction: Direction) -> Box<Report> {
        Report::begin(self.pod.book(), direction, address(1, 40_000), address(9, 80))
    }

    fn spans(&mut self) -> Vec<Span> {
        let clock = Clock::read();
        let waiting = self.waiting.spans.as_mut().unwrap().take();
        waiting.iter().map(|ended| span::of(ended, clock)).collect()
    }

    fn logs(&mut self) -> Vec<LogRecord> {
        let clock = Clock::read();
        self.waiting.logs.as_mut().unwrap().take().into_iter().map(|entry| log::of(entry, clock)).collect()
    }
}

fn workload(name: &str, service: &str) -> Arc<Workload> {
    let of = Baggage {
        namespace: "shop".into(),
        workload_name: name.into(),
        canonical_name: service.into(),
        ..Baggage::default()
    };
    of.workload().into()
}

fn shown(attributes: &[KeyValue]) -> Vec<String> {
    let value = |it: &KeyValue| match it.value.as_ref().unwrap().value.as_ref().unwrap() {
        Value::StringValue(text) => text.clone(),
        Value::BoolValue(truth) => truth.to_string(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
    };
    attributes.iter().map(|it| format!("{}={}", it.key, value(it))).collect()
}

/// Writes down what there is to know of a connection through a tunnel.
fn know_all(report: &Report) {
    let mut facts = report.facts();
    facts.destination = address(2, 15008);
    facts.authority = Some("10.0.0.2:8080".into());
    facts.from = Party { workload: Some(workload("web-1", "web")), identity: None };
    facts.to = Party {
        workload: Some(workload("db-1", "db")),
        identity: "spiffe://cluster.local/ns/shop/sa/db".parse().ok(),
    };
    let hostname = "db.shop.svc.cluster.local".into();
    facts.service = Some(Arc::new(Service { name: "db".into(), hostname, ..Service::default() }));
    facts.tunnel = Some(OnTunnel { id: 0xab, tls: Agreement::POST_QUANTUM });
    let (at, error) = (Instant::now(), "too slow".into());
    facts.tried.push(Tried { at, address: address(3, 15008), reason: "connect_deadline", error });
    facts.moved.forth.add(11);
    facts.moved.back.add(22);
}

/// What is told of it.
const ALL: &[&str] = &[
    "network.transport=tcp",
    "network.type=ipv4",
    "client.address=10.0.0.1",
    "client.port=40000",
    "server.address=db.shop.svc.cluster.local",
    "server.port=80",
    "network.peer.address=10.0.0.2",
    "network.peer.port=15008",
    "k8s.pod.name=web-1",
    "k8s.namespace.name=shop",
    "service.peer.name=db",
    "culvert.direction=outbound",
    "culvert.source.workload=web-1",
    "culvert.source.namespace=shop",
    "culvert.source.service=web",
    "culvert.destination.workload=db-1",
    "culvert.destination.namespace=shop",
    "culvert.destination.service=db",
    "culvert.destination.identity=spiffe://cluster.local/ns/shop/sa/db",
    "culvert.protocol=hbone",
    "culvert.authority=10.0.0.2:8080",
    "culvert.service=db.shop.svc.cluster.local",
    "culvert.tunnel.id=00000000000000ab",
    "tls.curve=X25519MLKEM768",
    "culvert.bytes.to_server=11",
    "culvert.bytes.to_client=22",
];

const OF_ATTEMPT: &[&str] = &[
    "network.peer.address=10.0.0.3",
    "network.peer.port=15008",
    "error.type=connect_deadline",
    "error.message=too slow",
];

#[test]
fn a_connection_through_a_tunnel_is_a_span_of_its_caller() {
    let mut bench = all();
    let mut report = bench.begin(Direction::Outbound);
    let id = report.record().id;
    know_all(&report);
    report.opened();
    let trace = report.facts().trace;
    report.end(Ok(()));
    let [span] = &bench.spans()[..] else { panic!() };
    assert_eq!((&*span.name, span.kind()), ("CONNECT", SpanKind::Client));
    assert_eq!(span.trace_id, trace.id.to_be_bytes());
    assert_eq!(span.span_id, id.number().to_be_bytes());
    assert_eq!((&span.parent_span_id[..], span.flags, &span.status), (&[][..], 0x101, &None));
    let [attempt] = &span.events[..] else { panic!("{span:#?}") };
    let times = [span.start_time_unix_nano, attempt.time_unix_nano, span.end_time_unix_nano];
    assert!(times.is_sorted() && times[0] < times[2], "{times:?}");
    assert_eq!(attempt.name, "attempt failed");
    assert_eq!(shown(&attempt.attributes), OF_ATTEMPT);
    assert_eq!(shown(&span.attributes), ALL);
    let [record] = &bench.logs()[..] else { panic!() };
    assert_eq!((record.severity_number, &*record.severity_text, record.flags), (9, "INFO", 1));
    assert_eq!((&record.trace_id, &record.span_id), (&span.trace_id, &span.span_id));
    assert_eq!(shown(&record.attributes), ALL);
    assert!(record.time_unix_nano.abs_diff(span.end_time_unix_nano) < 1_000_000_000);
}

#[test]
fn a_failure_is_an_error_with_its_reason_in_words() {
    let mut bench = all();
    let report = bench.begin(Direction::Inbound);
    report.follow(PARENT.parse().unwrap());
    {
        let mut facts = report.facts();
        (facts.delivered, facts.policy) = (Some(address(9, 8080)), Some("shop/allow-web".into()));
        facts.from.workload = Some(workload("web-1", "web"));
    }
    let source = io::Error::from(io::ErrorKind::ConnectionRefused);
    let failure = Failure::from(dial::Error::Refused { to: address(9, 8080), source: source.into() });
    let words = failure.in_words();
    report.end(Err(failure));
    let [span] = &bench.spans()[..] else { panic!() };
    assert_eq!((&*span.name, span.kind()), ("tcp", SpanKind::Server));
    let ids = (span.trace_id.as_slice(), span.parent_span_id.as_slice());
    let [trace, parent] = [0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0x00f0_67aa_0ba9_02b7_u128];
    assert_eq!(ids, (&trace.to_be_bytes()[..], &parent.to_be_bytes()[8..]));
    assert_eq!(span.flags, 0x301);
    assert_eq!(span.status, Some(Status { message: words.clone(), code: StatusCode::Error.into() }));
    let all = shown(&span.attributes);
    for expected in [
        "server.address=10.0.0.9",
        "server.port=8080",
        "network.peer.address=10.0.0.1",
        "culvert.policy=shop/allow-web",
        "culvert.closed_by=proxy",
        "error.type=workload_refused",
        "culvert.reason=workload_refused",
        "culvert.response_flag=CONNECT",
    ] {
        assert!(all.iter().any(|it| it == expected), "{expected} is not in {all:#?}");
    }
    let [record] = &bench.logs()[..] else { panic!() };
    assert_eq!((record.severity_number, &*record.severity_text), (17, "ERROR"));
    assert_eq!(shown(&record.attributes).last(), Some(&format!("error.message={words}")));
}

#[test]
fn of_strangers_it_is_a_warning_as_in_the_access_log() {
    let mut bench = all();
    bench.begin(Direction::Inbound).end(Err(Failure::PeerGone));
    let [record] = &bench.logs()[..] else { panic!() };
    assert_eq!((record.severity_number, &*record.severity_text), (13, "WARN"));
}

#[test]
fn times_are_those_of_the_clock_on_the_wall() {
    let (now, time) = (Instant::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_000));
    let clock = Clock { now: now + Duration::from_secs(5), time };
    assert_eq!(clock.nanos(now), 995_000_000_000);
    assert_eq!(clock.nanos(now + Duration::from_secs(9)), 1_000_000_000_000, "nothing is in the future");
}

#[test]
fn what_is_not_sampled_is_logged_alone() {
    let mut bench = all();
    let report = bench.begin(Direction::Inbound);
    report.follow(PARENT.replace("-01", "-00").parse().unwrap());
    assert!(!report.facts().trace.sampled);
    report.end(Ok(()));
    assert!(bench.spans().is_empty());
    let [record] = &bench.logs()[..] else { panic!() };
    assert_eq!((record.flags, record.span_id.len()), (0, 8));
}

#[test]
fn probes_that_went_well_are_no_news() {
    let mut bench = all();
    for result in [Ok(()), Err(Refusal::OwnPort { port: 1 }.into())] {
        let report = bench.begin(Direction::Inbound);
        report.facts().probe = true;
        report.end(result);
    }
    let [span] = &bench.spans()[..] else { panic!() };
    assert!(shown(&span.attributes).contains(&"culvert.probe=true".to_owned()));
    let [record] = &bench.logs()[..] else { panic!() };
    assert_eq!(record.severity_text, "INFO", "kubelet reports what it finds itself");
}

#[test]
fn when_it_is_off_nothing_is_kept_and_what_a_caller_said_stays() {
    let off = Telemetry::default();
    let pod = pod_of(&off);
    let report = Report::begin(pod.book(), Direction::Inbound, address(1, 1), address(2, 2));
    assert!(!report.facts().trace.sampled);
    for text in [PARENT.to_owned(), PARENT.replace("-01", "-00")] {
        let said: TraceParent = text.parse().unwrap();
        report.follow(said);
        let Trace { id, parent, sampled } = report.facts().trace;
        let parent = parent.map(NonZeroU64::get);
        assert_eq!((id, parent, sampled), (said.trace_id(), Some(said.parent_id()), said.is_sampled()));
    }
    report.end(Ok(()));
    assert!(start(None).unwrap().1.is_none());
}

#[test]
fn of_too_many_connections_the_last_ones_are_dropped_and_counted() {
    let mut bench = bench(Some(Spans { sampler: Sampler::ALL, queue: 2 }), Some(3));
    for _ in 0..5 {
        bench.begin(Direction::Outbound).end(Ok(()));
    }
    let queues = bench.telemetry.0.clone().unwrap();
    let dropped = |(signal, counts): (_, queue::Counts)| (signal, counts.dropped);
    assert_eq!(queues.counts().into_iter().map(dropped).collect::<Vec<_>>(), [("traces", 3), ("logs", 2)]);
    assert_eq!((bench.spans().len(), bench.logs().len()), (2, 3));
    let metrics = Metrics::new(culvert_metrics::Settings::default());
    bench.telemetry.show(&metrics);
    let text = metrics.text();
    assert!(text.contains("culvert_telemetry_dropped_total{signal=\"traces\"} 3"), "{text}");
    assert!(text.contains("culvert_telemetry_sent_total{signal=\"logs\"} 0"), "{text}");
}

#[test]
fn trouble_is_told_with_its_fields_but_not_by_the_thread_that_sends() {
    use tracing_subscriber::layer::SubscriberExt as _;
    struct Hears(tap::Trouble);
    impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Hears {
        fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
            self.0.hear(event, event.metadata().target());
        }
    }
    let mut bench = all();
    let hears = Hears(tap::Trouble(bench.telemetry.0.clone().unwrap()));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(hears), || {
        tracing::warn!(pod = "web", count = 3, ok = false, "rules are gone");
        tracing::info!("all is well");
        tracing::error!(target: "access", "connection complete");
        // A thread hears of subscribers of its own alone.
        let same = tracing::dispatcher::get_default(Clone::clone);
        let sends = move || {
            tap::do_not_listen_here();
            tracing::dispatcher::with_default(&same, || tracing::error!("cannot be sent"));
        };
        std::thread::spawn(sends).join().unwrap();
    });
    let [record] = &bench.logs()[..] else { panic!() };
    assert_eq!((record.severity_number, &*record.severity_text), (13, "WARN"));
    let body = record.body.clone().unwrap().value;
    assert_eq!(body, Some(Value::StringValue("rules are gone".into())));
    let target = format!("culvert.target={}", module_path!());
    assert_eq!(shown(&record.attributes), [&*target, "pod=web", "count=3", "ok=false"]);
}
