//! What was aimed at, and what was reached.

use super::column::Value;
use super::table::Table;
use super::{DIRECT, HANDSHAKE, More, RELAY};
use crate::path::load::PartName::{self, Bulk, Connect, Echo, Idle};
use crate::path::results::Measure::{
    CpuClient, CpuServer, FirstByte, IdleClient, IdleServer, NewClient, NewServer, P50, P99, Rate,
};
use crate::path::results::{Results, Series};
use crate::path::{attacked, watched};

/// Those who shall reach the goals; the others are shown for comparison.
const JUDGED: [&str; 2] = ["culvert", "subject"];

/// One goal.
struct Goal {
    title: &'static str,
    bound: Bound,
    source: Source,
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// A load and a part of it.
type On = (&'static str, PartName);

enum Source {
    Path(&'static str, PartName, Value),
    /// A figure that only Culvert has.
    Alone(&'static str),
}

impl Bound {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }

    fn show(self) -> String {
        match self {
            Self::AtLeast(bound) => format!(">= {bound:.2}"),
            Self::AtMost(bound) => format!("<= {bound:.2}"),
        }
    }
}

impl Goal {
    const fn path(title: &'static str, bound: Bound, (load, part): On, value: Value) -> Self {
        Self { title, bound, source: Source::Path(load, part, value) }
    }

    const fn at_least(title: &'static str, bound: f64, on: On, value: Value) -> Self {
        Self::path(title, Bound::AtLeast(bound), on, value)
    }

    const fn at_most(title: &'static str, bound: f64, on: On, value: Value) -> Self {
        Self::path(title, Bound::AtMost(bound), on, value)
    }

    const fn alone(title: &'static str, bound: f64, figure: &'static str) -> Self {
        Self { title, bound: Bound::AtMost(bound), source: Source::Alone(figure) }
    }

    fn value(&self, results: &Results, more: &More, subject: &'static str) -> Option<f64> {
        match self.source {
            Source::Path(load, part, value) => value.of(results, Series { load, part, subject }),
            Source::Alone(figure) => (subject == "culvert").then(|| more.value(figure))?,
        }
    }
}

const OF_RELAY: Value = Value::Ratio(Rate, RELAY);
const OF_DIRECT: Value = Value::Ratio(Rate, DIRECT);
const P50_OF_RELAY: Value = Value::Ratio(P50, RELAY);
const ECHO_SOLO: Value = Value::Solo(P99, "echo-1");
const CONNECT_SOLO: Value = Value::Solo(P99, "connect-1");
const CPU: Value = Value::Sum(CpuClient, CpuServer);
const NEW: Value = Value::Most(NewClient, NewServer);
const COLD: Value = Value::Ratio(FirstByte, HANDSHAKE);

/// The goals, in the order of the table.
const GOALS: [Goal; 34] = [
    Goal::at_least("1 stream up, rate / relay", 0.70, ("up-1", Bulk), OF_RELAY),
    Goal::at_least("1 stream down, rate / relay", 0.70, ("down-1", Bulk), OF_RELAY),
    Goal::at_least("8 streams up, rate / relay", 0.75, ("up-8", Bulk), OF_RELAY),
    Goal::at_least("8 streams down, rate / relay", 0.75, ("down-8", Bulk), OF_RELAY),
    Goal::at_most("1 stream up, CPU s/GB of both proxies", 0.80, ("up-1", Bulk), CPU),
    Goal::at_most("1 stream down, CPU s/GB of both proxies", 0.80, ("down-1", Bulk), CPU),
    Goal::at_most("8 streams up, CPU s/GB of both proxies", 0.80, ("up-8", Bulk), CPU),
    Goal::at_most("8 streams down, CPU s/GB of both proxies", 0.80, ("down-8", Bulk), CPU),
    Goal::at_most("1-byte requests, 1 connection, p50 / relay", 1.10, ("echo-1", Echo), P50_OF_RELAY),
    Goal::at_most("1-byte requests, 32 connections, p50 / relay", 1.10, ("echo-32", Echo), P50_OF_RELAY),
    Goal::at_least("new connections, 1 client, rate / direct", 0.90, ("connect-1", Connect), OF_DIRECT),
    Goal::at_least("new connections, 8 clients, rate / direct", 0.90, ("connect-8", Connect), OF_DIRECT),
    Goal::at_least("under TIME_WAIT, 1 client, rate / direct", 0.80, ("pressed-1", Connect), OF_DIRECT),
    Goal::at_least("under TIME_WAIT, 8 clients, rate / direct", 0.80, ("pressed-8", Connect), OF_DIRECT),
    Goal::at_most("new connections, 1 client, CPU ms each, both proxies", 0.20, ("connect-1", Connect), CPU),
    Goal::at_most("new connections, 8 clients, CPU ms each, both proxies", 0.20, ("connect-8", Connect), CPU),
    Goal::at_most("under TIME_WAIT, 1 client, CPU ms each, both proxies", 0.20, ("pressed-1", Connect), CPU),
    Goal::at_most("under TIME_WAIT, 8 clients, CPU ms each, both proxies", 0.20, ("pressed-8", Connect), CPU),
    Goal::at_most(
        "1-byte requests beside 10 streams of 10 MB/s, p99 / solo",
        2.0,
        ("beside", Echo),
        ECHO_SOLO,
    ),
    Goal::at_most(
        "new connections beside 10 streams of 10 MB/s, p99 / solo",
        2.0,
        ("beside", Connect),
        CONNECT_SOLO,
    ),
    Goal::at_most(
        "1-byte requests beside 10 streams without limit, p99 / solo",
        2.0,
        ("crowded", Echo),
        ECHO_SOLO,
    ),
    Goal::at_most(
        "new connections beside 10 streams without limit, p99 / solo",
        2.0,
        ("crowded", Connect),
        CONNECT_SOLO,
    ),
    Goal::at_most("memory of a new process, MB", 12.0, ("idle", Idle), NEW),
    Goal::at_most(
        "memory for an idle connection at the client, kB",
        2.0,
        ("idle", Idle),
        Value::Of(IdleClient),
    ),
    Goal::at_most(
        "memory for an idle connection at the server, kB",
        2.0,
        ("idle", Idle),
        Value::Of(IdleServer),
    ),
    Goal::at_most("first byte through a cold tunnel / bare handshake", 1.5, ("cold", Connect), COLD),
    Goal::alone("1-byte requests while a node is looked at, p99 / quiet", 1.10, watched::RATIO),
    Goal::alone("new connections while a node is looked at, p99 / quiet", 1.10, watched::RATIO_NEW),
    Goal::alone("1-byte requests beside an attacker, p99 / solo", 1.20, attacked::RATIO),
    Goal::alone("new connections beside an attacker, p99 / solo", 1.20, attacked::RATIO_NEW),
    Goal {
        title: "4 streams of 50 MB/s beside an attacker, rate / solo",
        bound: Bound::AtLeast(0.80),
        source: Source::Alone(attacked::RATE),
    },
    Goal::alone("failures beside an attacker", 0.0, attacked::FAILED),
    Goal::alone("100,000 workloads, 10,000 services: memory, MB", 60.0, "node: resident memory, full mesh"),
    Goal::alone(
        "100,000 workloads, 10,000 services: time to ready, s",
        1.0,
        "node: time to ready, full mesh",
    ),
];

/// The goals, what each of the judged has reached, and how the others do.
pub(super) fn table(results: &Results, more: &More, subjects: &[&'static str]) -> Table {
    let (judged, others): (Vec<&'static str>, Vec<&'static str>) =
        subjects.iter().partition(|subject| JUDGED.contains(subject));
    let titles = judged.iter().flat_map(|subject| [*subject, "met?"]);
    let titles = ["target"].into_iter().chain(titles).chain(others.iter().copied());
    let mut table = Table::new("Goals", titles);
    for goal in &GOALS {
        let value = |subject: &&'static str| goal.value(results, more, subject);
        if subjects.iter().all(|subject| value(subject).is_none()) {
            continue;
        }
        let mut cells = vec![goal.bound.show()];
        cells.extend(judged.iter().flat_map(|subject| {
            let value = value(subject);
            [
                show(value),
                value.map_or("-", |value| if goal.bound.is_met(value) { "yes" } else { "no" }).into(),
            ]
        }));
        cells.extend(others.iter().map(|subject| show(value(subject))));
        table.row(goal.title, cells);
    }
    table
}

fn show(value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{value:.2}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Figures;
    use crate::path::plan::load;

    #[test]
    fn every_goal_is_about_a_load_there_is() {
        for goal in &GOALS {
            if let Source::Path(name, ..) = goal.source {
                load(name).unwrap();
            }
        }
    }

    #[test]
    fn what_only_we_have_is_asked_of_nobody_else() {
        let mut figures = Figures::default();
        figures.add(watched::RATIO, 1.2, "");
        let more = More { watched: Some(figures), ..More::default() };
        let text = table(&Results::default(), &more, &["relay", "culvert"]).to_string();
        let line = text.lines().find(|line| line.contains("looked at")).unwrap();
        let cells: Vec<_> = line.split_whitespace().rev().take(5).collect();
        assert_eq!(cells, ["-", "no", "1.20", "1.10", "<="]);
    }

    #[test]
    fn what_was_measured_is_judged() {
        let mut results = Results::default();
        for (subject, rate) in [("relay", 20.0), ("culvert", 15.0)] {
            results.add(Series { load: "up-1", part: Bulk, subject }, Rate, rate);
        }
        let text = table(&results, &More::default(), &["relay", "culvert"]).to_string();
        let line = text.lines().find(|line| line.contains("1 stream up, rate")).unwrap();
        let cells: Vec<_> = line.split_whitespace().rev().take(5).collect();
        assert_eq!(cells, ["1.00", "yes", "0.75", "0.70", ">="]);
        assert_eq!(text.lines().count(), 3, "what was not measured is not in the table: {text}");
    }
}
