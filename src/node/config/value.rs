//! Parsers of single values. Each returns the reason when it refuses.

use std::str::FromStr;
use std::time::Duration;

use super::{Environment, Error};
use crate::control_plane::{Root, Token};

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("use `true` or `false`".into()),
    }
}

pub(super) fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "not a whole number in range".into())
}

/// How many there may be of what cannot be none.
pub(super) fn at_least_one(text: &str) -> Result<u64, String> {
    let most = number::<u64>(text)?;
    if most > 0 { Ok(most) } else { Err("must be at least 1".into()) }
}

/// Memory for what applications do not take: less than a megabyte would be in the way of every connection.
pub(super) fn buffered(text: &str) -> Result<u64, String> {
    let bytes = number::<u64>(text)?;
    if bytes >= 1 << 20 { Ok(bytes) } else { Err("must be at least 1048576 bytes".into()) }
}

/// How many series a family of metrics may have.
pub(super) fn most_series(text: &str) -> Result<usize, String> {
    let most = number::<usize>(text)?;
    if (1..=1_000_000).contains(&most) { Ok(most) } else { Err("must be between 1 and 1000000".into()) }
}

/// A flow-control window: RFC 9113 §6.9.1 allows up to 2^31-1 bytes.
pub(super) fn window(text: &str) -> Result<u32, String> {
    let window = number::<u32>(text)?;
    if (65_535..=0x7fff_ffff).contains(&window) {
        return Ok(window);
    }
    Err("must be between 65535 and 2147483647 bytes".into())
}

/// SETTINGS_MAX_FRAME_SIZE: RFC 9113 §6.5.2.
pub(super) fn frame_size(text: &str) -> Result<u32, String> {
    let size = number::<u32>(text)?;
    if (16_384..=16_777_215).contains(&size) {
        return Ok(size);
    }
    Err("must be between 16384 and 16777215 bytes".into())
}

/// What the kernel takes for TCP_KEEPIDLE and TCP_KEEPINTVL (`tcp(7)`).
pub(super) fn keepalive_time(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if (1..=32_767).contains(&time.as_secs()) {
        Ok(time)
    } else {
        Err("must be between 1s and 32767s".into())
    }
}

/// What the kernel takes for TCP_KEEPCNT (`tcp(7)`).
pub(super) fn keepalive_retries(text: &str) -> Result<u32, String> {
    let retries = number::<u32>(text)?;
    if (1..=127).contains(&retries) { Ok(retries) } else { Err("must be between 1 and 127".into()) }
}

/// How often a connection is probed (`TCP_KEEPIDLE`); never when it is zero.
pub(super) fn probe(text: &str) -> Result<Option<Duration>, String> {
    if duration(text)?.is_zero() {
        return Ok(None);
    }
    keepalive_time(text).map(Some).map_err(|error| format!("{error}, or 0 for never"))
}

/// How often something is done; never when it is zero.
pub(super) fn interval(text: &str) -> Result<Option<Duration>, String> {
    match duration(text)? {
        Duration::ZERO => Ok(None),
        often if often < Duration::from_secs(1) => Err("must be at least 1s, or 0 for never".into()),
        interval => Ok(Some(interval)),
    }
}

/// A sum of terms such as `3m+31`; a term is a number with a unit, a bare number is seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write for example `500ms`, `30s`, `5m` or `1h`");
    text.split('+').try_fold(Duration::ZERO, |sum, term| {
        let term = duration_term(term.trim()).ok_or_else(wrong)?;
        sum.checked_add(term).ok_or_else(wrong)
    })
}

fn duration_term(term: &str) -> Option<Duration> {
    let split = term.find(|c: char| !c.is_ascii_digit()).unwrap_or(term.len());
    let (digits, unit) = term.split_at(split);
    let amount: u64 = digits.parse().ok()?;
    let nanos: u64 = match unit.trim() {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "" | "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3_600 * 1_000_000_000,
        "d" => 86_400 * 1_000_000_000,
        "w" => 7 * 86_400 * 1_000_000_000,
        _ => return None,
    };
    amount.checked_mul(nanos).map(Duration::from_nanos)
}

/// Where trusted roots are: PEM text says so itself, and everything else but `SYSTEM` is a file, there or not yet.
pub(super) fn root(text: &str) -> Root {
    match text {
        "SYSTEM" => Root::System,
        pem if pem.contains("-----BEGIN") => Root::Pem(pem.to_owned()),
        path => Root::File(path.into()),
    }
}

/// A token file when it looks like a path or is one, else the token itself.
pub(super) fn token(text: &str) -> Token {
    let path = std::path::Path::new(text);
    if text.starts_with(['/', '.']) || path.exists() {
        return Token::File(path.to_owned());
    }
    Token::Text(text.into())
}

/// More threads than this are a slip of the pen.
const MOST_THREADS: usize = 1024;

/// How many worker threads the data plane gets: said, or derived from the CPU limits.
pub(super) fn worker_threads(env: &Environment, concurrency: Option<usize>) -> Result<usize, Error> {
    wanted_threads(env, concurrency).map(|threads| threads.clamp(1, MOST_THREADS))
}

