//! What keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use time::OffsetDateTime;

use super::state::{Order, State};
use super::tab::Tab;

/// Lines that a page is taken for.
const PAGE: usize = 20;
/// What a filter may be long.
const LONGEST: usize = 100;

/// How it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It does.
    Go,
    /// The person has seen enough.
    Quit,
}

impl State {
    /// Does what a key says.
    pub(super) fn press(&mut self, key: KeyEvent) -> Next {
        if key.kind == KeyEventKind::Release {
            return Next::Go;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { Next::Quit } else { Next::Go };
        }
        if self.typing {
            self.type_filter(key.code);
            return Next::Go;
        }
        if self.help {
            self.help = false;
            return Next::Go;
        }
        self.command(key.code)
    }

    fn type_filter(&mut self, key: KeyCode) {
        if key == KeyCode::Enter {
            self.typing = false;
        } else if key == KeyCode::Esc {
            (self.typing, self.filter) = (false, String::new());
        } else if key == KeyCode::Backspace {
            self.filter.pop();
        } else if let KeyCode::Char(letter) = key
            && self.filter.len() < LONGEST
        {
            self.filter.push(letter);
        }
        self.selected = 0;
    }

    fn command(&mut self, key: KeyCode) -> Next {
        if key == KeyCode::Char('q') || (key == KeyCode::Esc && self.filter.is_empty()) {
            return Next::Quit;
        }
        if let KeyCode::Char(letter) = key {
            self.letter(letter);
        } else if key == KeyCode::Esc {
            self.filter.clear();
        } else if key == KeyCode::Tab || key == KeyCode::Right {
            self.show(self.tab.further(1));
        } else if key == KeyCode::BackTab || key == KeyCode::Left {
            self.show(self.tab.further(Tab::ALL.len() - 1));
        } else {
            self.go(key);
        }
        Next::Go
    }

    fn letter(&mut self, letter: char) {
        match letter {
            '1'..='5' => self.show(Tab::ALL[letter as usize - '1' as usize]),
            '/' => self.typing = true,
            '?' | 'h' => self.help = true,
            'p' | ' ' => self.paused = !self.paused,
            's' => self.sort_by_next(1),
            'S' => self.sort_by_next(self.columns()),
            'r' => {
                let order = self.order();
                self.reorder(Order { falling: !order.falling, ..order });
            }
            'j' => self.go(KeyCode::Down),
            'k' => self.go(KeyCode::Up),
            _ => {}
        }
    }

    fn go(&mut self, key: KeyCode) {
        let last = self.lines(OffsetDateTime::UNIX_EPOCH).rows.len().saturating_sub(1);
        let here = self.selected.min(last);
        let there = if key == KeyCode::Down {
            here + 1
        } else if key == KeyCode::Up {
            here.saturating_sub(1)
        } else if key == KeyCode::PageDown {
            here + PAGE
        } else if key == KeyCode::PageUp {
            here.saturating_sub(PAGE)
        } else if key == KeyCode::Home {
            0
        } else if key == KeyCode::End {
            last
        } else {
            here
        };
        self.selected = there.min(last);
    }

    /// Shows another tab; a pause of the one before is over, because nothing is known of this one.
    fn show(&mut self, tab: Tab) {
        if tab != self.tab {
            (self.tab, self.selected, self.paused) = (tab, 0, false);
        }
    }

    /// So many columns further, with the order of the node's own between the last and the first.
    fn sort_by_next(&mut self, columns: usize) {
        let places = self.columns() + 1;
        let order = self.order();
        let place = order.column.map_or(0, |column| column + 1);
        let column = ((place + columns) % places).checked_sub(1);
        self.reorder(Order { column, ..order });
    }
}
