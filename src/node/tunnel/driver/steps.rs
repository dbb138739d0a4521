//! What moves on the legs: their turns to send, what came for them, and how each direction ends.

use std::io::{self, IoSlice};

use culvert_core::hbone::proxy_status::Said;
use culvert_core::tunnel::http2::{Answer, Code, Event, Role, StreamId};
use culvert_sys::{stream, tcp};

use super::backlog::Backlog;
use super::evidence::near;
use super::leg::{Carried, Leg};
use super::{Driver, Over, Wish, attempt};
use crate::limits::{self, Limit};
use crate::stream::{Broken, Count, Early, Moved};
use crate::tunnel::inbox::{self, Why};

/// What became of a turn.
enum Turn {
    Moved,
    Nothing,
    /// There is no room until output has been written.
    NoRoom,
}

impl Driver {
    /// Looks at the sockets that woke us, and lets everybody who has something to say send, in turn.
    pub(super) fn take_turns(&mut self) -> Result<bool, Over> {
        for slot in std::mem::take(&mut self.ready) {
            self.woken(slot);
        }
        let mut progress = false;
        while let Some(slot) = self.turns.next() {
            match self.turn(slot) {
                Turn::Moved => progress = true,
                Turn::Nothing => {}
                Turn::NoRoom => {
                    self.turns.first_again(slot);
                    break;
                }
            }
        }
        Ok(progress)
    }

    fn woken(&mut self, slot: usize) {
        let Some(leg) = self.legs.find(slot) else { return };
        leg.look();
        let Some(carried) = &leg.carried else { return };
        let listens = !carried.sending_over && !carried.stalled && carried.may_say() > 0;
        if !carried.blocked && !leg.backlog.is_empty() {
            self.empty(slot);
        }
        if listens {
            self.queue(slot);
        } else {
            self.look_for_a_break(slot);
        }
    }

    /// Gives a leg its turn, if it has something to say.
    pub(super) fn queue(&mut self, slot: usize) {
        let Some(carried) = self.legs.find(slot).and_then(|leg| leg.carried.as_mut()) else { return };
        let speaks = carried.readable && !carried.sending_over && carried.may_say() > 0;
        if (speaks || !carried.unsent().is_empty()) && !carried.queued {
            carried.queued = true;
            self.turns.sparse(slot);
        }
    }

    pub(super) fn look_for_a_break(&mut self, slot: usize) {
        if let Some(broken) = self.legs.find(slot).and_then(Leg::look_for_a_break) {
            self.broken_by_application(slot, broken);
        }
    }

    fn turn(&mut self, slot: usize) -> Turn {
        let Some(leg) = self.legs.find(slot) else { return Turn::Nothing };
        let stream = leg.stream;
        let Some(carried) = &mut leg.carried else { return Turn::Nothing };
        carried.queued = false;
        let window = self.engine.window(stream);
        if window == 0 {
            return self.stall(slot);
        }
        self.lend();
        let room = self.engine.room();
        let Some(carried) = self.legs.find(slot).and_then(|leg| leg.carried.as_mut()) else {
            return Turn::Nothing;
        };
        // A small buffer has less room than some want, however empty it is.
        if room < carried.want.min(self.engine.lent()) / 4 {
            carried.queued = true;
            return Turn::NoRoom;
        }
        let most = window.min(room);
        if carried.unsent().is_empty() { self.read(slot, most) } else { self.repeat(slot, most) }
    }

    /// The stream's window is used up: an event will say when it is not.
    fn stall(&mut self, slot: usize) -> Turn {
        let Some(carried) = self.legs.find(slot).and_then(|leg| leg.carried.as_mut()) else {
            return Turn::Nothing;
        };
        carried.stalled = true;
        match carried.broken.take() {
            // What could still be said, was.
            Some(broken) => self.broken_by_application(slot, broken),
            None => self.look_for_a_break(slot),
        }
        Turn::Nothing
    }