fn wanted_threads(env: &Environment, concurrency: Option<usize>) -> Result<usize, Error> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let limit = cpu_limit(env)?;
    let request = optional_cpus(env, "ZTUNNEL_RESOURCE_CPU_REQUEST")?.unwrap_or(0);
    let cpus = limit.unwrap_or(cores);
    if env.optional("ZTUNNEL_WORKER_THREADS").is_some() {
        return env.parse("ZTUNNEL_WORKER_THREADS", |text| threads(text, cpus));
    }
    if let Some(concurrency) = concurrency {
        return Ok(if concurrency == 0 { cpus } else { concurrency });
    }
    if let Some(explicit) = optional_cpus(env, "ZTUNNEL_RESOURCE_CPU_LIMIT")? {
        return Ok(explicit.max(request));
    }
    Ok(cpus.div_ceil(4).max(request).max(2))
}

fn cpu_limit(env: &Environment) -> Result<Option<usize>, Error> {
    if let Some(limit) = optional_cpus(env, "ZTUNNEL_RESOURCE_CPU_LIMIT")? {
        return Ok(Some(limit));
    }
    match env.optional("ZTUNNEL_CPU_LIMIT") {
        Some(_) => env.parse("ZTUNNEL_CPU_LIMIT", number::<usize>).map(Some),
        None => Ok(None),
    }
}

fn optional_cpus(env: &Environment, name: &'static str) -> Result<Option<usize>, Error> {
    match env.optional(name) {
        Some(_) => env.parse(name, quantity).map(Some),
        None => Ok(None),
    }
}

fn threads(text: &str, cpus: usize) -> Result<usize, String> {
    let Some(percent) = text.strip_suffix('%') else {
        return number::<usize>(text).map(|threads| if threads == 0 { cpus } else { threads });
    };
    match percent.parse::<usize>() {
        Ok(percent @ 1..=100) => Ok(cpus.saturating_mul(percent).div_ceil(100)),
        _ => Err("a percentage of CPUs must be between 1% and 100%".into()),
    }
}

/// A Kubernetes CPU quantity (`2`, `1.5`, `500m`), rounded up to whole CPUs.
fn quantity(text: &str) -> Result<usize, String> {
    let wrong = || "not a CPU quantity; write for example `2`, `1.5` or `500m`".to_owned();
    let (digits, scale) = match text.strip_suffix('m') {
        Some(milli) => (milli, 1_000.0),
        None => (text, 1.0),
    };
    let amount: f64 = digits.parse().map_err(|_| wrong())?;
    if !(amount.is_finite() && (0.0..=1e6).contains(&amount)) {
        return Err(wrong());
    }
    Ok((amount / scale).ceil() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in
            [("5", 5_000), ("500ms", 500), ("3m+31", 211_000), ("1h", 3_600_000), ("2 s", 2_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1s", "1x", "1s+", "99999999999999w"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn cpu_quantities_round_up() {
        for (text, cpus) in [("2", 2), ("1.5", 2), ("500m", 1), ("2500m", 3)] {
            assert_eq!(quantity(text), Ok(cpus), "{text}");
        }
        for text in ["", "m", "two", "-1", "NaN", "inf"] {
            assert!(quantity(text).is_err(), "{text}");
        }
    }

    #[test]
    fn thread_counts() {
        const SAID: &str = "ZTUNNEL_WORKER_THREADS";
        const CPUS: &str = "ZTUNNEL_CPU_LIMIT";
        const LIMIT: &str = "ZTUNNEL_RESOURCE_CPU_LIMIT";
        const REQUEST: &str = "ZTUNNEL_RESOURCE_CPU_REQUEST";
        for (set, concurrency, count) in [
            (&[(SAID, "4"), (CPUS, "2")][..], Some(7), 4),
            (&[(SAID, "0"), (CPUS, "8")], Some(7), 8),
            (&[(SAID, "0"), (CPUS, "0")], None, 1),
            (&[(SAID, "25%"), (CPUS, "8")], None, 2),
            (&[(SAID, "26%"), (CPUS, "8")], None, 3),
            (&[(SAID, "1%"), (CPUS, "8")], None, 1),
            (&[(SAID, "50%"), (CPUS, "8"), (LIMIT, "2")], None, 1),
            (&[(SAID, "4000000000")], None, MOST_THREADS),
            (&[(CPUS, "8")], Some(3), 3),
            (&[(CPUS, "8")], Some(0), 8),
            (&[(LIMIT, "2")], Some(0), 2),
            (&[(LIMIT, "2")], None, 2),
            (&[(LIMIT, "1500m"), (REQUEST, "500m")], None, 2),
            (&[(LIMIT, "2"), (REQUEST, "3.5")], None, 4),
            (&[(LIMIT, "0"), (CPUS, "8")], None, 1),
            (&[(CPUS, "4")], None, 2),
            (&[(CPUS, "9")], None, 3),
            (&[(CPUS, "9"), (REQUEST, "5")], None, 5),
        ] {
            let env = Environment::of(set.iter().copied());
            assert_eq!(worker_threads(&env, concurrency).unwrap(), count, "{set:?} {concurrency:?}");
        }
        for (name, value) in [(SAID, ""), (SAID, "0%"), (SAID, "101%"), (SAID, "-1"), (LIMIT, "two")] {
            let env = Environment::of([(name, value)].into_iter());
            assert!(worker_threads(&env, None).is_err(), "{name}={value}");
        }
    }
}
