//! What is counted, as text: the classic format of Prometheus (0.0.4) or OpenMetrics (1.0.0), in pieces.
//!
//! Families come in the order of their names, series in the order of their labels. Each family is looked at when its turn comes:
//! what is held meanwhile is pointers to its series, and a piece of text.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;
use std::vec;

use crate::collected::Collected;
use crate::registry::{Family, Registry};
use crate::series::{Numbers, Observed, Series, Shape};

/// How long a piece is, about.
const PIECE: usize = 32 << 10;
/// The units that are named in the names of families.
const UNITS: [&str; 2] = ["seconds", "bytes"];

/// The two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Classic,
    /// OpenMetrics 1.0.0: counters are named without `_total`, units are told, and the end is marked.
    OpenMetrics,
}

/// The text, piece by piece.
#[derive(Debug)]
pub struct Exposition {
    format: Format,
    registry: Arc<Registry>,
    families: vec::IntoIter<(String, Source)>,
    current: Option<Current>,
    has_ended: bool,
}

#[derive(Debug)]
enum Source {
    Counted(Family),
    Looked(Collected),
}

/// The family whose turn it is.
#[derive(Debug)]
struct Current {
    /// The name of its samples.
    name: String,
    column: usize,
    samples: Samples,
}

#[derive(Debug)]
enum Samples {
    Counted(vec::IntoIter<Arc<Series>>),
    Looked(vec::IntoIter<(String, f64)>),
}

impl Exposition {
    pub(crate) fn of(registry: &Arc<Registry>, format: Format) -> Self {
        let looked = registry.look().into_iter().map(|it| (it.name.to_owned(), Source::Looked(it)));
        let counted = registry.families().into_iter().map(|(name, it)| (name, Source::Counted(it)));
        let mut families: Vec<_> = looked.chain(counted).collect();
        // Of two with one name the first counts: one that is looked up.
        families.sort_by(|one, other| one.0.cmp(&other.0));
        families.dedup_by(|later, first| later.0 == first.0);
        let (families, registry) = (families.into_iter(), Arc::clone(registry));
        Self { format, registry, families, current: None, has_ended: false }
    }

    /// Writes a sample or the head of a family; `false` at the end.
    fn write_next(&mut self, text: &mut String) -> bool {
        if let Some(current) = &mut self.current {
            if !current.write_next(text, self.format) {
                self.current = None;
            }
            return true;
        }
        if let Some((name, source)) = self.families.next() {
            self.begin(&name, source, text);
            return true;
        }
        if self.format == Format::OpenMetrics && !self.has_ended {
            text.push_str("# EOF\n");
        }
        self.has_ended = true;
        false
    }

    fn begin(&mut self, name: &str, source: Source, text: &mut String) {
        let (kind, help, column, samples) = match source {
            Source::Counted(family) => {
                let kind = kind(family.table.shape());
                let all = family.table.all(Instant::now());
                let shown = |series: &Arc<Series>| kind != "counter" || series.count(family.column).is_some();
                let mut shown: Vec<_> = all.into_iter().filter(shown).collect();
                shown.sort_unstable_by(|one, other| one.labels.cmp(&other.labels));
                (kind, self.registry.help(name), family.column, Samples::Counted(shown.into_iter()))
            }
            Source::Looked(looked) => {
                let kind = if looked.is_counter { "counter" } else { "gauge" };
                (kind, Some(looked.help.into()), 0, Samples::Looked(looked.samples.into_iter()))
            }
        };
        if samples.are_none() {
            return;
        }
        let (family, sample) = match self.format {
            Format::OpenMetrics if kind == "counter" => {
                let family = name.strip_suffix("_total").unwrap_or(name);
                (family, format!("{family}_total"))
            }
            Format::OpenMetrics | Format::Classic => (name, name.to_owned()),
        };
        self.write_head(text, family, kind, help.as_deref());
        self.current = Some(Current { name: sample, column, samples });
    }

