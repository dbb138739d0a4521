//! Whether everything works, and whether nothing has grown.

use std::time::{Duration, Instant};

use culvert_lab::{Pod, wait_until};

use super::callers::{AIMS, Callers, is_sensible};
use super::dialogue::Outcome;
use super::footprint::{Footprint, held};
use super::town::{Aim, RESIDENTS, Town, Welcome};

/// How long a town takes until it works.
pub(crate) const STARTING: Duration = Duration::from_secs(60);
/// How long it may take until what programs and kernel hold is as before.
pub(crate) const SETTLING: Duration = Duration::from_secs(60);
/// How long a single exchange may take, when everything works.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Of so many ways it is told why they are not as they should be.
const TOLD: usize = 10;

/// A client, whom it wants, and in which family.
type Way = (&'static str, Aim, usize);

/// Waits until who may speak to whom can, and who may not cannot; says what is left.
pub(crate) fn works(town: &Town, callers: &Callers<'_>, within: Duration) -> Result<(), String> {
    let end = Instant::now() + within;
    let mut left: Vec<_> =
        ways().into_iter().map(|way| (way, "there was no time for it".to_owned())).collect();
    while !left.is_empty() && Instant::now() < end {
        left.retain_mut(|(way, why)| {
            let time = end.saturating_duration_since(Instant::now());
            if time.is_zero() {
                return true;
            }
            let missed = misses(town, callers, *way, time.min(AT_ONCE));
            if let Some(missed) = &missed {
                why.clone_from(missed);
            }
            missed.is_some()
        });
    }
    let told: Vec<_> = left.iter().take(TOLD).map(|(way, why)| format!("{way:?}: {why}")).collect();
    match left.len() {
        0 => Ok(()),
        all => Err(format!("{all} ways, {}", told.join("; "))),
    }
}

/// Notes it if not everything works within a time, and says how long it took.
pub(crate) fn recovers(town: &Town, callers: &Callers<'_>, within: Duration) -> Duration {
    let begun = Instant::now();
    match works(town, callers, within) {
        Ok(()) => begun.elapsed(),
        Err(left) => {
            town.journal.violated(format!("it does not work after {within:?}: {left}"));
            within
        }
    }
}

fn ways() -> Vec<Way> {
    let of = |client: &'static str| {
        let sensible = AIMS.into_iter().filter(move |aim| is_sensible(client, *aim));
        sensible.flat_map(move |aim| [(client, aim, 0), (client, aim, 1)])
    };
    RESIDENTS.into_iter().flat_map(of).collect()
}

/// Why a way is not as it should be, if it is not.
fn misses(
    town: &Town,
    callers: &Callers<'_>,
    (client, aim, family): Way,
    within: Duration,
) -> Option<String> {
    if client == "bob" && !town.is_decided() {
        return Some("the last decision is not in force".to_owned());
    }
    let is_served = match (client, aim, town.decision().welcome) {
        (client, Aim::Resident("vault"), _) => client == "alice",
        (_, Aim::Resident("mill"), _) => false,
        // The service has servers that are not in the shop.
        ("bob", Aim::Inn, Welcome::Denied) => return None,
        ("bob", Aim::Shop | Aim::Resident("shop-0" | "shop-1"), welcome) => welcome == Welcome::Allowed,
        _ => true,
    };
    let outcome = callers.try_once(client, aim, family, within);
    let is_right = if is_served {
        matches!(outcome, Outcome::AsPlanned(_))
    } else {
        matches!(outcome, Outcome::Unanswered(_))
    };
    (!is_right).then(|| format!("{outcome:?}"))
}

/// Waits until nothing is under way and nothing has grown; gives what there is then, or else what has grown.
pub(crate) fn settle(town: &Town, before: Option<&Footprint>, within: Duration) -> Result<Footprint, String> {
    let (mut now, mut grown) = (Footprint::default(), Vec::new());
    let nothing = Footprint::default();
    let is_quiet = || {
        now = Footprint::of(town);
        grown = now.busy_beside(before.unwrap_or(&nothing));
        grown.extend(before.map(|before| now.growth_since(before)).unwrap_or_default());
        grown.is_empty()
    };
    let waited = wait_until(within, "nothing has grown", is_quiet);
    if waited.is_ok() { Ok(now) } else { Err(grown.join(", ")) }
}

/// Notes it if something has grown, and does not shrink within a time.
pub(crate) fn is_as_before(town: &Town, before: &Footprint, within: Duration) {
    if let Err(grown) = settle(town, Some(before), within) {
        let open = |pod: &Pod| held(pod).map(|it| format!("{}: {it:?}", pod.name())).collect::<Vec<_>>();
        let open: Vec<_> = town.pods().iter().flat_map(open).collect();
        town.journal.violated(format!("not as before after {within:?}: {grown}; open are {open:#?}"));
    }
}
