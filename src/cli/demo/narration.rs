//! What the person sees: a line for each thing as it happens, with the seconds since the start, and the table.
//!
//! It also keeps the checks, and asks after each line whether to go on: a line is where Ctrl-C ends the story.

use std::fmt::Display;
use std::time::Instant;

use super::Error;
use super::checks::{Check, Finding, Step};
use super::interrupt::Interrupt;
use crate::output::{self, Paint, Screen, Tone};

mod table;

#[derive(Debug)]
pub(crate) struct Narration<'i> {
    started: Instant,
    paint: Paint,
    interrupt: &'i Interrupt,
    step: Step,
    checks: Vec<Check>,
}

impl<'i> Narration<'i> {
    pub(crate) fn new(interrupt: &'i Interrupt) -> Self {
        let paint = Screen::of_stdout().paint;
        Self { started: Instant::now(), paint, interrupt, step: Step::Clear, checks: Vec::new() }
    }

    /// Begins a part of the story; the checks to come belong to it.
    pub(crate) fn chapter(&mut self, step: Step, title: &str) -> Result<(), Error> {
        self.step = step;
        print("");
        self.say(self.paint.tone(Tone::Strong, &format!("({}) {title}", step.letter())))
    }

    /// Says what has just happened.
    pub(crate) fn say(&self, text: impl Display) -> Result<(), Error> {
        let seconds = self.started.elapsed().as_secs_f64();
        print(&format!("{} {text}", self.paint.tone(Tone::Faint, &format!("[{seconds:5.1}s]"))));
        self.interrupt.check()
    }

    /// Says what was found, and keeps it.
    pub(crate) fn check(&mut self, what: &str, finding: Finding) -> Result<(), Error> {
        let Finding { expected, observed, holds } = &finding;
        let mark = self.paint.tone(table::tone(*holds), table::result(*holds));
        let said = if *holds {
            self.say(format!("  {mark} {what}: {observed}"))
        } else {
            self.say(format!("  {mark} {what}: expected {expected}; observed {observed}"))
        };
        self.checks.push(Check { step: self.step, what: what.to_owned(), finding });
        said
    }

    /// Prints the table of all checks, and their sum.
    pub(crate) fn table(&self) {
        print("");
        print(&table::render(&self.checks, self.paint));
        let (all, failed) = (self.checks.len(), self.failed());
        let seconds = self.started.elapsed().as_secs_f64();
        print(&format!("{} of {all} checks hold, after {seconds:.1} seconds.", all - failed));
    }

    /// Fails when a check did not hold.
    pub(crate) fn verdict(&self) -> Result<(), Error> {
        match self.failed() {
            0 => Ok(()),
            failed => Err(Error::ChecksFailed { failed, total: self.checks.len() }),
        }
    }

    fn failed(&self) -> usize {
        self.checks.iter().filter(|check| !check.finding.holds).count()
    }

    /// Waits for Ctrl-C.
    pub(crate) fn wait_for_the_end(&self) {
        self.interrupt.wait();
    }
}

/// Prints a line at once.
pub(crate) fn print(line: &str) {
    output::print(&format!("{line}\n"));
}
