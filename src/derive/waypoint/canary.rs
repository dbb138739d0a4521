//! A second waypoint that takes a share of the connections.

use culvert_core::service::WeightedWaypoint;
use culvert_core::workload::GatewayAddress;

use crate::gateway::Traffic;

use super::look::Look;
use super::wish::{SecondWish, Wish};
use super::{Named, Subject};

/// Why there is no second waypoint: a word, and a text with what to do.
type Trouble = (&'static str, String);

/// Gives the shares of the first waypoint and the second one; nothing when no second one is wanted.
pub(super) fn weights(
    subject: &Subject<'_>,
    wish: &Wish<'_>,
    first: &GatewayAddress,
    look: &Look<'_>,
) -> Result<Vec<WeightedWaypoint>, Trouble> {
    // Workloads have one waypoint or none.
    let wanted = Some(wish).filter(|_| subject.role.traffic() == Traffic::Service);
    let Some(SecondWish { waypoint, weight }) = wanted.and_then(|wish| wish.canary(subject)) else {
        return Ok(Vec::new());
    };
    let share = share(weight).map_err(|why| ("UnsupportedValue", why))?;
    if waypoint == wish.waypoint {
        return Err(("UnsupportedValue", same(&waypoint)));
    }
    let second = look.find(subject, &waypoint).map_err(|obstacle| {
        (obstacle.reason(), format!("its canary cannot be had: {}", obstacle.says(&waypoint)))
    })?;
    if second == *first {
        return Err(("UnsupportedValue", same(&waypoint)));
    }
    let first = WeightedWaypoint { destination: first.clone(), weight: 100 - share };
    Ok(vec![first, WeightedWaypoint { destination: second, weight: share }])
}

fn same(waypoint: &Named) -> String {
    format!("its canary {waypoint} is the same waypoint; name another one, or remove the label")
}

fn share(written: Option<&str>) -> Result<u32, String> {
    const KEY: &str = "istio.io/use-waypoint-canary-weight";
    let Some(text) = written else {
        return Err(format!("its canary has no share; say it in the annotation {KEY}, from 0 to 100"));
    };
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let share = text.parse().ok().filter(|&share| digits && share <= 100);
    share.ok_or_else(|| format!("`{text}` is no share of its canary; write a number from 0 to 100 as {KEY}"))
}
