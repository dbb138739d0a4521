//! Limits on frames that cost us work and move nothing forward.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Code;
use crate::tunnel::Fault;

/// What is left of each allowance.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Floods {
    /// PING, SETTINGS, PRIORITY, unknown and empty frames, more frames for streams that are over than there can be.
    pointless: Bucket,
    /// Streams taken back before we answered (CVE-2023-44487).
    taken_back: Bucket,
    /// Window updates: so many for what we have sent.
    window_updates: u32,
    /// Octets that were allowed on streams which we have given up since: they may be on their way.
    late: u64,
    /// Frames for streams that are over, which were on their way when both ends parted.
    late_frames: u32,
}

/// An allowance that fills again with time.
#[derive(Debug, Serialize, Deserialize)]
struct Bucket {
    left: u32,
    most: u32,
    each_second: u32,
    #[serde(skip)]
    filled: Option<Instant>,
}

/// Of every stream: an answer, an end, and a reset.
const LATE_FRAMES: u32 = 3;
const MOST_LATE_FRAMES: u32 = 10_000;
const MOST_WINDOW_UPDATES: u32 = 10_000;
const WINDOW_UPDATES_OF_DATA: u32 = 10;

impl Floods {
    pub(super) fn new() -> Self {
        Self {
            pointless: Bucket::new(1_000, 500),
            taken_back: Bucket::new(1_000, 200),
            window_updates: MOST_WINDOW_UPDATES,
            late: 0,
            late_frames: 0,
        }
    }

    pub(super) fn pointless(&mut self, now: Instant) -> Result<(), Fault> {
        self.pointless.take(now, "too many frames that say nothing")
    }

    pub(super) fn taken_back(&mut self, now: Instant) -> Result<(), Fault> {
        self.taken_back.take(now, "too many streams taken back before they were answered")
    }

    pub(super) fn window_update(&mut self) -> Result<(), Fault> {
        let left = self.window_updates.checked_sub(1);
        self.window_updates = left.ok_or_else(|| calm("too many window updates for what was sent"))?;
        Ok(())
    }

    /// A stream is over on which so much was still allowed.
    pub(super) fn gave_up(&mut self, octets: u32) {
        self.late = self.late.saturating_add(octets.into());
        self.late_frames = (self.late_frames + LATE_FRAMES).min(MOST_LATE_FRAMES);
    }

    /// A frame for a stream that is over.
    pub(super) fn late_frame(&mut self, now: Instant) -> Result<(), Fault> {
        match self.late_frames.checked_sub(1) {
            Some(left) => self.late_frames = left,
            None => self.pointless(now)?,
        }
        Ok(())
    }

    /// DATA of a stream that is over.
    pub(super) fn late_data(&mut self, now: Instant, octets: u32) -> Result<(), Fault> {
        match self.late.checked_sub(octets.into()) {
            Some(left) if octets > 0 => self.late = left,
            _ => self.late_frame(now)?,
        }
        Ok(())
    }

    /// We have sent a DATA frame.
    pub(super) fn sent_data(&mut self) {
        self.window_updates = (self.window_updates + WINDOW_UPDATES_OF_DATA).min(MOST_WINDOW_UPDATES);
    }
}

impl Bucket {
    fn new(most: u32, each_second: u32) -> Self {
        Self { left: most, most, each_second, filled: None }
    }

    fn take(&mut self, now: Instant, what: &'static str) -> Result<(), Fault> {
        self.fill(now);
        self.left = self.left.checked_sub(1).ok_or_else(|| calm(what))?;
        Ok(())
    }

    fn fill(&mut self, now: Instant) {
        let filled = *self.filled.get_or_insert(now);
        let each = Duration::from_secs(1) / self.each_second;
        let drops = now.saturating_duration_since(filled).as_nanos() / each.as_nanos();
        let drops = u32::try_from(drops).unwrap_or(u32::MAX);
        if drops > 0 {
            self.left = self.left.saturating_add(drops).min(self.most);
            // What was not a whole drop counts next time.
            self.filled = Some(filled.checked_add(each.saturating_mul(drops)).unwrap_or(now).min(now));
        }
    }
}

pub(super) fn calm(what: &'static str) -> Fault {
    Fault::Http2 { code: Code::ENHANCE_YOUR_CALM, what }
}
