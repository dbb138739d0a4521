//! One stream of our end, following its script.

use culvert_core::tunnel::http2::{Code, Fields, Role, StreamId};
use rand::RngExt;

use super::{MOST_OUT, Ours};
use crate::plan::Script;
use crate::report::Report;
use crate::text;

/// What is known of a stream besides its report.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) index: usize,
    pub(super) answered: bool,
    /// Whether it was asked for with the peer's limits known.
    pub(super) informed: bool,
    pub(super) may_send: bool,
    /// What came and was not consumed.
    pub(super) backlog: usize,
    sender_rest: u32,
    receiver_rest: u32,
}

impl Leg {
    pub(super) fn new(index: usize, role: Role, informed: bool) -> Self {
        Self {
            index,
            answered: false,
            informed,
            may_send: true,
            backlog: 0,
            sender_rest: if role == Role::Server { 2 } else { 0 },
            receiver_rest: 0,
        }
    }
}

impl Ours {
    /// Gives every leg a turn; says whether any will have something to do in the next.
    pub(super) fn act(&mut self) -> bool {
        if self.ended.writing {
            return false;
        }
        let mut streams: Vec<StreamId> = self.legs.keys().copied().collect();
        if self.random.random() {
            streams.reverse();
        }
        let mut progress = false;
        for stream in streams {
            progress |= self.act_on(stream);
        }
        progress
    }

    fn act_on(&mut self, stream: StreamId) -> bool {
        let plan = std::rc::Rc::clone(&self.plan);
        let script = &plan.scripts[self.legs[&stream].index];
        if self.give_up(stream, script) {
            return true;
        }
        let mut progress = self.consume(stream, script);
        progress |= self.answer(stream, script);
        progress |= self.speak(stream, script);
        self.forget_when_over(stream);
        progress
    }

    fn parts(&mut self, stream: StreamId) -> (&mut Leg, &mut Report) {
        let leg = self.legs.get_mut(&stream).unwrap();
        let report = &mut self.reports[leg.index];
        (leg, report)
    }

    /// Resets the stream when its script says so.
    fn give_up(&mut self, stream: StreamId, script: &Script) -> bool {
        let breaks = script.breaks(self.plan.role);
        let (_, report) = self.parts(stream);
        let due = breaks.filter(|breaks| report.sent + report.received >= breaks.after);
        let Some(breaks) = due else { return false };
        if !(report.sent_end && report.received_end) {
            report.reset_sent = Some(breaks.code);
        }
        self.http2.reset(stream, Code(breaks.code));
        self.legs.remove(&stream);
        self.may_open = true;
        true
    }

    fn consume(&mut self, stream: StreamId, script: &Script) -> bool {
        let rests = script.receives(self.plan.role).receiver_rests;
        let (stay, share) = (rest(&mut self.random, rests), self.random.random_range(1..=4));
        let (leg, _) = self.parts(stream);
        if leg.backlog == 0 {
            return false;
        }
        if leg.receiver_rest > 0 {
            leg.receiver_rest -= 1;
            return true;
        }
        leg.receiver_rest = stay;
        let bytes = leg.backlog.div_ceil(share);
        leg.backlog -= bytes;
        self.http2.consumed(stream, bytes);
        true
    }

    fn answer(&mut self, stream: StreamId, script: &Script) -> bool {
        let role = self.plan.role;
        let (leg, report) = self.parts(stream);
        if role == Role::Client || leg.answered {
            return false;
        }
        if leg.sender_rest > 0 {
            leg.sender_rest -= 1;
            return true;
        }
        leg.answered = true;
        report.answered = Some(script.status);
        let end = script.status != 200;
        if end {
            report.sent_end = true;
            report.reset_sent = (!report.received_end).then_some(Code::NO_ERROR.0);
        }
        let mut fields = Fields::default();
        for (name, value) in &script.fields {
            fields.add(name.as_bytes(), value.as_bytes());
        }
        self.http2.answer(stream, script.status, &fields, end);
        if end {
            self.legs.remove(&stream);
        }
        true
    }

    fn speak(&mut self, stream: StreamId, script: &Script) -> bool {
        let role = self.plan.role;
        let way = script.sends(role);
        let stay = rest(&mut self.random, way.sender_rests);
        let is_full = self.out.len() > MOST_OUT;
        let Some(leg) = self.legs.get_mut(&stream) else { return false };
        let report = &mut self.reports[leg.index];
        let may_speak = leg.answered || (script.early && role == Role::Client);
        if report.sent_end || is_full || !may_speak {
            return false;
        }
        if leg.sender_rest > 0 {
            leg.sender_rest -= 1;
            return true;
        }
        leg.sender_rest = stay;
        let refused = report.answered.is_some_and(|status| status != 200);
        let left = if refused { 0 } else { way.bytes - report.sent };
        if left == 0 {
            return self.finish(stream, &[]);
        }
        if !leg.may_send {
            return false;
        }
        let room = self.http2.room(stream).min(left).min(way.piece).min(16_384);
        leg.may_send = room > 0;
        if room == 0 {
            return false;
        }
        let payload = text::make(way.key, report.sent, room);
        report.sent += room;
        if room == left && self.random.random() {
            return self.finish(stream, &payload);
        }
        self.put(stream, &payload, false);
        true
    }

    fn finish(&mut self, stream: StreamId, payload: &[u8]) -> bool {
        self.parts(stream).1.sent_end = true;
        self.put(stream, payload, true);
        true
    }

    fn put(&mut self, stream: StreamId, payload: &[u8], end: bool) {
        self.collect();
        let head = self.http2.data(stream, payload.len(), end);
        self.out.extend_from_slice(&head);
        self.out.extend_from_slice(payload);
    }

    fn forget_when_over(&mut self, stream: StreamId) {
        let Some(leg) = self.legs.get(&stream) else { return };
        let report = &self.reports[leg.index];
        if report.sent_end && report.received_end && leg.backlog == 0 {
            self.legs.remove(&stream);
            self.may_open = true;
        }
    }
}

/// Turns to rest for now.
fn rest(random: &mut impl RngExt, one_in: u32) -> u32 {
    if one_in > 0 && random.random_ratio(1, one_in) { random.random_range(1..40) } else { 0 }
}
