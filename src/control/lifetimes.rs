//! How long certificates of workloads are good for: when nothing is asked for, and at most.

use std::time::Duration;

use clap::Args;

/// What is written on the command line.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct LifetimeArgs {
    /// How long a certificate is good for when the request does not say.
    #[arg(long, env = "DEFAULT_WORKLOAD_CERT_TTL", value_name = "DURATION", default_value = "24h", value_parser = duration)]
    default_ttl: Duration,
    /// The longest that is given; who asks for more is refused.
    #[arg(long, env = "MAX_WORKLOAD_CERT_TTL", value_name = "DURATION", default_value = "90d", value_parser = duration)]
    max_ttl: Duration,
}

/// What is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifetimes {
    usual: Duration,
    longest: Duration,
}

/// Settings that contradict each other.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("--default-ttl ({usual:?}) is longer than --max-ttl ({longest:?}); make one of them fit the other")]
pub(crate) struct Contradiction {
    usual: Duration,
    longest: Duration,
}

/// More is asked for than is given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{asked} seconds are asked for, at most {} are given", longest.as_secs())]
pub(crate) struct TooLong {
    asked: i64,
    longest: Duration,
}

impl TryFrom<LifetimeArgs> for Lifetimes {
    type Error = Contradiction;

    fn try_from(args: LifetimeArgs) -> Result<Self, Contradiction> {
        let LifetimeArgs { default_ttl: usual, max_ttl: longest } = args;
        if usual > longest { Err(Contradiction { usual, longest }) } else { Ok(Self { usual, longest }) }
    }
}

impl Lifetimes {
    /// No certificate of a workload is good for longer.
    pub(crate) fn longest(&self) -> Duration {
        self.longest
    }

    /// The life of a certificate for which so many seconds are asked; for none or fewer, the usual one.
    pub(crate) fn of(&self, asked: i64) -> Result<Duration, TooLong> {
        match u64::try_from(asked).map(Duration::from_secs) {
            Err(_) | Ok(Duration::ZERO) => Ok(self.usual),
            Ok(life) if life <= self.longest => Ok(life),
            Ok(_) => Err(TooLong { asked, longest: self.longest }),
        }
    }
}

/// Numbers with units in a row: `24h`, `90d`, `1h30m0s`; of a second at least.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write for example `24h`, `90d` or `1h30m`");
    let mut seconds: u64 = 0;
    for term in text.split_inclusive(|c: char| !c.is_ascii_digit()) {
        seconds = term_seconds(term).and_then(|more| seconds.checked_add(more)).ok_or_else(wrong)?;
    }
    // Beyond this, dates have no four digits any more.
    let fits = (1..=100 * 365 * 24 * 3600).contains(&seconds);
    if fits { Ok(Duration::from_secs(seconds)) } else { Err(wrong()) }
}

fn term_seconds(term: &str) -> Option<u64> {
    let (digits, unit) = term.split_at(term.find(|c: char| !c.is_ascii_digit())?);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        lifetimes: LifetimeArgs,
    }

    fn read(line: &[&str]) -> Result<Lifetimes, String> {
        let line = [&["control"], line].concat();
        let args = Line::try_parse_from(line).map_err(|error| error.to_string())?;
        Lifetimes::try_from(args.lifetimes).map_err(|error| error.to_string())
    }

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn a_day_is_usual_and_a_quarter_of_a_year_the_longest() {
        let lifetimes = read(&[]).unwrap();
        assert_eq!(lifetimes, Lifetimes { usual: DAY, longest: DAY * 90 });
        for (asked, expected) in [(0, DAY), (-1, DAY), (i64::MIN, DAY), (1, Duration::from_secs(1))] {
            assert_eq!(lifetimes.of(asked), Ok(expected));
        }
        let most = 90 * 24 * 3600;
        assert_eq!(lifetimes.of(most), Ok(DAY * 90));
        let refused = lifetimes.of(most + 1).unwrap_err().to_string();
        assert_eq!(refused, "7776001 seconds are asked for, at most 7776000 are given");
    }

    #[test]
    fn both_can_be_set_and_must_fit_each_other() {
        let lifetimes = read(&["--default-ttl", "1h30m0s", "--max-ttl", "2h"]).unwrap();
        assert_eq!(lifetimes.of(0), Ok(Duration::from_secs(5400)));
        assert!(lifetimes.of(7201).is_err());
        assert!(read(&["--max-ttl", "23h"]).unwrap_err().contains("make one of them fit"));
        for wrong in
            ["", "24", "h", "1.5h", "1w", "0s", "-1h", "1h 30m", "99999999999999999999h", "101d365h1000000d"]
        {
            assert!(read(&["--default-ttl", wrong]).is_err(), "{wrong}");
        }
    }
}
