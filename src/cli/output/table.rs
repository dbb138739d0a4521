//! A table as text: aligned columns, and on a terminal no line longer than that.
//!
//! Only the widest columns give way, and never below what makes them worth having.

use std::cmp::Ordering;

use super::{Screen, Tone, clean, cut, width_of};

const GAP: &str = "  ";
/// What a column keeps when the terminal is too narrow for all.
const NARROWEST: usize = 10;

/// A table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    /// Its columns.
    pub(crate) headings: Vec<Heading>,
    /// Its rows, each with a cell for each column.
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// The head of a column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heading {
    /// What it says.
    pub(crate) title: &'static str,
    /// Whether its cells end where the column does, as numbers do.
    pub(crate) right: bool,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    /// What it says.
    pub(crate) text: String,
    /// What its place among others depends on.
    pub(crate) key: Key,
    /// How it looks.
    pub(crate) tone: Tone,
}

/// A cell as it stands in its line.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    /// Spaces before it.
    pub(crate) lead: String,
    /// What can be seen of it.
    pub(crate) text: String,
    /// Spaces behind it.
    pub(crate) trail: String,
    /// How it looks.
    pub(crate) tone: Tone,
}

impl Piece {
    /// How many places it takes.
    pub(crate) fn width(&self) -> usize {
        width_of(&self.lead) + width_of(&self.text) + width_of(&self.trail)
    }
}

/// What the order of cells depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// Its text.
    Text,
    /// A number, whatever its text looks like.
    Number(i128),
    /// There is nothing in it; it comes last.
    Nothing,
}

impl Cell {
    /// A text, made harmless. An empty one is nothing.
    pub(crate) fn text(text: impl AsRef<str>) -> Self {
        match text.as_ref() {
            "" => Self::nothing(),
            text => Self { text: clean(text), key: Key::Text, tone: Tone::Plain },
        }
    }

    /// A text, if there is one.
    pub(crate) fn maybe(text: Option<impl AsRef<str>>) -> Self {
        text.map_or_else(Self::nothing, Self::text)
    }

    /// A number.
    pub(crate) fn number(number: u64) -> Self {
        Self::sorted(number.to_string(), number.into())
    }

    /// A text that stands for a number.
    pub(crate) fn sorted(text: String, number: i128) -> Self {
        Self { text: clean(&text), key: Key::Number(number), tone: Tone::Plain }
    }

    /// Nothing to say.
    pub(crate) fn nothing() -> Self {
        Self { text: "-".to_owned(), key: Key::Nothing, tone: Tone::Faint }
    }

    /// The same in a tone.
    pub(crate) fn in_tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    /// Which one comes first. Numbers before texts, and nothing last.
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        let rank = |key| match key {
            Key::Number(number) => (0, number),
            Key::Text => (1, 0),
            Key::Nothing => (2, 0),
        };
        rank(self.key).cmp(&rank(other.key)).then_with(|| self.text.cmp(&other.text))
    }
}

impl Table {
    /// Draws it.
    pub(crate) fn render(&self, screen: &Screen, headers: bool) -> String {
        let mut text = String::new();
        for line in self.lines(screen.width, headers) {
            for piece in line {
                text.push_str(&piece.lead);
                text.push_str(&screen.paint.tone(piece.tone, &piece.text));
                text.push_str(&piece.trail);
            }
            text.push('\n');
        }
        text
    }

    /// Its lines in pieces, for whoever paints by other means: the heading first, if there are headers.
    pub(crate) fn lines(&self, width: Option<usize>, headers: bool) -> Vec<Vec<Piece>> {
        let widths = self.widths(width, headers);
        let title = |heading: &Heading| Cell::text(heading.title).in_tone(Tone::Strong);
        let titles: Option<Vec<Cell>> = headers.then(|| self.headings.iter().map(title).collect());
        titles.iter().chain(&self.rows).map(|cells| self.line(cells, &widths)).collect()
    }