    fn write_head(&self, text: &mut String, family: &str, kind: &str, help: Option<&str>) {
        if let Some(help) = help {
            let help = help.replace('\\', "\\\\").replace('\n', "\\n");
            let help = match self.format {
                Format::OpenMetrics => help.replace('"', "\\\""),
                Format::Classic => help,
            };
            push(text, format_args!("# HELP {family} {help}\n"));
        }
        push(text, format_args!("# TYPE {family} {kind}\n"));
        let is_of = |unit: &&&str| family.strip_suffix(**unit).is_some_and(|rest| rest.ends_with('_'));
        if self.format == Format::OpenMetrics
            && let Some(unit) = UNITS.iter().find(is_of)
        {
            push(text, format_args!("# UNIT {family} {unit}\n"));
        }
    }
}

impl Iterator for Exposition {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut text = String::with_capacity(PIECE + PIECE / 8);
        while text.len() < PIECE && self.write_next(&mut text) {}
        (!text.is_empty()).then_some(text)
    }
}

impl Samples {
    fn are_none(&self) -> bool {
        match self {
            Self::Counted(series) => series.as_slice().is_empty(),
            Self::Looked(samples) => samples.as_slice().is_empty(),
        }
    }
}

impl Current {
    fn write_next(&mut self, text: &mut String, format: Format) -> bool {
        match &mut self.samples {
            Samples::Counted(all) => {
                let Some(series) = all.next() else { return false };
                write_series(text, &self.name, &series, self.column, format);
            }
            Samples::Looked(all) => {
                let Some((labels, value)) = all.next() else { return false };
                sample(text, &self.name, "", (&labels, ""), value);
            }
        }
        true
    }
}

fn write_series(text: &mut String, name: &str, series: &Series, column: usize, format: Format) {
    let labels = (&*series.labels, "");
    match &series.numbers {
        Numbers::Counters(_) => {
            text.push_str(name);
            braces(text, labels);
            push(text, format_args!(" {}\n", series.count(column).unwrap_or_default()));
        }
        Numbers::Gauge(bits) => {
            let value = f64::from_bits(bits.load(std::sync::atomic::Ordering::Relaxed));
            sample(text, name, "", labels, value);
        }
        Numbers::Histogram(observed) => histogram(text, name, &series.labels, observed, format),
    }
}

fn histogram(text: &mut String, name: &str, labels: &str, observed: &Observed, format: Format) {
    let (sum, buckets) = observed.read();
    let mut count = 0;
    let bounds = observed.bounds.iter().copied().chain([f64::INFINITY]);
    for (bound, number) in bounds.zip(buckets) {
        count += number;
        let bound = match format {
            _ if bound.is_infinite() => "le=\"+Inf\"".to_owned(),
            // There a bound is written as a floating-point number, also a whole one.
            Format::OpenMetrics => format!("le=\"{bound:?}\""),
            Format::Classic => format!("le=\"{bound}\""),
        };
        sample(text, name, "_bucket", (labels, &bound), count as f64);
    }
    sample(text, name, "_sum", (labels, ""), sum);
    sample(text, name, "_count", (labels, ""), count as f64);
}

fn sample(text: &mut String, name: &str, suffix: &str, labels: (&str, &str), value: f64) {
    text.push_str(name);
    text.push_str(suffix);
    braces(text, labels);
    if value.is_infinite() {
        text.push_str(if value > 0.0 { " +Inf\n" } else { " -Inf\n" });
    } else {
        push(text, format_args!(" {value}\n"));
    }
}

fn braces(text: &mut String, (labels, last): (&str, &str)) {
    if labels.is_empty() && last.is_empty() {
        return;
    }
    text.push('{');
    text.push_str(labels);
    if !labels.is_empty() && !last.is_empty() {
        text.push(',');
    }
    text.push_str(last);
    text.push('}');
}

fn kind(shape: &Shape) -> &'static str {
    match shape {
        Shape::Counters(_) => "counter",
        Shape::Gauge => "gauge",
        Shape::Histogram(_) => "histogram",
    }
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("a string takes any text");
}

#[cfg(test)]
mod tests;
