//! What a run says at its end: tables of all loads, what was aimed at and what was reached, and where it was measured.

use std::fmt::Write as _;
use std::path::Path;

use self::column::{Column, columns};
use self::table::Table;
use super::error::{Doing as _, Error};
use super::load::{PartName, Work};
use super::machine::Machine;
use super::plan::{Load, What};
use super::results::{Results, Series};
use crate::figures::Figures;

mod column;
mod goals;
mod table;

/// The row of a bare handshake, beside the subjects.
pub(super) const HANDSHAKE: &str = "handshake";
/// The subject that the others are compared with.
const RELAY: &str = "relay";
const DIRECT: &str = "direct";

const EXPLANATION: &str = "\
Each table is one load, carried by every subject in turn in every round; the figures are medians over the rounds. The \
client and the server are pods on two nodes, joined by virtual wires on one machine (TCP with cubic, or reno where namespaces may not choose it); each subject has its own. `direct` is \
no proxy; `relay` is a pair of plain TCP relays without cryptography, the practical ceiling of a proxy on this path; the \
others are pairs of proxies with mutual TLS in between. CPU time is that of the two proxy processes, each also by itself: \
the one at the client and the one at the server. Ratios are to the relays, to no proxy, or, for small requests beside bulk \
streams, to the same subject without the streams. All share the cores of the machine with the load generator, which takes \
a large part of them: compare within a table, not with other machines.";

const WATCHED: &str = "\
Two pods on two nodes whose mesh is large; 2,000 requests a second of 1 byte on 8 connections that stay and 50 a second on new \
ones, well below what the path carries. Windows in which nobody looks take turns with windows in which two readers ask the node \
at the client again and again, as fast as it answers and throwing away what they get: one for `/config_dump`, one for `/metrics` \
and `/v1/connections`. They are on the same machine and give way to others, as the part of the node does that answers. A \
percentile is of all requests that began in the windows of a kind; the ratio has a goal, and beside it is the median of \
the ratios of single pairs of windows, which a disturbance from elsewhere does not move.\n\n";

const ATTACKED: &str = "\
Two pods on two nodes, the victim: 2,000 requests a second of 1 byte on 8 connections that stay and 50 a second on new ones, and then \
4 streams of 50 MB/s beside them. Windows in which nobody else does anything take turns with windows in which somebody attacks, from \
their beginning on: `hold` and `churn` from a pod beside the client, `silent`, `streams` and `resets` from outside of the mesh's pods \
against the server's node. Attackers, and who answers them, are on the same machine and give way to others. Each attack meets nodes \
that have just been started.\n\n";

const PUSH: &str = "\
`culvert-control` with 100,000 workloads, 10,000 services and a policy for each of 500 namespaces, and 1,000 simulated nodes \
connected to it over loopback with TLS, which answer everything and look at nothing; they are in another process, and share the \
cores of the machine with the server. Changes are edits of a small file beside the large one, medians over the rounds: the time to \
the first node includes up to 150 ms until the file is looked at.\n\n";

/// What was measured of Culvert alone.
#[derive(Debug, Default)]
pub(super) struct More {
    /// Of the mesh state, if it was measured.
    pub(super) mesh: Option<Figures>,
    /// With and without somebody who looks, if that was measured.
    pub(super) watched: Option<Figures>,
    /// With and without somebody who attacks, if that was measured.
    pub(super) attacked: Option<Figures>,
    /// Of the control plane, if it was measured.
    pub(super) push: Option<Figures>,
}

impl More {
    /// What was measured, each with its title and, where that says too little, an explanation.
    fn sections(&self) -> impl Iterator<Item = (&'static str, &'static str, &Figures)> {
        let all = [
            ("While somebody looks", WATCHED, &self.watched),
            ("While somebody attacks", ATTACKED, &self.attacked),
            ("Mesh state", "", &self.mesh),
            ("The control plane under many nodes", PUSH, &self.push),
        ];
        all.into_iter().filter_map(|(title, about, figures)| Some((title, about, figures.as_ref()?)))
    }

