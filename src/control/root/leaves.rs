//! Until when certificates live that a root has signed: for so long its trust must not be taken away.
//!
//! In go the ends of lives, as they are signed; out comes for each root the latest of them. It is kept beside the root, by whoever keeps
//! that, and several may keep it at the same time: of two ends the later one counts. So that it is written once an hour at most, an end
//! is noted as if it were an hour or two later ([`Signed`]). Of a root nobody has noted anything about, nothing is believed here.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use culvert_kubernetes::{Pace, Pauses};
use culvert_process::exit::Chain;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;

use super::Root;
use crate::live::Live;

/// How far ahead an end is noted, and to how much it is rounded up.
const STEP: Duration = Duration::from_secs(3600);

/// Names a root, by its public key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Fingerprint(String);

/// For each root, when the last certificate ends that it has signed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Leaves(BTreeMap<Fingerprint, SystemTime>);

/// Why the trust of an old root cannot be taken away yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needed {
    /// A certificate it has signed may live until then.
    Until(SystemTime),
    /// Nobody has noted until when certificates live that it has signed.
    Unknown,
}

impl Fingerprint {
    /// That of a public key (SubjectPublicKeyInfo).
    pub(crate) fn of(public_key: &[u8]) -> Self {
        let digest = digest(&SHA256, public_key);
        Self(digest.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl Leaves {
    /// Reads what [`Leaves::text`] has written. What cannot be read is not known.
    pub(crate) fn read(text: &str) -> Self {
        let read: BTreeMap<Fingerprint, String> = serde_json::from_str(text).unwrap_or_default();
        let time = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok().map(SystemTime::from);
        Self(read.into_iter().filter_map(|(root, end)| Some((root, time(&end)?))).collect())
    }

    /// Writes it down, for people and programs.
    pub(crate) fn text(&self) -> String {
        let texts: BTreeMap<_, _> = self.0.iter().map(|(root, end)| (root, written(*end))).collect();
        serde_json::to_string(&texts).expect("the keys are text")
    }

    /// Takes note that certificates of a root live until then.
    pub(crate) fn note(&mut self, root: &Fingerprint, end: SystemTime) {
        let known = self.0.entry(root.clone()).or_insert(end);
        *known = end.max(*known);
    }

    /// Takes note of what somebody else has noted.
    pub(crate) fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(root, end)| self.note(root, *end));
    }

    /// Keeps what is known of these roots: a root that has just been made has signed nothing by now, and of one that is trusted no more
    /// nothing needs to be known.
    pub(crate) fn follow(&mut self, before: &[Fingerprint], after: &[Fingerprint], now: SystemTime) {
        self.0.retain(|root, _| after.contains(root));
        after.iter().filter(|root| !before.contains(root)).for_each(|root| self.note(root, now));
    }

    /// Of roots nothing is known of, certificates may live until then.
    pub(crate) fn bound(&mut self, roots: &[Fingerprint], end: SystemTime) {
        for root in roots {
            self.0.entry(root.clone()).or_insert(end);
        }
        self.0.retain(|root, _| roots.contains(root));
    }

    /// Why a root is needed, if it is.
    pub(crate) fn need(&self, root: &Fingerprint, now: SystemTime) -> Option<Needed> {
        match self.0.get(root) {
            None => Some(Needed::Unknown),
            Some(end) => (*end > now).then_some(Needed::Until(*end)),
        }
    }
}

impl fmt::Display for Needed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Until(end) => write!(f, "until {}: certificates it has signed may live so long", written(*end)),
            Self::Unknown => f.write_str(
                "for as long as certificates live that it has signed, which nobody has noted: a control plane of this version does when it starts",
            ),
        }
    }
}

/// What has been signed by this process. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Signed(watch::Sender<Leaves>);

impl Default for Signed {
    fn default() -> Self {
        Self(watch::Sender::new(Leaves::default()))
    }
}

impl Signed {
    /// Takes note that a certificate of a root lives until then. Who follows hears of it once for many.
    pub(crate) fn note(&self, root: &Fingerprint, end: SystemTime) {
        self.0.send_if_modified(|leaves| {
            let is_covered = leaves.0.get(root).is_some_and(|known| end + STEP / 2 <= *known);
            if !is_covered {
                leaves.note(root, rounded_up(end + STEP));
            }
            !is_covered
        });
    }

