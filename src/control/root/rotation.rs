//! Replaces the root by a new one, in steps between which nobody loses trust in anybody.
//!
//! Each step replaces `root-cert.pem` by one rename, and that decides: a step that is cut short before it has not
//! happened, and what it left behind counts for nothing. A running server follows. It does not wait for clients: when all
//! of them have what the last step gave them is for the operator to know.

use std::path::Path;
use std::time::SystemTime;

use clap::ValueEnum;

use super::directory::{Directory, Read};
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
    #[error("the root is {stage}, so there is nothing to {}; next comes: {}", word(*step), next(*stage))]
    Order { stage: Stage, step: Step },
}

/// Takes a step; gives what to tell the operator.
pub(crate) fn run(dir: &Path, step: Step, now: SystemTime) -> Result<String, Refused> {
    let directory = Directory::new(dir);
    let _lock = directory.lock()?;
    let read = directory.read(now)?;
    match (step, read.stage) {
        (Step::Status, _) => {}
        (Step::Prepare, Stage::Steady) => {
            directory.tidy()?;
            directory.add_second(read, now)?;
        }
        (Step::Activate, Stage::Prepared) => directory.swap(&read)?,
        (Step::Finish, Stage::Active) => {
            directory.drop_second(&read)?;
            directory.tidy()?;
        }
        (Step::Prepare | Step::Activate | Step::Finish, stage) => return Err(Refused::Order { stage, step }),
    }
    let Read { bundle, stage, .. } = directory.read(now)?;
    let trusted = directory.parse(&bundle)?.len();
    Ok(format!("stage: {stage}\ntrusted roots: {trusted}\nnext: {}", next(stage)))
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
