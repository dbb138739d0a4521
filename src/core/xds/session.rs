//! What is said on the stream, and what is remembered from one stream to the next.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::pushback::Pushback;

use super::backoff::Backoff;
use super::demand::{Demand, Demands, WaiterId};
use super::{Accepted, Closed, Event, Handled, Kind, Mode, Nack, Request, Version, claims};

/// How long a server may say nothing at all on a new stream.
pub const FIRST_RESPONSE_DEADLINE: Duration = Duration::from_secs(60);

/// Everything.
const WILDCARD: &str = "*";

/// A version no server has, so that the resource is sent again.
const REJECTED: &str = "rejected";

/// One client's view of its conversation with the control plane, over any number of streams.
#[derive(Debug)]
pub struct Session {
    mode: Mode,
    addresses: Table,
    policies: Table,
    demands: Demands,
    backoff: Backoff,
    stream: Option<Stream>,
}

/// What is held of one type.
#[derive(Debug, Default)]
struct Table {
    /// What the store has from the server, with the version to claim for it.
    versions: HashMap<Arc<str>, Version>,
    answered: bool,
}

/// The stream that is open.
#[derive(Debug)]
struct Stream {
    opened: Instant,
    heard: bool,
    silent: bool,
}

impl Session {
    /// Starts with nothing known.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            addresses: Table { answered: mode == Mode::OnDemand, ..Table::default() },
            policies: Table::default(),
            demands: Demands::default(),
            backoff: Backoff::default(),
            stream: None,
        }
    }

    /// A stream is open: gives what to say first.
    pub fn opened(&mut self, now: Instant) -> Vec<Request> {
        self.stream = Some(Stream { opened: now, heard: false, silent: false });
        let open = |name: &Arc<str>| (name.clone(), Version::from(""));
        let unanswered = self.demands.wanted().filter(|name| !self.addresses.versions.contains_key(*name));
        let unanswered = unanswered.map(open);
        let mut requests = claims::split(Kind::Address, self.addresses.claims().chain(unanswered));
        if self.mode == Mode::OnDemand {
            // No names at all would mean everything; this means nothing yet.
            requests[0].subscribe = vec![WILDCARD.into()];
            requests[0].unsubscribe = vec![WILDCARD.into()];
            self.demands.opened(self.addresses.versions.keys());
        }
        requests.extend(claims::split(Kind::Authorization, self.policies.claims()));
        requests
    }

    /// A response has been applied: gives the answer to it.
    pub fn handled(&mut self, kind: Kind, nonce: &str, handled: Handled, now: Instant) -> Request {
        self.heard();
        let Handled { accepted, removed, rejected } = handled;
        let refusal = Nack::of(&rejected);
        if kind == Kind::Authorization {
            // A denial is in force in its place. It is claimed, so that the server says when the policy is gone.
            let denied = rejected.into_iter().map(|it| (it.name, Version::from(REJECTED)));
            self.policies.versions.extend(denied);
        }
        for Accepted { name, version, aliases } in accepted {
            if kind == Kind::Address && self.mode == Mode::OnDemand {
                self.demands.found(&name, &aliases);
            }
            self.table(kind).versions.insert(name, version);
        }
        for name in removed {
            self.table(kind).versions.remove(&name);
            if kind == Kind::Address && self.mode == Mode::OnDemand {
                self.demands.gone(&name, |name| self.addresses.versions.contains_key(name), now);
            }
        }
        self.table(kind).answered = true;
        Request { type_url: kind.url().into(), nonce: nonce.into(), refusal, ..Request::default() }
    }

    /// A response has come about something we did not ask for: gives the answer to it.
    pub fn unknown_type(&mut self, type_url: &str, nonce: &str) -> Request {
        self.heard();
        let message =
            format!("the type {} is not known here and was not subscribed to", super::cut(type_url));
        let refusal = Some(Nack { code: Nack::INVALID_ARGUMENT, message });
        Request { type_url: type_url.into(), nonce: nonce.into(), refusal, ..Request::default() }
    }

    /// The stream has ended, or could not be opened, perhaps with a word on when to come back: gives the pause before the next.
    pub fn closed(&mut self, now: Instant, pushback: Option<Pushback>, entropy: u64) -> Duration {
        let stream = self.stream.take();
        self.demands.closed();
        let useful = stream.filter(|it| it.heard).map(|it| now.saturating_duration_since(it.opened));
        self.backoff.pause(useful, pushback, entropy)
    }

    /// Classifies the end of the open stream by its status; one that never said anything could not be reached.
    #[must_use]
    pub fn classify(&self, code: i32, message: &str) -> Closed {
        match &self.stream {
            Some(stream) if stream.heard => Closed::of_status(code, message),
            Some(_) | None => Closed::Unreachable,
        }
    }

    /// A connection misses a name. Names are `<network>/<ip>`, `<namespace>/<hostname>` or a workload's uid.
    pub fn demand(&mut self, name: &str, now: Instant) -> Demand {
        if self.mode == Mode::Wildcard {
            return if self.addresses.versions.contains_key(name) { Demand::Known } else { Demand::Unknown };
        }
        if self.addresses.versions.contains_key(name) || self.demands.is_alias(name) {
            return Demand::Known;
        }
        self.demands.ask(name, now)
    }

    /// Somebody does not wait any more: no answer comes, unless it is on its way already.
    pub fn forget(&mut self, waiter: WaiterId) {
        self.demands.forget(waiter);
    }

    /// Whether the mesh state has been complete once: every type that is not on demand has been answered, be it with
    /// resources that were refused.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.waits_for().is_empty()
    }

    /// The types that have not been answered yet.
    #[must_use]
    pub fn waits_for(&self) -> Vec<Kind> {
        let answered = |kind: &Kind| match kind {
            Kind::Address => self.addresses.answered,
            Kind::Authorization => self.policies.answered,
        };
        Kind::ALL.into_iter().filter(|kind| !answered(kind)).collect()
    }

    /// Gives the next thing to do, if there is one.
    pub fn poll(&mut self) -> Option<Event> {
        if let Some((waiter, outcome)) = self.demands.next_answer() {
            return Some(Event::Answer(waiter, outcome));
        }
        let stream = self.stream.as_mut()?;
        if std::mem::take(&mut stream.silent) {
            return Some(Event::Silent);
        }
        self.demands.unsent().map(Event::Send)
    }

    /// When [`Self::handle_deadline`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let silence = self.stream.as_ref().filter(|stream| !stream.heard);
        let silence = silence.map(|stream| stream.opened + FIRST_RESPONSE_DEADLINE);
        silence.into_iter().chain(self.demands.deadline()).min()
    }

    /// Time has passed.
    pub fn handle_deadline(&mut self, now: Instant) {
        self.demands.handle_deadline(now);
        if let Some(stream) = &mut self.stream
            && !stream.heard
            && now >= stream.opened + FIRST_RESPONSE_DEADLINE
        {
            stream.silent = true;
        }
    }

    fn heard(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.heard = true;
        }
    }

    fn table(&mut self, kind: Kind) -> &mut Table {
        match kind {
            Kind::Address => &mut self.addresses,
            Kind::Authorization => &mut self.policies,
        }
    }
}

impl Table {
    /// What to tell the server that we have.
    fn claims(&self) -> impl Iterator<Item = (Arc<str>, Version)> + '_ {
        self.versions.iter().map(|(name, version)| (name.clone(), version.clone()))
    }
}
