//! `culvert top`: a node at work, as it happens.
//!
//! In go a node and keys; out comes a screen that is drawn anew every second. What was heard is [`sample`], what a person made of it
//! is [`state`], and [`view`] draws the two without looking anywhere else. The node is asked by a thread of its own ([`poller`]), and
//! only for what is on the screen: a slow node makes old figures, and never a screen that does not answer.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use time::OffsetDateTime;

use crate::client::{self, Client, NodeOptions};
use crate::output::{self, Screen};
use sample::Sample;
use state::State;
use tab::Tab;

mod frame;
mod keys;
mod live;
mod poller;
mod rates;
mod sample;
mod state;
mod tab;
mod view;

/// Between two looks at the node.
const EVERY: Duration = Duration::from_secs(1);

/// What is shown.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Keys: 1-5 or Tab: what is shown; / filter; s and S sort by the next or previous column, r reverses; p pauses; arrows move;
? helps; q quits.

Examples:
  culvert top
  culvert top traffic --kube-node worker-1
  culvert top refusals --filter shop/ --once")]
pub(crate) struct Options {
    /// What to show first
    #[arg(value_enum, default_value_t)]
    tab: Tab,
    /// Only lines with this text
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// Print what would be shown, and end; rates take a second
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    node: NodeOptions,
}

/// Why nothing is shown, or no more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Node(#[from] client::Error),
    #[error("this is no terminal; print one picture with --once, or use `culvert get`")]
    NoTerminal,
    #[error("the terminal does not do as it is told")]
    Terminal(#[source] io::Error),
    #[error("cannot start the thread that asks the node")]
    Thread(#[source] io::Error),
    #[error("the thread that asks the node has ended")]
    Deserted,
}

/// Shows it until the person has seen enough.
///
/// # Errors
/// When there is no terminal, or for one picture no node.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Error::NoTerminal);
    }
    live::run(options, Screen::of_stdout().paint)
}

/// Prints one picture.
///
/// # Errors
/// When the node cannot be asked.
pub(crate) async fn once(options: &Options) -> Result<(), Error> {
    let state = seen(options, EVERY).await?;
    output::print(&frame::text(&state, OffsetDateTime::now_utc(), Screen::of_stdout().width));
    Ok(())
}

impl Options {
    /// Whether one picture is all that is asked for.
    pub(crate) fn is_once(&self) -> bool {
        self.once
    }
}

/// Looks at the node once, or twice when figures are differences.
async fn seen(options: &Options, between: Duration) -> Result<State, Error> {
    let mut client = Client::open(&options.node).await?;
    let began = tokio::time::Instant::now();
    let mut state = State::new(options.tab, &options.filter, client.address());
    state.accept(Sample::take(&mut client, options.tab, began).await?);
    if options.tab == Tab::Traffic {
        tokio::time::sleep(between).await;
        state.accept(Sample::take(&mut client, options.tab, began).await?);
    }
    Ok(state)
}

#[cfg(test)]
mod tests;