    fn widths(&self, limit: Option<usize>, headers: bool) -> Vec<usize> {
        let of_column = |(column, heading): (usize, &Heading)| {
            let title = if headers { width_of(heading.title) } else { 0 };
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| width_of(&cell.text)).max().unwrap_or(0).max(title)
        };
        let mut widths: Vec<usize> = self.headings.iter().enumerate().map(of_column).collect();
        if let Some(limit) = limit {
            let floor = |heading: &Heading| NARROWEST.max(if headers { width_of(heading.title) } else { 0 });
            fit(&mut widths, &self.headings.iter().map(floor).collect::<Vec<_>>(), limit);
        }
        widths
    }

    fn line(&self, cells: &[Cell], widths: &[usize]) -> Vec<Piece> {
        let last = widths.len().saturating_sub(1);
        let columns = cells.iter().zip(&self.headings).zip(widths).enumerate();
        let piece = |(column, ((cell, heading), width)): (usize, ((&Cell, &Heading), &usize))| {
            let text = cut(&cell.text, *width);
            let padding = " ".repeat(width - width_of(&text).min(*width));
            let gap = if column == 0 { "" } else { GAP };
            let (lead, trail) = match (heading.right, column == last) {
                (true, _) => (format!("{gap}{padding}"), String::new()),
                (false, true) => (gap.to_owned(), String::new()),
                (false, false) => (gap.to_owned(), padding),
            };
            Piece { lead, text, trail, tone: cell.tone }
        };
        columns.map(piece).collect()
    }
}

/// Takes places from the widest columns until the line fits, or no column is above its floor.
fn fit(widths: &mut [usize], floors: &[usize], limit: usize) {
    let gaps = GAP.len() * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > limit {
        let above = widths.iter_mut().zip(floors).filter(|(width, floor)| **width > **floor);
        let Some((widest, _)) = above.max_by_key(|(width, _)| **width) else {
            return;
        };
        *widest -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Paint;

    fn table() -> Table {
        let heading = |title, right| Heading { title, right };
        let row =
            |name: &str, open, reason: &str| vec![Cell::text(name), Cell::number(open), Cell::text(reason)];
        Table {
            headings: vec![heading("NAME", false), heading("OPEN", true), heading("REASON", false)],
            rows: vec![
                row("web-1", 12, ""),
                row("a-name-that-is-longer-than-most-are", 3, "the namespace\nis gone").into_iter().collect(),
            ],
        }
    }

    #[test]
    fn columns_are_aligned_and_numbers_end_together() {
        let expected = "\
NAME                                 OPEN  REASON
web-1                                  12  -
a-name-that-is-longer-than-most-are     3  the namespace\\nis gone
";
        assert_eq!(table().render(&Screen::plain(), true), expected);
    }

    #[test]
    fn a_terminal_has_no_longer_lines_and_the_widest_give_way() {
        let screen = Screen { width: Some(40), paint: Paint::new(false) };
        let expected = "\
NAME              OPEN  REASON
web-1               12  -
a-name-t…ost-are     3  the namespace\\n…
";
        assert_eq!(table().render(&screen, true), expected);
    }

    #[test]
    fn a_terminal_that_is_too_narrow_for_anything_ends_the_loop() {
        let screen = Screen { width: Some(1), paint: Paint::new(false) };
        assert!(table().render(&screen, true).lines().all(|line| width_of(line) <= 10 + 2 + 4 + 2 + 10));
    }

    #[test]
    fn colours_do_not_move_columns() {
        let painted = table().render(&Screen { width: None, paint: Paint::new(true) }, true);
        let plain: String = ["\x1b[0m", "\x1b[1m", "\x1b[2m"]
            .iter()
            .fold(painted.clone(), |text, code| text.replace(code, ""));
        assert_ne!(painted, plain);
        assert_eq!(plain, table().render(&Screen::plain(), true));
    }

    #[test]
    fn without_headers_there_are_rows_alone() {
        let text = table().render(&Screen::plain(), false);
        assert!(text.starts_with("web-1"), "{text}");
        assert_eq!(text.lines().count(), 2);
    }

    #[test]
    fn numbers_are_in_order_of_size_and_nothing_comes_last() {
        let mut cells =
            [Cell::nothing(), Cell::number(10), Cell::number(9), Cell::text("b"), Cell::text("a")];
        cells.sort_by(Cell::compare);
        assert_eq!(cells.map(|cell| cell.text), ["9", "10", "a", "b", "-"]);
    }
}
