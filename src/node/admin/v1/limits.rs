//! What there may be only so much of.

use culvert_api::Limit;

use super::problem::Refusal;
use super::query::Query;
use super::{Sources, json, page};
use crate::limits::Standing;

/// `/v1/limits`: by name.
pub(super) fn list(sources: &Sources, query: &Query) -> Result<Vec<u8>, Refusal> {
    let all = sources.shown.state.limits().look().into_iter();
    let part = page::by_text(query, all.map(|standing| (standing.facts.name.to_owned(), standing)))?;
    Ok(json(&part.show(|standing| shown(&standing))))
}

fn shown(standing: &Standing) -> Limit {
    let Standing { facts, most, in_use, highest, hits } = *standing;
    Limit {
        name: facts.name.to_owned(),
        about: facts.about.to_owned(),
        of: facts.of,
        unit: facts.unit,
        most,
        setting: facts.setting.map(str::to_owned),
        in_use,
        highest: (in_use.is_some() || highest > 0).then_some(highest),
        hits,
        remedy: facts.remedy.to_owned(),
    }
}
