//! What is asked for, from the query of a request.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::cpu::Wanted;

/// A query that asks for what there is not.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Invalid {
    #[error("invalid seconds value; expected 1-300")]
    Seconds,
    #[error("invalid frequency value; expected 1-1000")]
    Frequency,
    #[error("invalid activate value; expected true or false")]
    Activate,
}

const SECONDS: (RangeInclusive<u32>, u32) = (1..=300, 10);
const FREQUENCY: (RangeInclusive<u32>, u32) = (1..=1000, 100);

/// How long to sample, and how often.
pub(super) fn cpu(query: &str) -> Result<Wanted, Invalid> {
    let seconds = number(query, "seconds", SECONDS).ok_or(Invalid::Seconds)?;
    let frequency = number(query, "frequency", FREQUENCY).ok_or(Invalid::Frequency)?;
    Ok(Wanted {
        length: Duration::from_secs(seconds.into()),
        frequency: NonZeroU32::new(frequency).ok_or(Invalid::Frequency)?,
    })
}

/// Whether to start or to end the profiling of the heap, or neither.
pub(super) fn activation(query: &str) -> Result<Option<bool>, Invalid> {
    value(query, "activate").map(|value| value.parse().map_err(|_| Invalid::Activate)).transpose()
}

/// A number within the range, or the default where none is given.
fn number(query: &str, name: &str, (range, default): (RangeInclusive<u32>, u32)) -> Option<u32> {
    let Some(value) = value(query, name) else { return Some(default) };
    value.parse().ok().filter(|number| range.contains(number))
}

/// The first value of a name. All values that make sense are plain ASCII, so nothing is unescaped.
fn value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| match pair.split_once('=').unwrap_or((pair, "")) {
        (found, value) if found == name => Some(value),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_profile_is_as_long_and_as_dense_as_is_asked_for() {
        for (query, wanted) in [
            ("", Ok((10, 100))),
            ("seconds=1", Ok((1, 100))),
            ("seconds=300&frequency=1000", Ok((300, 1000))),
            ("frequency=1", Ok((10, 1))),
            ("unknown=5&&seconds=2", Ok((2, 100))),
            ("seconds=2&seconds=0", Ok((2, 100))),
            ("seconds=0", Err(Invalid::Seconds)),
            ("seconds=301", Err(Invalid::Seconds)),
            ("seconds=-1", Err(Invalid::Seconds)),
            ("seconds=", Err(Invalid::Seconds)),
            ("seconds", Err(Invalid::Seconds)),
            ("seconds=ten", Err(Invalid::Seconds)),
            ("seconds=1.5", Err(Invalid::Seconds)),
            ("seconds=99999999999999999999", Err(Invalid::Seconds)),
            ("frequency=0", Err(Invalid::Frequency)),
            ("frequency=1001", Err(Invalid::Frequency)),
            ("frequency=x", Err(Invalid::Frequency)),
            ("seconds=0&frequency=0", Err(Invalid::Seconds)),
        ] {
            let found = cpu(query).map(|wanted| (wanted.length.as_secs(), wanted.frequency.get()));
            assert_eq!(found, wanted, "{query}");
        }
    }

    #[test]
    fn heap_profiling_is_started_and_ended_by_name() {
        for (query, wanted) in [
            ("", Ok(None)),
            ("other=true", Ok(None)),
            ("activate=true", Ok(Some(true))),
            ("activate=false", Ok(Some(false))),
            ("activate", Err(Invalid::Activate)),
            ("activate=", Err(Invalid::Activate)),
            ("activate=1", Err(Invalid::Activate)),
            ("activate=True", Err(Invalid::Activate)),
        ] {
            assert_eq!(activation(query), wanted, "{query}");
        }
    }
}
