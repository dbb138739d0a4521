//! One stream of h2's end, following its script: one half speaks, the other listens.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use culvert_core::tunnel::http2::Role;
use h2::{Reason, RecvStream, SendStream};
use http::HeaderMap;
use rand::RngExt;
use rand::rngs::SmallRng;

use crate::plan::{Plan, Script};
use crate::report::Report;
use crate::text;

/// What both halves know.
pub(super) struct Leg {
    plan: Rc<Plan>,
    index: usize,
    role: Role,
    pub(super) report: RefCell<Report>,
    random: RefCell<SmallRng>,
    /// Nothing more will come.
    listened: Cell<bool>,
    wakers: RefCell<Vec<Waker>>,
}

impl Leg {
    pub(super) fn new(plan: &Rc<Plan>, index: usize, role: Role) -> Self {
        Self {
            plan: Rc::clone(plan),
            index,
            role,
            report: RefCell::new(Report { opened: true, ..Report::default() }),
            random: RefCell::new(plan.chance(1_000 + index as u64)),
            listened: Cell::new(false),
            wakers: RefCell::default(),
        }
    }

    pub(super) fn script(&self) -> &Script {
        &self.plan.scripts[self.index]
    }

    /// Changes what is known of the stream; the other half looks at it again.
    pub(super) fn note(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.report.borrow_mut());
        self.wake();
    }

    fn wake(&self) {
        for waker in self.wakers.take() {
            waker.wake();
        }
    }

    pub(super) fn listened(&self) {
        self.listened.set(true);
        self.wake();
    }

    fn wake_later(&self, cx: &Context<'_>) {
        self.wakers.borrow_mut().push(cx.waker().clone());
    }

    /// Whether the script says that it is time to reset the stream.
    pub(super) fn is_due(&self) -> bool {
        let report = self.report.borrow();
        self.script().breaks(self.role).is_some_and(|breaks| report.sent + report.received >= breaks.after)
    }

    /// Whether we have reset it ourselves.
    pub(super) fn was_given_up(&self) -> bool {
        self.report.borrow().reset_sent.is_some()
    }

    /// Whether an error says that the server, who leaves, has not looked at the stream.
    pub(super) fn is_told(&self, error: &h2::Error) -> bool {
        self.plan.leave.is_some() && (error.is_go_away() || self.plan.is_cut())
    }

    fn is_broken(&self) -> bool {
        let report = self.report.borrow();
        report.reset_sent.is_some() || report.reset_seen.is_some()
    }

    pub(super) async fn rest(&self, one_in: u32) {
        let turns = {
            let mut random = self.random.borrow_mut();
            if one_in > 0 && random.random_ratio(1, one_in) { random.random_range(1..40) } else { 0 }
        };
        super::rest(turns).await;
    }

    fn up_to(&self, most: usize) -> usize {
        self.random.borrow_mut().random_range(1..=most)
    }

    /// Says what is to be said, then waits for a moment to break off.
    pub(super) async fn speak(&self, send: &mut SendStream<Bytes>) {
        if self.role == Role::Client && !self.script().early {
            self.until(|report| report.answered.is_some()).await;
        }
        if self.say(send).await.is_err() && !self.is_broken() {
            // After the end of what is to be listened to, only this half sees a reset.
            if let Ok(reason) = poll_fn(|cx| send.poll_reset(cx)).await {
                self.note(|report| report.reset_seen = Some(reason.into()));
            }
        }
        self.until(|_| false).await;
        if self.is_due() && !self.is_broken() {
            let code = self.script().breaks(self.role).unwrap().code;
            self.note(|report| report.reset_sent = Some(code));
            send.send_reset(Reason::from(code));
        }
    }

    /// Waits until the stream is broken, due to be, has nothing more to come, or `is_so`.
    async fn until(&self, is_so: impl Fn(&Report) -> bool) {
        poll_fn(|cx| {
            if self.is_due() || self.is_broken() || self.listened.get() || is_so(&self.report.borrow()) {
                return Poll::Ready(());
            }
            self.wake_later(cx);
            Poll::Pending
        })
        .await;
    }

    async fn say(&self, send: &mut SendStream<Bytes>) -> Result<(), h2::Error> {
        let way = self.script().sends(self.role);
        loop {
            self.rest(way.sender_rests).await;
            let (sent, refused) = {
                let report = self.report.borrow();
                (report.sent, report.answered.is_some_and(|status| status != 200))
            };
            if self.is_due() || self.is_broken() {
                return Ok(());
            }
            let left = if refused { 0 } else { way.bytes - sent };
            if left == 0 {
                break;
            }
            let Some(room) = self.room(send, left.min(way.piece)).await? else { continue };
            let length = self.up_to(room.min(left).min(way.piece));
            send.send_data(text::make(way.key, sent, length).into(), false)?;
            self.note(|report| report.sent += length);
        }
        if way.trailers {
            let mut trailers = HeaderMap::new();
            super::headers(self.script(), &mut trailers);
            send.send_trailers(trailers)?;
        } else {
            send.send_data(Bytes::new(), true)?;
        }
        self.note(|report| report.sent_end = true);
        Ok(())
    }

    /// `None` when something else must be looked at.
    async fn room(&self, send: &mut SendStream<Bytes>, wanted: usize) -> Result<Option<usize>, h2::Error> {
        send.reserve_capacity(wanted);
        poll_fn(|cx| {
            if send.capacity() > 0 {
                return Poll::Ready(Ok(Some(send.capacity())));
            }
            if self.is_due() || self.is_broken() {
                return Poll::Ready(Ok(None));
            }
            self.wake_later(cx);
            match send.poll_capacity(cx) {
                Poll::Ready(Some(room)) => Poll::Ready(room.map(Some)),
                Poll::Ready(None) => Poll::Ready(Err(Reason::CANCEL.into())),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Takes what comes, and gives its window back after a while.
    pub(super) async fn listen(&self, receive: &mut RecvStream) -> Result<(), String> {
        let way = self.script().receives(self.role);
        let mut held = 0;
        loop {
            match self.next(receive, &mut held).await {
                None => break,
                Some(Err(error)) => return self.end(Some(&error)),
                Some(Ok(data)) => {
                    let at = self.report.borrow().received;
                    if !text::is(way.key, at, &data) {
                        return Err(format!(
                            "h2 saw wrong payload of {}, {} octets at {at}",
                            self.index,
                            data.len()
                        ));
                    }
                    held += data.len();
                    self.note(|report| report.received += data.len());
                    self.rest(way.receiver_rests).await;
                    if self.up_to(3) == 1 {
                        let bytes = self.up_to(held.max(1)).min(held);
                        held -= bytes;
                        // When the stream is broken there is no window to give back.
                        let _ = receive.flow_control().release_capacity(bytes);
                    }
                }
            }
        }
        match receive.trailers().await {
            Ok(None) => self.end(None),
            Ok(Some(_)) => Err("we never send trailers".to_owned()),
            Err(error) => self.end(Some(&error)),
        }
    }

    async fn next(&self, receive: &mut RecvStream, held: &mut usize) -> Option<Result<Bytes, h2::Error>> {
        poll_fn(|cx| {
            let data = receive.poll_data(cx);
            if data.is_pending() && *held > 0 {
                let _ = receive.flow_control().release_capacity(std::mem::take(held));
            }
            data
        })
        .await
    }

    pub(super) fn end(&self, error: Option<&h2::Error>) -> Result<(), String> {
        let result = self.note_end(error);
        self.listened();
        result
    }

    fn note_end(&self, error: Option<&h2::Error>) -> Result<(), String> {
        let Some(error) = error else {
            self.note(|report| report.received_end = true);
            return Ok(());
        };
        if error.is_reset() && error.is_remote() {
            let code = error.reason().map(u32::from);
            self.note(|report| report.reset_seen = code);
            return Ok(());
        }
        if self.is_broken() || self.plan.is_cut() {
            return Ok(());
        }
        Err(format!("h2 lost stream {}: {error}", self.index))
    }
}
