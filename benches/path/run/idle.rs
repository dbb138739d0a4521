//! Memory of the proxies: of new processes, and what connections that do nothing add to it.

use super::Measuring;
use crate::memory;
use crate::path::error::Error;
use crate::path::load::{PartName, Side, Work};
use crate::path::results::{Measure, Results};
use crate::path::subject::Subject;

/// Connections made and closed before memory counts: what is only allocated once is there then.
const WARM_UP: usize = 400;

impl Measuring<'_> {
    pub(super) fn idle(
        &self,
        subject: &mut Subject,
        connections: usize,
        results: &mut Results,
    ) -> Result<String, Error> {
        subject.restart()?;
        let new = self.resident(subject);
        subject.bed.wait_until_it_carries()?;
        let warm_up = Work::Fill { connections: WARM_UP, closes: Side::Client, skip: 0 };
        subject.bed.drive(warm_up, self.pace.warm, self.pace.small)?;
        let before = self.resident(subject);
        let (with, outcome) = subject.bed.while_idle(connections, || self.resident(subject))?;
        let series = self.series(subject, PartName::Idle);
        let mut held = 0;
        for part in &outcome.parts {
            held += part.total;
            results.failed(series, part.failures, part.first_failure.as_deref());
        }
        let each = |side: usize| (with[side] - before[side]) * 1e3 / held.max(1) as f64;
        let values = [
            (Measure::NewClient, new[0]),
            (Measure::NewServer, new[1]),
            (Measure::IdleClient, each(0)),
            (Measure::IdleServer, each(1)),
        ];
        values.into_iter().for_each(|(measure, value)| results.add(series, measure, value));
        Ok(format!("{:.1} and {:.1} kB for each of {held} connections", each(0), each(1)))
    }

    /// MB of each proxy, once it has settled.
    fn resident(&self, subject: &Subject) -> [f64; 2] {
        let Some(proxies) = &subject.proxies else { return [0.0; 2] };
        memory::settled(proxies.each_ref().map(culvert_lab::Program::pid), self.pace.settle)
    }
}
