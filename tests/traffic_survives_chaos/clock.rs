//! Clocks that are wrong: what a program of ours takes for the time of day.
//!
//! A library (Debian: `faketime`) stands between the program and the kernel, and reads from a file by how much the time it tells is off.
//! The clocks timeouts go by are left alone.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use culvert_lab::{Launch, LogPosition, Program};

use crate::harness::traffic::town::{Part, Town};

/// How long a program goes by what the file has said before.
const NOTICED: Duration = Duration::from_secs(1);
/// Between a program's look at the clock and its line in the log, and between the line and our look.
const DELAY: Duration = Duration::from_secs(2);
/// What is off by more than that was told by a wrong clock: faults are off by hours.
const OFF: Duration = Duration::from_secs(30 * 60);

/// The library.
#[track_caller]
fn library() -> PathBuf {
    let path = format!("/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", std::env::consts::ARCH);
    let path = PathBuf::from(path);
    assert!(
        path.exists(),
        "{} is missing, without which no clock can be put wrong; install it: apt-get install faketime (make test does)",
        path.display()
    );
    path
}

/// Says how wrong a program's clock is.
fn file(town: &Town, part: Part) -> PathBuf {
    match part {
        Part::Node(side) => town.nodes[side].directory().join("clock"),
        Part::Agent(side) => town.nodes[side].directory().join("clock-of-the-agent"),
        Part::Control | Part::Waypoint => town.lab.directory().join("clock"),
    }
}

/// Has a program go by a clock that can be put wrong.
#[track_caller]
pub(super) fn settable(town: &Town, part: Part, launch: Launch) -> Launch {
    let file = file(town, part);
    if !file.exists() {
        fs::write(&file, "+0").unwrap();
    }
    launch
        .env("LD_PRELOAD", library().display())
        .env("FAKETIME_TIMESTAMP_FILE", file.display())
        .env("FAKETIME_CACHE_DURATION", NOTICED.as_secs())
        .env("FAKETIME_DONT_FAKE_MONOTONIC", 1)
}

/// Puts a program's clock wrong by hours, or right.
#[track_caller]
pub(super) fn put(town: &Town, part: Part, hours: i32) {
    fs::write(file(town, part), format!("{hours:+}h")).unwrap();
}

/// A clock that is wrong.
pub(super) struct Wrong {
    part: Part,
    since: SystemTime,
    program: Program,
    position: LogPosition,
}

impl Wrong {
    /// Puts a program's clock wrong by hours.
    #[track_caller]
    pub(super) fn by(town: &Town, part: Part, hours: i32) -> Self {
        let program = town.program(part);
        let position = program.log_position();
        put(town, part, hours);
        Self { part, since: SystemTime::now(), program, position }
    }

    /// Puts it right. What the program has logged meanwhile must not tell the right time.
    #[track_caller]
    pub(super) fn put_right(self, town: &Town) {
        let (noticed, now) = (self.since + NOTICED + DELAY, SystemTime::now());
        let is_right = |line: &&str| time_of(line).is_some_and(|time| (noticed..=now).contains(&time));
        let log = self.program.log_since(self.position);
        if let Some(line) = log.lines().find(is_right) {
            town.journal
                .violated(format!("the clock of {:?} was to be wrong, and is not: {line}", self.part));
        }
        put(town, self.part, 0);
    }
}

/// Whether a line of a log was written by a clock that is off by so many hours.
pub(super) fn is_off(line: &str, hours: i32) -> bool {
    let Some(time) = time_of(line) else { return false };
    let length = Duration::from_secs(u64::from(hours.unsigned_abs()) * 3600);
    let now = SystemTime::now();
    let wanted = if hours < 0 { now - length } else { now + length };
    (wanted - OFF..wanted + OFF).contains(&time)
}

/// The time at the beginning of a line of a log: `2026-01-31T12:34:56.`, in UTC.
fn time_of(line: &str) -> Option<SystemTime> {
    let (date, rest) = line.split_once('T')?;
    let number = |text: &str| text.parse::<i64>().ok();
    let numbers = |text: &str, by: char| text.splitn(3, by).map(number).collect::<Option<Vec<_>>>();
    let [year, month, day] = numbers(date, '-')?[..] else { return None };
    let [hours, minutes, seconds] = numbers(rest.get(..8)?, ':')?[..] else { return None };
    // Days since 1970, counted from a March, so that what is behind the end of February is at the end of a year.
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        years * 365 + years / 4 - years / 100 + years / 400 + (153 * months + 2) / 5 + day - 1 - 719_468;
    let seconds = u64::try_from(((days * 24 + hours) * 60 + minutes) * 60 + seconds).ok()?;
    Some(UNIX_EPOCH + Duration::from_secs(seconds))
}

#[test]
fn the_time_of_a_line_is_read() {
    let seconds = |line: &str| time_of(line).map(|time| time.duration_since(UNIX_EPOCH).unwrap().as_secs());
    assert_eq!(seconds("2027-01-15T08:00:00.123456Z\tinfo\tready"), Some(1_800_000_000));
    assert_eq!(seconds("1970-01-01T00:00:01Z"), Some(1));
    assert_eq!(seconds("2024-02-29T23:59:59Z"), Some(1_709_251_199));
    assert_eq!(seconds("2024-03-01T00:00:00Z"), Some(1_709_251_200));
    for line in ["", "Terrible", "culvert-node: no", "2024-03-01T0"] {
        assert_eq!(time_of(line), None, "{line}");
    }
}