    /// Follows it.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Leaves> {
        self.0.subscribe()
    }

    /// Has it noted beside the root for as long as it is run: at first, when it becomes more, and when there is another root.
    pub(crate) async fn kept<F, E>(self, mut root: Live<Root>, pace: Pace, note: impl Fn(Leaves) -> F)
    where
        F: Future<Output = Result<(), E>>,
        E: std::error::Error,
    {
        let (mut leaves, mut pauses) = (self.subscribe(), Pauses::new(&pace));
        loop {
            root.borrow_and_update();
            let new = leaves.borrow_and_update().clone();
            if let Err(error) = note(new).await {
                tracing::warn!(error = %Chain(&error), "until when certificates live that the root has signed is not noted; it is tried again");
                tokio::time::sleep(pauses.next()).await;
                continue;
            }
            pauses.reset();
            tokio::select! {
                Ok(()) = leaves.changed() => {}
                Ok(()) = root.changed() => {}
                else => return,
            }
        }
    }
}

fn rounded_up(time: SystemTime) -> SystemTime {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.next_multiple_of(STEP.as_secs()))
}

/// A time, to the second.
pub(crate) fn written(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let time = time.replace_nanosecond(0).unwrap_or(time);
    time.format(&Rfc3339).unwrap_or_else(|_| "a time beyond the year 9999".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn root(key: &str) -> Fingerprint {
        Fingerprint::of(key.as_bytes())
    }

    #[test]
    fn of_two_ends_the_later_one_counts_and_is_read_again() {
        let (mut ours, mut theirs) = (Leaves::default(), Leaves::default());
        ours.note(&root("a"), at(100));
        ours.note(&root("a"), at(90));
        theirs.note(&root("a"), at(50));
        theirs.note(&root("b"), at(70));
        let mut both = theirs.clone();
        both.merge(&ours);
        ours.merge(&theirs);
        assert_eq!(ours, both);
        assert_eq!(Leaves::read(&ours.text()), ours, "{}", ours.text());
        assert!(ours.text().contains(":\"1970-01-01T00:01:40Z\""), "{}", ours.text());
        assert_eq!(ours.need(&root("a"), at(99)), Some(Needed::Until(at(100))));
        assert_eq!(ours.need(&root("a"), at(100)), None);
    }

    #[test]
    fn what_is_not_known_is_needed() {
        for text in ["", "{", "[]", "{\"a\":3}", "{\"a\":\"soon\"}"] {
            assert_eq!(Leaves::read(text).need(&root("a"), at(1)), Some(Needed::Unknown), "{text}");
        }
        let mut leaves = Leaves::default();
        leaves.note(&root("a"), at(5));
        leaves.note(&root("gone"), at(5));
        leaves.bound(&[root("a"), root("b")], at(9));
        assert_eq!(leaves.need(&root("a"), at(1)), Some(Needed::Until(at(5))), "what is known stays");
        assert_eq!(leaves.need(&root("b"), at(1)), Some(Needed::Until(at(9))));
        assert_eq!(leaves.need(&root("gone"), at(1)), Some(Needed::Unknown));
    }

    #[test]
    fn a_new_root_has_signed_nothing_and_an_old_one_is_forgotten() {
        let mut leaves = Leaves::default();
        leaves.note(&root("old"), at(50));
        leaves.follow(&[root("old")], &[root("old"), root("new")], at(10));
        assert_eq!(leaves.need(&root("old"), at(10)), Some(Needed::Until(at(50))));
        assert_eq!(leaves.need(&root("new"), at(10)), None);
        leaves.follow(&[root("old"), root("new")], &[root("new")], at(60));
        assert_eq!(leaves.need(&root("old"), at(60)), Some(Needed::Unknown));
    }

    #[test]
    fn many_certificates_are_one_note_which_is_never_too_early() {
        let signed = Signed::default();
        let mut notes = signed.subscribe();
        let mut count = 0;
        for minute in 0..24 * 60 {
            let end = at(minute * 60 + 86_400);
            signed.note(&root("a"), end);
            if notes.has_changed().unwrap() {
                notes.borrow_and_update();
                count += 1;
            }
            let need = signed.0.borrow().need(&root("a"), end - Duration::from_secs(1));
            assert!(matches!(need, Some(Needed::Until(noted)) if noted >= end && noted <= end + STEP * 2));
        }
        assert!((12..=25).contains(&count), "{count} notes in a day");
    }
}
