//! What is wrong with the server: how it answers instead of properly, and which of the permitted behaviours it shows.
//!
//! Values only; the calls for tests that set them are in [`super::trouble`].

use std::collections::BTreeSet;
use std::time::Duration;

use super::refusal::Refusal;

/// An answer other than the proper one, for some requests.
///
/// ```
/// # use culvert_lab::api_server::Trouble;
/// let overloaded = Trouble::status(429).retry_after(1).on("list", "pods").times(3);
/// ```
#[derive(Debug, Clone)]
pub struct Trouble {
    effect: Effect,
    verb: Option<String>,
    resource: Option<String>,
    times: Option<usize>,
}

/// What becomes of a request in trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    Refused(Refusal),
    /// It is answered, but later.
    Late(Duration),
    /// It is never answered.
    Never,
    /// It is answered with something else than JSON, as by a captive portal.
    Garbage,
}

impl Trouble {
    /// Requests are answered with this HTTP status.
    #[must_use]
    pub fn status(code: u16) -> Self {
        Self::new(Effect::Refused(Refusal::of_code(code)))
    }

    /// Requests are answered after that time.
    #[must_use]
    pub fn late(by: Duration) -> Self {
        Self::new(Effect::Late(by))
    }

    /// Requests are not answered; their connections stay open.
    #[must_use]
    pub fn silence() -> Self {
        Self::new(Effect::Never)
    }

    /// Requests are answered with 200 and a web page.
    #[must_use]
    pub fn garbage() -> Self {
        Self::new(Effect::Garbage)
    }

    fn new(effect: Effect) -> Self {
        Self { effect, verb: None, resource: None, times: None }
    }

    /// Adds a `Retry-After` header to a refusal.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        if let Effect::Refused(refusal) = &mut self.effect {
            refusal.retry_after = Some(seconds);
        }
        self
    }

    /// Only for requests with this verb on this resource, such as `("patch", "pods/status")`; otherwise for all.
    #[must_use]
    pub fn on(mut self, verb: &str, resource: &str) -> Self {
        self.verb = Some(verb.to_owned());
        self.resource = Some(resource.to_owned());
        self
    }

    /// Only for so many requests; otherwise until [`end_troubles`](super::ApiServer::end_troubles).
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = Some(times);
        self
    }

    fn meets(&self, verb: &str, resource: &str) -> bool {
        self.verb.as_ref().is_none_or(|of| of == verb)
            && self.resource.as_ref().is_none_or(|of| of == resource)
    }
}

/// How a watch from a revision is refused that has been compacted. Both are seen of real servers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TooOld {
    /// The watch starts, and its first event is an ERROR with code 410.
    #[default]
    Event,
    /// The watch does not start: HTTP status 410.
    Status,
}

/// How a patch is refused that was meant for an object with another UID. Both are seen of real servers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AnotherUid {
    /// As a precondition that failed: 409.
    #[default]
    Conflict,
    /// As a change of what cannot be changed: 422.
    Invalid,
}

/// What becomes of a watch with `sendInitialEvents=true`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StreamingLists {
    /// It starts with all objects and a bookmark.
    #[default]
    Supported,
    /// It is refused with HTTP status 422, as by servers that do not have the feature.
    Invalid,
    /// It starts, and its first event is an ERROR with this code.
    ErrorEvent(u16),
}

/// Everything that can be wrong.
#[derive(Debug)]
pub(crate) struct Faults {
    troubles: Vec<Trouble>,
    /// Verbs and resources.
    denied: BTreeSet<(String, String)>,
    pub(crate) token: Option<String>,
    pub(crate) too_old: TooOld,
    pub(crate) another_uid: AnotherUid,
    pub(crate) streaming_lists: StreamingLists,
    pub(crate) no_bookmarks: bool,
    pub(crate) bookmark_interval: Duration,
    /// `continue` tokens of other epochs have expired.
    pub(crate) epoch: u64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            troubles: Vec::new(),
            denied: BTreeSet::new(),
            token: None,
            too_old: TooOld::default(),
            another_uid: AnotherUid::default(),
            streaming_lists: StreamingLists::default(),
            no_bookmarks: false,
            bookmark_interval: Duration::from_secs(60),
            epoch: 0,
        }
    }
}

impl Faults {
    pub(crate) fn add(&mut self, trouble: Trouble) {
        if trouble.times != Some(0) {
            self.troubles.push(trouble);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.troubles.clear();
    }

    pub(crate) fn deny(&mut self, verb: &str, resource: &str) {
        self.denied.insert((verb.to_owned(), resource.to_owned()));
    }

    pub(crate) fn allow(&mut self, verb: &str, resource: &str) {
        self.denied.remove(&(verb.to_owned(), resource.to_owned()));
    }

    pub(crate) fn is_denied(&self, verb: &str, resource: &str) -> bool {
        self.denied.contains(&(verb.to_owned(), resource.to_owned()))
    }

    /// What becomes of a request, in order; whatever comes after an answer is left for the requests after it.
    pub(crate) fn effects(&mut self, verb: &str, resource: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        for trouble in self.troubles.iter_mut().filter(|trouble| trouble.meets(verb, resource)) {
            if let Some(times) = &mut trouble.times {
                *times -= 1;
            }
            let answered = !matches!(trouble.effect, Effect::Late(_));
            effects.push(trouble.effect.clone());
            if answered {
                break;
            }
        }
        self.troubles.retain(|trouble| trouble.times != Some(0));
        effects
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(faults: &mut Faults, verb: &str, resource: &str) -> Vec<u16> {
        let effects = faults.effects(verb, resource).into_iter();
        effects
            .map(|effect| match effect {
                Effect::Refused(refusal) => refusal.code,
                Effect::Late(_) | Effect::Never | Effect::Garbage => 0,
            })
            .collect()
    }

    #[test]
    fn troubles_meet_the_requests_they_are_for_as_often_as_they_shall() {
        let mut faults = Faults::default();
        faults.add(Trouble::late(Duration::ZERO));
        faults.add(Trouble::status(503).on("list", "pods").times(2));
        faults.add(Trouble::status(429).times(1));
        assert_eq!(codes(&mut faults, "list", "pods"), [0, 503]);
        assert_eq!(codes(&mut faults, "list", "pods"), [0, 503]);
        assert_eq!(codes(&mut faults, "list", "pods"), [0, 429]);
        assert_eq!(codes(&mut faults, "list", "pods"), [0]);
        faults.clear();
        assert!(codes(&mut faults, "list", "pods").is_empty());
    }
}
