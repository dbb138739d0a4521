//! The rounds: every load on every subject in turn, so that what changes on the machine meanwhile meets all alike.

use std::time::Instant;

use culvert_process::exit::Chain;

use super::error::Error;
use super::handshake::Handshake;
use super::interrupt::Interrupt;
use super::load::{PartName, Work};
use super::plan::{Load, Pace, What};
use super::progress::Progress;
use super::results::{Measure, Results, Series};
use super::subject::Subject;
use super::time_wait;

mod cold;
mod idle;
mod worked;

/// What is measured, and how often.
pub(super) struct Run<'r> {
    pub(super) subjects: Vec<Subject>,
    pub(super) loads: Vec<Load>,
    pub(super) rounds: usize,
    pub(super) pace: Pace,
    pub(super) handshake: Option<Handshake>,
    pub(super) interrupt: &'r Interrupt,
}

impl Run<'_> {
    /// Measures everything, and takes it down. What has been measured before an error is in the results.
    pub(super) fn measure(mut self, results: &mut Results) -> Result<(), Error> {
        let mut progress = Progress::new(self.steps());
        for round in 0..self.rounds {
            self.subjects.rotate_left(1);
            for load in self.loads_of(round) {
                self.subjects.rotate_left(1);
                for subject in self.subjects.iter_mut().filter(|subject| load.is_for(subject.kind)) {
                    self.interrupt.check()?;
                    let began = Instant::now();
                    let measuring = Measuring { load, pace: self.pace, handshake: self.handshake.as_ref() };
                    let shown = measuring.of(subject, results)?;
                    let (round, name) = (round + 1, subject.kind.name());
                    let shown = format!("round {round}, {} on {name}: {shown}", load.name);
                    progress.done(load.name, began.elapsed(), &shown);
                }
            }
        }
        Ok(())
    }

    fn loads_of(&self, round: usize) -> Vec<Load> {
        let is_due = |load: &&Load| !load.is_costly() || round < self.pace.costly_rounds;
        self.loads.iter().filter(is_due).copied().collect()
    }

    /// How often each load is measured in all, by name.
    fn steps(&self) -> Vec<&'static str> {
        let of = |load: Load| {
            self.subjects.iter().filter(move |subject| load.is_for(subject.kind)).map(move |_| load.name)
        };
        (0..self.rounds).flat_map(|round| self.loads_of(round)).flat_map(of).collect()
    }
}

/// One load about to be measured.
struct Measuring<'m> {
    load: Load,
    pace: Pace,
    handshake: Option<&'m Handshake>,
}

impl Measuring<'_> {
    /// Measures a subject; gives back the first figure, to be shown. What fails is noted, and the run goes on.
    fn of(&self, subject: &mut Subject, results: &mut Results) -> Result<String, Error> {
        match self.attempt(subject, results) {
            Err(error @ Error::Interrupted { .. }) => Err(error),
            Err(error) => {
                let (load, name) = (self.load.name, subject.kind.name());
                results.note(format!("{load} on {name} could not be measured: {}", Chain(&error)));
                Ok(format!("failed: {}", Chain(&error)))
            }
            Ok(shown) => Ok(shown),
        }
    }

    fn attempt(&self, subject: &mut Subject, results: &mut Results) -> Result<String, Error> {
        if !subject.is_up() {
            let (load, name) = (self.load.name, subject.kind.name());
            results.note(format!("a proxy of {name} ended by itself, seen before {load}; started anew"));
            subject.restart()?;
            subject.bed.wait_until_it_carries()?;
        }
        match self.load.what {
            What::Work(work) => {
                if matches!(work, Work::Connect { .. } | Work::Beside { .. }) {
                    time_wait::clear(&subject.bed)?;
                }
                self.worked(subject, work, results)
            }
            What::Pressed { clients } => {
                let [at_client, at_server] = time_wait::make(&subject.bed)?;
                let series = self.series(subject, PartName::Connect);
                results.add(series, Measure::TimeWaitClient, at_client as f64);
                results.add(series, Measure::TimeWaitServer, at_server as f64);
                if at_client.min(at_server) < time_wait::MANY {
                    let (load, name) = (series.load, series.subject);
                    results.note(format!(
                        "{load} on {name}: only {at_client} and {at_server} in TIME_WAIT in time"
                    ));
                }
                self.worked(subject, Work::Connect { clients }, results)
            }
            What::Idle { connections } => self.idle(subject, connections, results),
            What::Cold => self.cold(subject, results),
        }
    }

    fn series(&self, subject: &Subject, part: PartName) -> Series {
        Series { load: self.load.name, part, subject: subject.kind.name() }
    }
}
