//! The screen and the keys, until somebody has seen enough. Whatever ends it, the terminal is as it was.

use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use time::OffsetDateTime;

use super::keys::Next;
use super::poller::{News, Poller, Wish};
use super::state::State;
use super::{Error, Options, view};
use crate::output::Paint;

/// How long a key may go unnoticed, or an answer.
const LOOK: Duration = Duration::from_millis(50);
/// Ages go on even when nothing is heard.
const REDRAW: Duration = Duration::from_millis(500);

/// Shows it.
pub(super) fn run(options: &Options, paint: Paint) -> Result<(), Error> {
    let (sender, news) = mpsc::channel();
    let state = State::new(options.tab, &options.filter, &options.node.to_string());
    let poller = Poller::start(options.node.clone(), options.tab, sender)?;
    let mut screen = Live { terminal: Restored::begin()?, state, poller, news, colours: paint.has_colours() };
    screen.show()
}

/// A terminal that is given back as it was. After a panic, too: the hook does that.
struct Restored(DefaultTerminal);

impl Restored {
    fn begin() -> Result<Self, Error> {
        ratatui::try_init().map(Self).map_err(Error::Terminal)
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

struct Live {
    terminal: Restored,
    state: State,
    poller: Poller,
    news: Receiver<News>,
    colours: bool,
}

impl Live {
    fn show(&mut self) -> Result<(), Error> {
        loop {
            self.draw()?;
            let drawn = Instant::now();
            let mut changed = false;
            while !changed && drawn.elapsed() < REDRAW {
                if self.pressed(&mut changed)? == Next::Quit || self.heard(&mut changed)? == Next::Quit {
                    return Ok(());
                }
            }
            self.poller.wish(if self.state.paused { Wish::Pause } else { Wish::Show(self.state.tab) });
        }
    }

    fn draw(&mut self) -> Result<(), Error> {
        let (state, colours) = (&self.state, self.colours);
        let drawn =
            self.terminal.0.draw(|frame| view::draw(frame, state, OffsetDateTime::now_utc(), colours));
        drawn.map(|_| ()).map_err(Error::Terminal)
    }

    /// Takes the keys that were pressed. A change of the terminal's size is one to draw for.
    fn pressed(&mut self, changed: &mut bool) -> Result<Next, Error> {
        let mut wait = LOOK;
        while event::poll(wait).map_err(Error::Terminal)? {
            *changed = true;
            wait = Duration::ZERO;
            if let Event::Key(key) = event::read().map_err(Error::Terminal)?
                && self.state.press(key) == Next::Quit
            {
                return Ok(Next::Quit);
            }
        }
        Ok(Next::Go)
    }

    /// Takes what the node has said.
    fn heard(&mut self, changed: &mut bool) -> Result<Next, Error> {
        loop {
            match self.news.try_recv() {
                Ok(News::Asking(address)) => self.state.address = address,
                Ok(News::Heard(sample)) => self.state.accept(*sample),
                Ok(News::Trouble(trouble)) => self.state.complain(&trouble),
                Ok(News::Stopped) => return Ok(Next::Quit),
                Err(TryRecvError::Empty) => return Ok(Next::Go),
                Err(TryRecvError::Disconnected) => return Err(Error::Deserted),
            }
            *changed = true;
        }
    }
}
