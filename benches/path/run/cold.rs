//! The first byte through a cold tunnel, beside a bare handshake.

use std::time::Duration;

use culvert_process::exit::Chain;

use super::Measuring;
use crate::path::error::Error;
use crate::path::load::PartName;
use crate::path::report::HANDSHAKE;
use crate::path::results::{Measure, Results, Series};
use crate::path::statistics::median;
use crate::path::subject::Subject;

impl Measuring<'_> {
    pub(super) fn cold(&self, subject: &mut Subject, results: &mut Results) -> Result<String, Error> {
        let ways = subject.cold_ways()?;
        // In between, so that both meet the machine in the same state.
        if let Some(handshake) = self.handshake {
            let series = Series { load: self.load.name, part: PartName::Connect, subject: HANDSHAKE };
            for time in handshake.measure(ways.len())? {
                results.add(series, Measure::FirstByte, microseconds(time));
            }
        }
        let series = self.series(subject, PartName::Connect);
        let mut times = Vec::new();
        for (from, to) in &ways {
            match subject.bed.first_byte(from, *to) {
                Ok(time) => times.push(microseconds(time)),
                Err(error) => results.failed(series, 1, Some(&Chain(&error).to_string())),
            }
        }
        times.iter().for_each(|time| results.add(series, Measure::FirstByte, *time));
        subject.forget(&ways)?;
        Ok(format!("median {:.0} us", median(&times).unwrap_or_default()))
    }
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
