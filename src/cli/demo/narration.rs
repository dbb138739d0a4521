//! What the person sees: a line for each thing as it happens, with the seconds since the start, and the table.
//!
//! It also keeps the checks, and asks after each line whether to go on: a line is where Ctrl-C ends the story.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Instant;

use super::Error;
use super::checks::{Check, Finding, Step};
use super::interrupt::Interrupt;

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
        let paint = Paint::for_stdout();
        Self { started: Instant::now(), paint, interrupt, step: Step::Clear, checks: Vec::new() }
    }

    /// Begins a part of the story; the checks to come belong to it.
    pub(crate) fn chapter(&mut self, step: Step, title: &str) -> Result<(), Error> {
        self.step = step;
        print("");
        self.say(self.paint.bold(&format!("({}) {title}", step.letter())))
    }

    /// Says what has just happened.
    pub(crate) fn say(&self, text: impl Display) -> Result<(), Error> {
        let seconds = self.started.elapsed().as_secs_f64();
        print(&format!("{} {text}", self.paint.dim(&format!("[{seconds:5.1}s]"))));
        self.interrupt.check()
    }

    /// Says what was found, and keeps it.
    pub(crate) fn check(&mut self, what: &str, finding: Finding) -> Result<(), Error> {
        let Finding { expected, observed, holds } = &finding;
        let mark = self.paint.result(*holds, table::result(*holds));
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

/// Prints a line at once. Nobody may be reading any more; the exit code still says how it went.
pub(crate) fn print(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Colours, on terminals whose owner has not declined them (no-color.org).
#[derive(Debug, Clone, Copy)]
struct Paint {
    colours: bool,
}

impl Paint {
    fn for_stdout() -> Self {
        let declined = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colours: io::stdout().is_terminal() && !declined }
    }

    fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    /// Green for what holds, red for what does not.
    fn result(self, holds: bool, text: &str) -> String {
        self.with(if holds { "32" } else { "1;31" }, text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
