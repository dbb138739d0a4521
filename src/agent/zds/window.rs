//! The requests a node was sent and has not answered yet, in the order they were sent in. Pure: no socket, no clock.
//!
//! Answers carry no number: each is the answer to the oldest request. Requests wait at the node, in its socket, so its time for one
//! begins when that has become the oldest: a node that takes its time for each is not cut off because of a queue. One that is slow
//! is sent one request at a time, so that a removal never waits behind many additions.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::message::Request;
use crate::pod::Uid;

/// How many requests may be outstanding at a node that is quick.
pub(crate) const WIDTH: usize = 16;

/// How long a node may take for a request. None is outstanding for longer than [`WIDTH`] times this.
pub(crate) const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// A node that takes longer than this for a request is slow.
const SLOW: Duration = Duration::from_secs(1);

/// One node's outstanding requests.
#[derive(Debug)]
pub(crate) struct Window {
    requests: VecDeque<Request>,
    width: usize,
    /// Since when the oldest request has been the oldest. Of no meaning without requests.
    since: Instant,
}

impl Window {
    pub(crate) fn new(now: Instant) -> Self {
        Self { requests: VecDeque::new(), width: WIDTH, since: now }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.requests.len() < self.width
    }

    /// Whether a request about this pod is outstanding.
    pub(crate) fn concerns(&self, uid: &Uid) -> bool {
        self.requests.iter().any(|request| request.uid() == Some(uid))
    }

    /// Takes in a request that was sent.
    pub(crate) fn push(&mut self, request: Request, now: Instant) {
        if self.is_empty() {
            self.since = now;
        }
        self.requests.push_back(request);
    }

    /// Takes out the request that was answered; there is none when the node was not asked anything.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Request> {
        let answered = self.requests.pop_front()?;
        let slow = now.duration_since(self.since) > SLOW;
        self.width = if slow { 1 } else { (self.width * 2).min(WIDTH) };
        self.since = now;
        Some(answered)
    }

    /// Until when the node has to answer the oldest request.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        (!self.is_empty()).then(|| self.since + ANSWER_DEADLINE)
    }

    /// The oldest request.
    pub(crate) fn oldest(&self) -> Option<&Request> {
        self.requests.front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uid: &str) -> Request {
        Request::Delete(uid.into())
    }

    fn fill(window: &mut Window, now: Instant) -> usize {
        let mut sent = 0;
        while window.has_room() {
            window.push(request("u"), now);
            sent += 1;
        }
        sent
    }

    #[test]
    fn each_request_has_the_whole_deadline_once_it_is_the_oldest() {
        let mut now = Instant::now();
        let mut window = Window::new(now);
        assert_eq!(window.deadline(), None);
        // It was idle for a while.
        now += Duration::from_secs(100);
        assert_eq!(fill(&mut window, now), WIDTH);
        for _ in 0..WIDTH {
            assert_eq!(window.deadline(), Some(now + ANSWER_DEADLINE));
            now += Duration::from_secs(4);
            assert!(window.pop(now).is_some());
        }
        assert_eq!(window.deadline(), None);
        assert!(window.pop(now).is_none(), "it was not asked for more");
    }

    #[test]
    fn a_slow_node_is_sent_one_request_at_a_time_until_it_is_quick_again() {
        let mut now = Instant::now();
        let mut window = Window::new(now);
        fill(&mut window, now);
        for left in (1..WIDTH).rev() {
            now += SLOW + Duration::from_millis(1);
            assert!(window.pop(now).is_some());
            assert!(!window.has_room(), "{left} are left");
        }
        now += SLOW + Duration::from_millis(1);
        assert!(window.pop(now).is_some() && window.is_empty());
        let mut at_once = Vec::new();
        for _ in 0..6 {
            fill(&mut window, now);
            at_once.push(window.requests.len());
            assert!(window.pop(now).is_some());
        }
        assert_eq!(at_once, [1, 2, 4, 8, WIDTH, WIDTH]);
    }

    #[test]
    fn answers_are_to_the_oldest_request() {
        let now = Instant::now();
        let mut window = Window::new(now);
        for uid in ["a", "b", "c"] {
            window.push(request(uid), now);
        }
        assert!(window.concerns(&"a".into()) && !window.concerns(&"d".into()));
        let answered = window.pop(now).unwrap();
        assert_eq!(answered.uid(), Some(&"a".into()));
        assert!(!window.concerns(&"a".into()) && window.concerns(&"b".into()));
        assert_eq!(window.oldest().and_then(Request::uid), Some(&"b".into()));
    }
}
