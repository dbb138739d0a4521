//! One picture as text, for who has no terminal.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use time::OffsetDateTime;

use super::state::State;
use super::view;
use crate::output::Piece;

/// Lines beside those of the list: the node, the tabs, the heading, the keys.
const AROUND: usize = 4;
/// What is drawn at most; `culvert get` has lists of any length.
const MOST_LINES: usize = 1000;
const WIDEST: usize = 1000;
const NARROWEST: usize = 80;

/// Draws it with all lines, as wide as the terminal or, where nobody counts, as it needs to be.
pub(super) fn text(state: &State, now: OffsetDateTime, width: Option<usize>) -> String {
    let table = state.lines(now);
    let natural = || {
        let lines = table.lines(None, true);
        let width = |line: &Vec<_>| line.iter().map(|it: &Piece| it.width()).sum();
        lines.iter().map(width).max().unwrap_or(0).max(NARROWEST)
    };
    let width = width.unwrap_or_else(natural).min(WIDEST);
    let height = (table.rows.len() + AROUND).min(MOST_LINES);
    picture(state, now, width as u16, height as u16)
}

/// Draws it in a screen of that size.
pub(super) fn picture(state: &State, now: OffsetDateTime, width: u16, height: u16) -> String {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let Ok(drawn) = terminal.draw(|frame| view::draw(frame, state, now, false));
    written(drawn.buffer)
}

fn written(buffer: &Buffer) -> String {
    let mut text = String::new();
    for row in buffer.content.chunks(usize::from(buffer.area.width).max(1)) {
        let line: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
