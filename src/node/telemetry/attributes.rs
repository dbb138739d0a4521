//! What is told of a connection besides when it was: by the names OpenTelemetry has for things, and `culvert.*` for the rest.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use culvert_core::refusal::Flag;
use culvert_proto::otlp::common::{AnyValue, KeyValue, any_value::Value};

use super::Ended;
use crate::ledger::{Direction, Facts, Party, Record};
use crate::outcome::Failure;
use crate::stream::Closer;

/// The version of the conventions that the names are of.
pub(super) const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";

/// Says what time it was at some instant. Made anew for each batch, because clocks are set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub(super) now: Instant,
    pub(super) time: SystemTime,
}

impl Clock {
    pub(super) fn read() -> Self {
        Self { now: Instant::now(), time: SystemTime::now() }
    }

    /// Nanoseconds since 1970, as OTLP has times.
    pub(super) fn nanos(self, at: Instant) -> u64 {
        let ago = self.now.saturating_duration_since(at);
        since_1970(self.time.checked_sub(ago).unwrap_or(UNIX_EPOCH))
    }
}

/// Nanoseconds since 1970: enough until 2554.
pub(super) fn since_1970(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Attributes that are put together.
#[derive(Debug, Default)]
pub(super) struct Attributes(Vec<KeyValue>);

impl Attributes {
    pub(super) fn add(&mut self, key: &str, value: Value) {
        self.0.push(KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) });
    }

    /// Adds a text, if it is known.
    pub(super) fn text(&mut self, key: &str, value: Option<impl Into<String>>) {
        let value = value.map(Into::into).filter(|value: &String| !value.is_empty());
        if let Some(value) = value {
            self.add(key, Value::StringValue(value));
        }
    }

    pub(super) fn number(&mut self, key: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.add(key, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)));
        }
    }

    /// Adds a fact that is left out where it is none.
    fn if_so(&mut self, key: &str, value: bool) {
        if value {
            self.add(key, Value::BoolValue(true));
        }
    }

    fn address(&mut self, [address, port]: [&str; 2], value: SocketAddr) {
        self.text(address, Some(value.ip().to_string()));
        self.number(port, Some(value.port().into()));
    }

    pub(super) fn done(self) -> Vec<KeyValue> {
        self.0
    }
}

/// All that is told of a connection that is over, in spans and log records alike.
pub(super) fn of(ended: &Ended, facts: &Facts) -> Attributes {
    let record = &*ended.record;
    let mut all = Attributes::default();
    network(&mut all, record, facts);
    let pod = &ended.book.pod;
    all.text("k8s.pod.name", Some(&*pod.name));
    all.text("k8s.namespace.name", Some(&*pod.namespace));
    if record.direction == Direction::Outbound {
        all.text("service.peer.name", peer(facts));
    }
    all.text("culvert.direction", Some(record.direction.as_str()));
    party(&mut all, &SOURCE, &facts.from);
    party(&mut all, &DESTINATION, &facts.to);
    way(&mut all, facts);
    outcome(&mut all, facts);
    all
}

fn network(all: &mut Attributes, record: &Record, facts: &Facts) {
    all.text("network.transport", Some("tcp"));
    all.text("network.type", Some(if record.client.is_ipv4() { "ipv4" } else { "ipv6" }));
    all.address(["client.address", "client.port"], record.client);
    let (server, peer) = match record.direction {
        Direction::Outbound => (record.dialled, facts.destination),
        Direction::Inbound => (facts.delivered.unwrap_or(record.dialled), record.client),
    };
    let name = facts.service.as_ref().map(|service| service.hostname.to_string());
    all.text("server.address", Some(name.unwrap_or_else(|| server.ip().to_string())));
    all.number("server.port", Some(server.port().into()));
    all.address(["network.peer.address", "network.peer.port"], peer);
}

/// Who is called, as those know it who look at a map of services.
fn peer(facts: &Facts) -> Option<String> {
    let canonical = facts.to.workload.as_ref().map(|workload| workload.canonical_name.to_string());
    let service = || facts.service.as_ref().map(|service| service.name.to_string());
    canonical.filter(|name| !name.is_empty()).or_else(service)
}

const SOURCE: [&str; 4] = [
    "culvert.source.workload",
    "culvert.source.namespace",
    "culvert.source.service",
    "culvert.source.identity",
];

const DESTINATION: [&str; 4] = [
    "culvert.destination.workload",
    "culvert.destination.namespace",
    "culvert.destination.service",
    "culvert.destination.identity",
];

fn party(all: &mut Attributes, [name, namespace, service, identity]: &[&str; 4], of: &Party) {
    all.text(name, of.name());
    all.text(namespace, of.namespace());
    all.text(service, of.workload.as_ref().map(|workload| &*workload.canonical_name));
    all.text(identity, of.identity.as_ref().map(ToString::to_string));
}

fn way(all: &mut Attributes, facts: &Facts) {
    all.text("culvert.protocol", Some(if facts.is_tunnelled() { "hbone" } else { "tcp" }));
    all.text("culvert.authority", facts.authority.as_deref());
    all.text("culvert.asked", facts.asked.as_deref());
    all.text("culvert.service", facts.service.as_ref().map(|service| &*service.hostname));
    all.text("culvert.policy", facts.policy.as_deref());
    all.text("culvert.tunnel.id", facts.tunnel.map(|on| on.to_string()));
    all.text("tls.curve", facts.tunnel.and_then(|on| on.tls.group()));
    all.if_so("culvert.nested", facts.nested);
    all.if_so("culvert.waypoint", facts.waypoint);
    all.if_so("culvert.probe", facts.probe);
}

fn outcome(all: &mut Attributes, facts: &Facts) {
    let ends = facts.ends();
    all.number("culvert.bytes.to_server", Some(facts.moved.forth.bytes()));
    all.number("culvert.bytes.to_client", Some(facts.moved.back.bytes()));
    all.text("culvert.closed_by", ends.closed_by.map(Closer::as_str));
    all.number("culvert.network.round_trip_us", ends.round_trip().map(micros));
    all.number("culvert.network.retransmits", ends.retransmits().map(u64::from));
    let Some(failure) = failure(facts) else { return };
    all.text("error.type", Some(failure.reason()));
    all.text("culvert.reason", Some(failure.reason()));
    all.text("culvert.how", failure.how());
    let flag = Some(failure.flag()).filter(|flag| *flag != Flag::None);
    all.text("culvert.response_flag", flag.map(Flag::as_str));
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Why a connection did not end well.
pub(super) fn failure(facts: &Facts) -> Option<&Failure> {
    facts.ended.as_ref()?.result.as_ref().err()
}
