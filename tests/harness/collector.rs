//! A collector of OpenTelemetry on a node, rotel, and what it was told: it writes down all it gets.

use std::collections::BTreeMap;

use culvert_lab::{Lab, Launch, Node, Program};

use super::installed::installed;
use super::talk::SOON;

/// Where it takes OTLP by gRPC, and by HTTP.
const GRPC: u16 = 4317;
const HTTP: u16 = 4318;

/// The collector.
pub(crate) struct Collector {
    pub(crate) program: Program,
}

/// A span, or a log record.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// What else it says of it, by the names the collector gives it.
    pub(crate) said: BTreeMap<String, String>,
    pub(crate) attributes: BTreeMap<String, String>,
    /// Of the program that told it.
    pub(crate) resource: BTreeMap<String, String>,
}

impl Told {
    #[track_caller]
    pub(crate) fn said(&self, name: &str) -> &str {
        self.said.get(name).unwrap_or_else(|| panic!("nothing is said of `{name}`: {self:#?}"))
    }

    #[track_caller]
    pub(crate) fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).unwrap_or_else(|| panic!("there is no `{name}`: {self:#?}"))
    }

    pub(crate) fn has(&self, name: &str, value: &str) -> bool {
        self.attributes.get(name).is_some_and(|is| is == value)
    }

    pub(crate) fn is_span(&self) -> bool {
        self.said.contains_key("Kind")
    }
}

/// The settings that have a node send to the collector there is, or will be, on a node.
pub(crate) fn settings(node: &Node, protocol: &'static str) -> Vec<(&'static str, String)> {
    let port = if protocol == "grpc" { GRPC } else { HTTP };
    vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}:{port}", node.ip4())),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
    ]
}

impl Collector {
    /// Starts it.
    #[track_caller]
    pub(crate) fn start(lab: &Lab, node: &Node, name: &str) -> Self {
        let launch = Launch::new(name, installed("rotel-agent"), node.netns())
            .arg("start")
            .arg(format!("--otlp-grpc-endpoint=0.0.0.0:{GRPC}"))
            .arg(format!("--otlp-http-endpoint=0.0.0.0:{HTTP}"))
            .arg("--exporter=blackhole")
            .arg("--debug-log=traces")
            .arg("--debug-log=logs")
            .arg("--debug-log-verbosity=detailed")
            .path_arg("--pid-file", &lab.directory().join(format!("{name}.pid")));
        let program = lab.start(launch).unwrap();
        let listens = |port| node.netns().run(move || std::net::TcpStream::connect(("127.0.0.1", port)));
        let ready = || [GRPC, HTTP].iter().all(|port| matches!(listens(*port), Ok(Ok(_))));
        lab.wait_until(SOON, "the collector listens", ready).unwrap();
        Self { program }
    }

    /// All it was told so far.
    pub(crate) fn told(&self) -> Vec<Told> {
        read(&self.program.log_text())
    }

    /// Waits until it was told of so many that are meant; gives them.
    #[track_caller]
    pub(crate) fn wait_for(
        &self,
        lab: &Lab,
        count: usize,
        what: &str,
        is_meant: impl Fn(&Told) -> bool,
    ) -> Vec<Told> {
        let meant = || self.told().into_iter().filter(|it| is_meant(it)).collect::<Vec<_>>();
        if let Err(error) = lab.wait_until(SOON * 2, what, || meant().len() >= count) {
            panic!("{error:?}; it was told {:#?}", self.told());
        }
        meant()
    }
}

/// Where a line belongs that has no name for it.
#[derive(Clone, Copy)]
enum Part {
    Resource,
    Attributes,
    /// Events are looked for as text.
    Other,
}

fn read(log: &str) -> Vec<Told> {
    let (mut all, mut resource, mut part) = (Vec::<Told>::new(), BTreeMap::new(), Part::Other);
    for line in log.lines().map(str::trim) {
        if line.starts_with("Resource") {
            if line == "Resource attributes:" {
                (resource, part) = (BTreeMap::new(), Part::Resource);
            }
        } else if line.starts_with("Scope") {
            part = Part::Other;
        } else if line.starts_with("Span #") || line.starts_with("LogRecord #") {
            all.push(Told { resource: resource.clone(), ..Told::default() });
        } else if line == "Attributes:" {
            part = Part::Attributes;
        } else if line.starts_with("Events") {
            part = Part::Other;
        } else if let Some(pair) = line.strip_prefix("-> ") {
            let Some((name, value)) = pair.split_once(": ") else { continue };
            let value = bare(value).to_owned();
            match (part, all.last_mut()) {
                (Part::Resource, _) => drop(resource.insert(name.to_owned(), value)),
                (Part::Attributes, Some(told)) => drop(told.attributes.insert(name.to_owned(), value)),
                (Part::Other, Some(told)) => drop(told.said.insert(format!("event {name}"), value)),
                (Part::Attributes | Part::Other, None) => {}
            }
        } else if let (Some((name, value)), Some(told)) = (line.split_once(':'), all.last_mut()) {
            told.said.insert(name.trim().to_owned(), bare(value.trim()).to_owned());
        }
    }
    all
}

/// A value without its type.
fn bare(value: &str) -> &str {
    let inner = value.split_once('(').and_then(|(kind, rest)| Some((kind, rest.strip_suffix(')')?)));
    match inner {
        Some(("Str" | "Int" | "Bool" | "Double", inner)) => inner,
        _ => value,
    }
}

#[test]
fn what_a_collector_writes_is_understood() {
    let text = "ResourceSpans #0\nResource SchemaURL: x\nResource attributes:\n     -> service.name: Str(node)\n\
                ScopeSpans #0\nScopeSpans SchemaURL: \nSpan #0\n    Trace ID       : 01\n    Parent ID      : \n    \
                Kind           : SPAN_KIND_CLIENT\n    Status message : a: b\nAttributes:\n     -> k: Int(3)\n\
                Events:\nSpanEvent #0\n     -> Name: failed\n     -> Attributes::\n          -> e: Str(x y)\n\
                Span #1\n    Trace ID       : 02\n";
    let [first, second] = &read(text)[..] else { panic!() };
    assert_eq!((first.said("Trace ID"), first.said("Parent ID"), second.said("Trace ID")), ("01", "", "02"));
    assert_eq!((first.said("Status message"), first.attribute("k")), ("a: b", "3"));
    assert_eq!((first.said("event Name"), first.said("event e")), ("failed", "x y"));
    assert_eq!(second.resource["service.name"], "node");
    assert!(first.is_span() && second.attributes.is_empty());
}
