//! Replaces the root by a new one, in steps between which nobody loses trust in anybody.
//!
//! Each step replaces `root-cert.pem` by one rename, and that decides: a step that is cut short before it has not
//! happened, and what it left behind counts for nothing. A running server follows. The last step is refused for as long as
//! certificates live that the old root has signed, unless the operator insists; that every client has a copy of the new
//! roots is for him to know.

use std::path::Path;
use std::time::SystemTime;

use clap::ValueEnum;

use super::directory::Directory;
use super::leaves::{Leaves, Needed};
use super::texts::{Problem, Texts};
use super::{Error, Stage};

/// What an operator can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// Say how far a rotation is, and what comes next.
    Status,
    /// Make a new root; clients get it as one to trust, the old one signs.
    Prepare,
    /// Have the new root sign; both are trusted.
    Activate,
    /// Take the trust from the old root.
    Finish,
}

/// What becomes of certificates that an old root has signed when its trust is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Haste {
    /// Their end is waited for.
    Wait,
    /// Whoever still has one is refused by everybody.
    Insist,
}

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error(transparent)]
    Root(#[from] Error),
    #[error("{}", out_of_order(*stage, *step))]
    Order { stage: Stage, step: Step },
    #[error("{}", too_early(*.0))]
    Early(Needed),
}

/// What keeps a step from being taken.
#[derive(Debug)]
pub(crate) enum Obstacle {
    Texts(Problem),
    Order(Stage),
    Early(Needed),
}

impl From<Problem> for Obstacle {
    fn from(problem: Problem) -> Self {
        Self::Texts(problem)
    }
}

/// Takes a step in a directory; gives what to tell the operator.
pub(crate) fn run(dir: &Path, step: Step, haste: Haste, now: SystemTime) -> Result<String, Refused> {
    let directory = Directory::new(dir);
    let _lock = directory.lock()?;
    let refused = |obstacle| match obstacle {
        Obstacle::Texts(problem) => Refused::Root(directory.at(problem)),
        Obstacle::Order(stage) => Refused::Order { stage, step },
        Obstacle::Early(needed) => Refused::Early(needed),
    };
    let at = |problem| directory.at(problem);
    let (mut texts, mut leaves) = (directory.load()?, directory.leaves()?);
    for next in after(&texts, step, (&leaves, haste), now).map_err(refused)? {
        leaves.follow(&texts.trusted().map_err(at)?, &next.trusted().map_err(at)?, now);
        directory.store(&texts, &next)?;
        directory.store_leaves(&leaves)?;
        texts = next;
    }
    Ok(told(&texts, &leaves, now).map_err(at)?)
}

/// The texts a step leads to, one after the other: where they cannot all change at once, each of them is a root that works.
pub(crate) fn after(
    texts: &Texts,
    step: Step,
    (leaves, haste): (&Leaves, Haste),
    now: SystemTime,
) -> Result<Vec<Texts>, Obstacle> {
    Ok(match (step, texts.read(now)?.stage) {
        (Step::Status, _) => Vec::new(),
        (Step::Prepare, Stage::Steady) => {
            let tidied = texts.tidied(now)?;
            let prepared = tidied.with_second(now)?;
            vec![tidied, prepared]
        }
        (Step::Activate, Stage::Prepared) => vec![texts.swapped()?],
        (Step::Finish, Stage::Active) => {
            let needed = texts.need(leaves, now)?.filter(|_| haste == Haste::Wait);
            if let Some(needed) = needed {
                return Err(Obstacle::Early(needed));
            }
            let finished = texts.without_second()?;
            let tidied = finished.tidied(now)?;
            vec![finished, tidied]
        }
        (Step::Prepare | Step::Activate | Step::Finish, stage) => return Err(Obstacle::Order(stage)),
    })
}

/// What to tell the operator of a root.
pub(crate) fn told(texts: &Texts, leaves: &Leaves, now: SystemTime) -> Result<String, Problem> {
    let (stage, trusted, need) = (texts.stage(now)?, texts.trusted()?.len(), texts.need(leaves, now)?);
    let old = match (stage, need) {
        (Stage::Steady | Stage::Prepared, _) => String::new(),
        (Stage::Active, None) => {
            "the old root is needed no more: all certificates it has signed have ended\n".to_owned()
        }
        (Stage::Active, Some(needed)) => format!("the old root is needed {needed}\n"),
    };
    Ok(format!("stage: {stage}\ntrusted roots: {trusted}\n{old}next: {}", next(stage)))
}

/// Says why the old root is kept.
pub(crate) fn too_early(needed: Needed) -> String {
    format!(
        "the old root is needed {needed}; finish when they have ended, or have it finished with --insist: whoever still has such a certificate is refused by everybody then, until it is renewed"
    )
}

/// Says why a step cannot be taken now, and which one can.
pub(crate) fn out_of_order(stage: Stage, step: Step) -> String {
    format!("the root is {stage}, so there is nothing to {}; next comes: {}", word(step), next(stage))
}

fn word(step: Step) -> &'static str {
    match step {
        Step::Status => "say",
        Step::Prepare => "prepare",
        Step::Activate => "activate",
        Step::Finish => "finish",
    }
}

fn next(stage: Stage) -> &'static str {
    match stage {
        Stage::Steady => "prepare, to replace the root",
        Stage::Prepared => {
            "activate, at any time: those who know the old root alone accept what the new one signs"
        }
        Stage::Active => "finish, when the old root is needed no more and every copy of root-cert.pem is new",
    }
}

#[cfg(test)]
mod tests;
