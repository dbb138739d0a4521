//! Replaces the root by a new one, in steps between which nobody loses trust in anybody.
//!
//! Each step replaces `root-cert.pem` by one rename, and that decides: a step that is cut short before it has not
//! happened, and what it left behind counts for nothing. A running server follows. It does not wait for clients: when all
//! of them have what the last step gave them is for the operator to know.

use std::path::Path;
use std::time::SystemTime;

use clap::ValueEnum;

use super::directory::Directory;
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

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error(transparent)]
    Root(#[from] Error),
    #[error("{}", out_of_order(*stage, *step))]
    Order { stage: Stage, step: Step },
}

/// What keeps a step from being taken.
#[derive(Debug)]
pub(crate) enum Obstacle {
    Texts(Problem),
    Order(Stage),
}

impl From<Problem> for Obstacle {
    fn from(problem: Problem) -> Self {
        Self::Texts(problem)
    }
}

/// Takes a step in a directory; gives what to tell the operator.
pub(crate) fn run(dir: &Path, step: Step, now: SystemTime) -> Result<String, Refused> {
    let directory = Directory::new(dir);
    let _lock = directory.lock()?;
    let refused = |obstacle| match obstacle {
        Obstacle::Texts(problem) => Refused::Root(directory.at(problem)),
        Obstacle::Order(stage) => Refused::Order { stage, step },
    };
    let mut texts = directory.load()?;
    for next in after(&texts, step, now).map_err(refused)? {
        directory.store(&texts, &next)?;
        texts = next;
    }
    Ok(told(&texts, now).map_err(|problem| directory.at(problem))?)
}

/// The texts a step leads to, one after the other: where they cannot all change at once, each of them is a root that works.
pub(crate) fn after(texts: &Texts, step: Step, now: SystemTime) -> Result<Vec<Texts>, Obstacle> {
    Ok(match (step, texts.read(now)?.stage) {
        (Step::Status, _) => Vec::new(),
        (Step::Prepare, Stage::Steady) => {
            let tidied = texts.tidied(now)?;
            let prepared = tidied.with_second(now)?;
            vec![tidied, prepared]
        }
        (Step::Activate, Stage::Prepared) => vec![texts.swapped()?],
        (Step::Finish, Stage::Active) => {
            let finished = texts.without_second()?;
            let tidied = finished.tidied(now)?;
            vec![finished, tidied]
        }
        (Step::Prepare | Step::Activate | Step::Finish, stage) => return Err(Obstacle::Order(stage)),
    })
}

/// What to tell the operator of a root.
pub(crate) fn told(texts: &Texts, now: SystemTime) -> Result<String, Problem> {
    let (stage, trusted) = (texts.read(now)?.stage, texts.trusted()?);
    Ok(format!("stage: {stage}\ntrusted roots: {trusted}\nnext: {}", next(stage)))
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
        Stage::Active => {
            "finish, when every certificate the old root signed has been renewed and every copy of root-cert.pem is new"
        }
    }
}

#[cfg(test)]
mod tests;