    /// Sends what was read before.
    fn repeat(&mut self, slot: usize, most: usize) -> Turn {
        let Some(leg) = self.legs.find(slot) else { return Turn::Nothing };
        let Some(carried) = &mut leg.carried else { return Turn::Nothing };
        let said = carried.unsent();
        let copied = self.engine.fill(leg.stream, most.min(said.len()), |slots| {
            let mut rest = said;
            Ok(slots.iter_mut().map(|slot| io::Read::read(&mut rest, slot).unwrap_or(0)).sum())
        });
        carried.sent += copied.unwrap_or(0);
        if carried.unsent().is_empty() && carried.asked.is_none() {
            (carried.said, carried.sent) = (Vec::new(), 0);
        }
        leg.look();
        self.queue(slot);
        Turn::Moved
    }

    /// Reads from an application to where it is sealed.
    fn read(&mut self, slot: usize, most: usize) -> Turn {
        let Some(leg) = self.legs.find(slot) else { return Turn::Nothing };
        let Some(carried) = &mut leg.carried else { return Turn::Nothing };
        let most = most.min(carried.want).min(carried.may_say());
        if carried.may_say() == 0 {
            self.look_for_a_break(slot);
            return Turn::Nothing;
        }
        if !carried.readable || carried.sending_over || most == 0 {
            return Turn::Nothing;
        }
        let Carried { socket, said, asked, .. } = carried;
        let mut places = 0;
        let read = self.engine.fill(leg.stream, most, |slots| {
            places = slots.iter().map(|slot| slot.len()).sum();
            // Urgent data ends a read, too, and there may be more behind it.
            let emptied = |read: &usize| *read < places && !tcp::is_at_mark(socket);
            let read = attempt::read(socket, || stream::read(socket, slots), emptied)?;
            if asked.is_some() {
                keep(said, slots, read);
            }
            Ok(read)
        });
        if asked.is_some() {
            carried.sent = carried.said.len();
        }
        match read {
            Ok(0) => self.end_of_application(slot),
            Ok(read) => self.has_read(slot, read, places),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.wait_for_more(slot);
                Turn::Nothing
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.queue(slot);
                Turn::Nothing
            }
            Err(error) => {
                self.broken_by_application(slot, Broken::of(&error));
                Turn::Moved
            }
        }
    }

    fn has_read(&mut self, slot: usize, read: usize, places: usize) -> Turn {
        let role = self.role;
        let Some(carried) = self.legs.find(slot).and_then(|leg| leg.carried.as_mut()) else {
            return Turn::Nothing;
        };
        from_application(role, carried).add(read);
        carried.adapt(read);
        if let Some(now) = carried.bulk.moved(read) {
            self.gauge.bulk(now);
        }
        if read < places {
            self.wait_for_more(slot);
        } else {
            carried.queued = true;
            if carried.keeps_its_turn(read) {
                self.turns.keep(slot);
            } else {
                self.turns.bulk(slot);
            }
        }
        Turn::Moved
    }

    /// The socket is empty; asks to be woken when it is not.
    fn wait_for_more(&mut self, slot: usize) {
        let Some(leg) = self.legs.find(slot) else { return };
        if let Some(carried) = &mut leg.carried {
            carried.readable = false;
        }
        leg.look();
        self.queue(slot);
    }

    /// The application has sent all.
    fn end_of_application(&mut self, slot: usize) -> Turn {
        let Some(leg) = self.legs.find(slot) else { return Turn::Nothing };
        let stream = leg.stream;
        let Some(carried) = &mut leg.carried else { return Turn::Nothing };
        carried.sending_over = true;
        carried.moved.closed(near(self.role));
        if let Some(broken) = carried.broken.take() {
            // It looks like an end, and is a break: the other direction has found out.
            self.broken_by_application(slot, broken);
            return Turn::Moved;
        }
        self.engine.finish(stream);
        self.look_for_a_break(slot);
        self.settle_when_over(slot);
        self.probe_when_half_closed(slot);
        Turn::Moved
    }

    pub(super) fn take_event(&mut self, event: &mut Event) {
        match event {
            Event::Request { stream, request } => {
                let (inbox, (offered, withdrawn)) = (&self.inbox, inbox::offered());
                self.legs.insert(|slot| Leg::offered(*stream, inbox.waker(slot), offered));
                self.timer.is_used();
                limits::has(Limit::StreamsOfTunnel, self.legs.count() as u64);
                self.offers.push(Wish { stream: *stream, request: std::mem::take(request), withdrawn });
            }
            Event::Answer { stream, answer } => self.answered(*stream, std::mem::take(answer)),
            Event::End { stream } => self.end_of_stream(*stream),
            Event::Reset { stream, code, by } => self.reset(*stream, *code, *by),
            Event::Refused { stream } => self.unopened(*stream, Why::Unseen),
            Event::Room { stream } => self.room(*stream),
            Event::Capacity => {
                self.show_capacity();
                self.speak_early();
            }
            Event::Data { .. } => {}
        }
    }

    /// Connections that wait for an answer begin to speak when the peer turns out to take that.
    fn speak_early(&mut self) {
        if !self.engine.http2().takes_early_data() {
            return;
        }
        for slot in 0..self.legs.slots() {
            let asked = self.legs.find(slot).and_then(|leg| leg.carried.as_mut()?.asked.as_mut());
            if let Some(asked) = asked.filter(|asked| !asked.early) {
                asked.early = true;
                self.queue(slot);
            }
        }
    }

    fn answered(&mut self, stream: StreamId, answer: Answer) {
        if answer.status != 200 {
            let said = Said::parse(answer.fields.all("proxy-status")).map(Box::new);
            self.unopened(stream, Why::Status(answer.status, said));
            self.engine.reset(stream, Code::CANCEL);
            return;
        }
        let Some(slot) = self.legs.slot(stream) else { return };
        let Some(leg) = self.legs.find(slot) else { return };
        let Some(carried) = &mut leg.carried else { return };
        if let Some(asked) = carried.asked.take() {
            // Nobody there to hear it: then the order to abandon it is on its way.
            let _ = asked.answer.send(Ok(answer.fields));
            // Before anything the peer says.
            if let Some(Err(error)) = asked.waiting.map(|waiting| waiting.connected()) {
                return self.broken_by_application(slot, Broken::of(&error));
            }
        }
        if carried.unsent().is_empty() {
            (carried.said, carried.sent) = (Vec::new(), 0);
        }
        leg.look();
        self.queue(slot);
    }

    fn room(&mut self, stream: StreamId) {
        let Some(slot) = self.legs.slot(stream) else { return };
        let Some(carried) = self.legs.find(slot).and_then(|leg| leg.carried.as_mut()) else { return };
        carried.stalled = false;
        if !carried.queued {
            carried.queued = true;
            self.turns.bulk(slot);
        }
    }

    /// Passes on what came for a stream.
    pub(super) fn deliver(&mut self, stream: StreamId, pieces: &[IoSlice<'_>]) {
        let role = self.role;
        let Some(slot) = self.legs.slot(stream) else { return };
        let Some(leg) = self.legs.find(slot) else { return };
        let all: usize = pieces.iter().map(|piece| piece.len()).sum();
        if leg.carried.as_ref().is_some_and(|carried| carried.broken.is_some()) {
            self.engine.consumed(stream, all);
            return;
        }
        let written = match leg.write(pieces) {
            Ok(written) => written,
            Err(error) => {
                self.engine.consumed(stream, all);
                return self.takes_no_more(slot, Broken::of(&error));
            }
        };
        let account = leg.is_accounted().then_some(&self.account);
        let kept = leg.backlog.keep(pieces, written, account);
        let (waits, mut more) = (leg.backlog.len(), !leg.backlog.is_empty());
        if let Some(carried) = &mut leg.carried {
            to_application(role, &carried.moved).add(written);
            more &= !carried.blocked;
            if let Some(now) = carried.bulk.moved(written) {
                self.gauge.bulk(now);
            }
        }
        self.engine.consumed(stream, written);
        if let Err(exceeded) = kept {
            return self.no_place(slot, exceeded);
        }
        if waits > 0 {
            limits::has(Limit::BufferedBytesOfStream, waits as u64);
            limits::has(Limit::BufferedBytesOfTunnel, self.engine.http2().held());
        }
        if more {
            // It took a part, and then there was room again.
            self.empty(slot);
        }
    }

    /// Writes what the application did not take at once.
    pub(super) fn empty(&mut self, slot: usize) {
        let role = self.role;
        let Some(leg) = self.legs.find(slot) else { return };
        let stream = leg.stream;
        match leg.write_backlog() {
            Err(error) => self.takes_no_more(slot, Broken::of(&error)),
            Ok(written) => {
                let done = leg.backlog.is_empty() && leg.peer_ended;
                if let Some(carried) = &leg.carried {
                    to_application(role, &carried.moved).add(written);
                }
                self.engine.consumed(stream, written);
                if done {
                    self.end_application(slot);
                }
            }
        }
    }

    fn end_of_stream(&mut self, stream: StreamId) {
        let Some(slot) = self.legs.slot(stream) else { return };
        let Some(leg) = self.legs.find(slot) else { return };
        leg.peer_ended = true;
        if let Some(carried) = &leg.carried {
            carried.moved.closed(near(self.role).other());
        }
        if leg.backlog.is_empty() {
            self.end_application(slot);
        }
    }

    /// Tells the application that it has all.
    pub(super) fn end_application(&mut self, slot: usize) {
        let Some(carried) = self.legs.find(slot).and_then(|leg| leg.carried.as_mut()) else { return };
        if carried.broken.is_some() {
            return;
        }
        carried.receiving_over = true;
        match tcp::end_sending(&carried.socket) {
            // The application is gone, and reading tells whether properly.
            Err(error) if error.kind() != io::ErrorKind::NotConnected => {
                self.takes_no_more(slot, Broken::of(&error));
            }
            _ => {
                self.settle_when_over(slot);
                self.probe_when_half_closed(slot);
            }
        }
    }

    fn settle_when_over(&mut self, slot: usize) {
        if self.legs.find(slot).is_some_and(|leg| leg.is_over())
            && let Some(carried) = self.legs.remove(slot).and_then(|leg| leg.carried)
        {
            self.note_end(&carried);
            // Whoever waited may have gone.
            let _ = carried.done.send(Ok(()));
        }
    }

    /// The application takes nothing any more. What it has said before is still sent.
    fn takes_no_more(&mut self, slot: usize, broken: Broken) {
        let Some(leg) = self.legs.find(slot) else { return };
        let (stream, left) = (leg.stream, leg.backlog.len());
        leg.backlog = Backlog::default();
        let Some(carried) = &mut leg.carried else { return };
        carried.moved.closed(near(self.role));
        if carried.sending_over || carried.stalled {
            return self.broken_by_application(slot, broken);
        }
        carried.broken = Some(broken);
        carried.readable = true;
        self.engine.consumed(stream, left);
        self.queue(slot);
    }

    /// The application has broken the connection.
    fn broken_by_application(&mut self, slot: usize, broken: Broken) {
        let Some(leg) = self.legs.remove(slot) else { return };
        // It is the connection itself that has failed (RFC 9113 §8.5); what this node cuts is cancelled.
        self.engine.reset(leg.stream, Code::CONNECT_ERROR);
        let Some(mut carried) = leg.carried else { return };
        carried.moved.closed(near(self.role));
        if let Some(asked) = carried.asked.take() {
            return carried.give_back(asked, Why::ClientGone(broken));
        }
        self.note_end(&carried);
        let _ = carried.done.send(Err(Early::of(near(self.role), broken)));
    }
}

/// Keeps what was read.
fn keep(said: &mut Vec<u8>, slots: &[io::IoSliceMut<'_>], mut read: usize) {
    for slot in slots {
        let kept = read.min(slot.len());
        said.extend_from_slice(&slot[..kept]);
        read -= kept;
    }
}

/// What counts the bytes an application sends: it connected, or was connected to.
fn from_application(role: Role, carried: &Carried) -> &Count {
    match role {
        Role::Client => &carried.moved.forth,
        Role::Server => &carried.moved.back,
    }
}

/// What counts the bytes it is sent.
pub(super) fn to_application(role: Role, moved: &Moved) -> &Count {
    match role {
        Role::Client => &moved.back,
        Role::Server => &moved.forth,
    }
}