    /// A figure, wherever it is.
    fn value(&self, name: &str) -> Option<f64> {
        self.sections().find_map(|(.., figures)| figures.value(name))
    }
}

/// What a run has to tell.
pub(super) struct Report<'r> {
    pub(super) results: &'r Results,
    pub(super) loads: &'r [Load],
    pub(super) subjects: &'r [&'static str],
    pub(super) more: &'r More,
    pub(super) machine: &'r Machine,
    pub(super) command: String,
}

impl Report<'_> {
    /// For a terminal.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        for table in self.tables() {
            let _ = write!(text, "\n{table}");
        }
        for (title, _, figures) in self.more.sections() {
            let _ = write!(text, "\n{title}\n{}", figures.table());
        }
        let _ = write!(text, "\n{}", self.summary());
        for note in self.results.notes() {
            let _ = writeln!(text, "\nnote: {note}");
        }
        text
    }

    /// For a file in Markdown.
    pub(super) fn markdown(&self) -> String {
        let mut text = format!("# Benchmarks\n\n{}\n\n{EXPLANATION}\n", self.machine.markdown(&self.command));
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{}", self.summary().markdown());
        for table in self.tables() {
            let _ = write!(text, "\n{}", table.markdown());
        }
        for (title, about, figures) in self.more.sections() {
            let _ = write!(text, "\n## {title}\n\n{about}```text\n{}```\n", figures.table());
        }
        let notes: Vec<_> = self.results.notes().map(|note| format!("- {note}\n")).collect();
        if !notes.is_empty() {
            let _ = write!(text, "\n## Notes\n\n{}", notes.concat());
        }
        text
    }

    /// All values, by round.
    pub(super) fn json(&self) -> String {
        let all = serde_json::json!({
            "command": self.command,
            "machine": self.machine,
            "path": self.results,
            "mesh": self.more.mesh,
            "watched": self.more.watched,
            "attacked": self.more.attacked,
            "push": self.more.push,
            "notes": self.results.notes().collect::<Vec<_>>(),
        });
        format!("{all:#}\n")
    }

    fn summary(&self) -> Table {
        goals::table(self.results, self.more, self.subjects)
    }

    fn tables(&self) -> Vec<Table> {
        self.loads.iter().flat_map(|load| self.tables_of(load)).collect()
    }

    /// One for each part of a load that was measured.
    fn tables_of(&self, load: &Load) -> Vec<Table> {
        let rows: Vec<_> = self.subjects.iter().copied().chain([HANDSHAKE]).collect();
        let all = [PartName::Bulk, PartName::Echo, PartName::Connect, PartName::Idle];
        let tables = all.into_iter().filter_map(|part| {
            let series = |subject| Series { load: load.name, part, subject };
            let rows: Vec<_> =
                rows.iter().map(|subject| series(*subject)).filter(|one| self.results.has(*one)).collect();
            (!rows.is_empty()).then(|| self.table(load, part, &rows))
        });
        tables.collect()
    }

    fn table(&self, load: &Load, part: PartName, rows: &[Series]) -> Table {
        let columns = columns(load, part);
        let what = match (load.what, part) {
            (What::Work(Work::Beside { .. }), PartName::Echo) => ": on a connection that stays",
            (What::Work(Work::Beside { .. }), PartName::Connect) => ": on new connections",
            (What::Work(Work::Beside { .. }), PartName::Bulk) => ": the streams",
            _ => "",
        };
        let title = format!("{}{what}", load.title);
        let mut table = Table::new(&title, columns.iter().map(|column| column.title));
        for series in rows {
            let cells = columns.iter().map(|column: &&Column| column.cell(self.results, *series)).collect();
            table.row(series.subject, cells);
        }
        table
    }
}

/// Writes a report to a file.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).doing(|| format!("write {}", path.display()))
}
