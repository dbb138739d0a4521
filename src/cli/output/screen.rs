//! What a terminal changes: how wide lines may be, whether they have colours, and what may not be printed on it.
//!
//! Colours are for terminals whose owner has not declined them (no-color.org). A pipe or file has no width.

use std::env;
use std::io::{self, IsTerminal as _};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Where the output goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    /// Characters in a line; `None` when nobody counts them.
    pub(crate) width: Option<usize>,
    /// Whether there are colours.
    pub(crate) paint: Paint,
}

impl Screen {
    /// Looks at the standard output.
    pub(crate) fn of_stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        let width = if terminal { ratatui::crossterm::terminal::size().ok() } else { None };
        Self {
            width: width.map(|(columns, _)| usize::from(columns)).filter(|columns| *columns > 0),
            paint: Paint::new(terminal && !declined()),
        }
    }

    /// A pipe, a file, or a test.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { width: None, paint: Paint::new(false) }
    }
}

fn declined() -> bool {
    env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// What a colour is to say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Warning,
    /// Wrong.
    Bad,
    /// Of lesser interest.
    Faint,
    /// A heading.
    Strong,
}

/// Paints texts, or does not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    colours: bool,
}

impl Paint {
    /// Colours or none, as said.
    pub(crate) fn new(colours: bool) -> Self {
        Self { colours }
    }

    /// Whether it paints.
    pub(crate) fn has_colours(self) -> bool {
        self.colours
    }

    /// Paints a text.
    pub(crate) fn tone(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Good => "32",
            Tone::Warning => "33",
            Tone::Bad => "1;31",
            Tone::Faint => "2",
            Tone::Strong => "1",
        };
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Makes a text harmless: peers and files have a say in it, and a terminal obeys control characters.
pub(crate) fn clean(text: &str) -> String {
    if !text.contains(is_obeyed) {
        return text.to_owned();
    }
    text.chars().map(|c| if is_obeyed(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// Whether a character is one a terminal obeys: a control character, or one that turns the direction of what follows.
pub(crate) fn is_obeyed(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// How many places a text takes on a line.
pub(crate) fn width_of(text: &str) -> usize {
    text.width()
}

/// Cuts a text that takes more places than there are, and shows that something is missing: at the end of a sentence, and in the
/// middle of a name, whose end tells it from its like.
pub(crate) fn cut(text: &str, places: usize) -> String {
    if width_of(text) <= places {
        return text.to_owned();
    }
    let left = places.saturating_sub(1);
    let tail = if text.contains(' ') { 0 } else { left / 2 };
    let head = upto(text.chars(), left - tail);
    let tail: String = upto(text.chars().rev(), tail).chars().rev().collect();
    format!("{head}…{tail}")
}

/// As many characters as have room.
fn upto(characters: impl Iterator<Item = char>, places: usize) -> String {
    let mut taken = 0;
    let fits = |c: &char| {
        taken += c.width().unwrap_or(0);
        taken <= places
    };
    characters.take_while(fits).collect()
}

/// Breaks a text between words into lines of at most so many places; a longer word has a line of its own.
pub(crate) fn wrapped(text: &str, places: Option<usize>) -> Vec<String> {
    let Some(places) = places else {
        return vec![text.to_owned()];
    };
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is at least one line");
        if last.is_empty() {
            last.push_str(word);
        } else if width_of(last) + 1 + width_of(word) <= places {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_and_not_obeyed() {
        assert_eq!(clean("web\u{1b}[2J\r\nx\u{202e}"), "web\\u{1b}[2J\\r\\nx\\u{202e}");
        assert_eq!(clean("grün 東京"), "grün 東京");
    }

    #[test]
    fn a_cut_text_fits_and_says_that_it_is_cut() {
        assert_eq!(cut("payments", 8), "payments");
        assert_eq!(cut("payments", 5), "pa…ts");
        assert_eq!(cut("no payment", 5), "no p…");
        assert_eq!(cut("spiffe://cluster.local/ns/shop/sa/web", 20), "spiffe://c…op/sa/web");
        assert_eq!(cut("東京都", 4), "東…");
        assert_eq!(cut("xy", 1), "…");
    }

    #[test]
    fn lines_break_between_words_and_only_where_there_is_a_width() {
        assert_eq!(wrapped("ab cd efghij", Some(5)), ["ab cd", "efghij"]);
        assert_eq!(wrapped("ab cd efghij", None), ["ab cd efghij"]);
        assert_eq!(wrapped("", Some(5)), [""]);
    }

    #[test]
    fn tones_are_colours_only_where_colours_are_wanted() {
        assert_eq!(Paint::new(true).tone(Tone::Bad, "x"), "\x1b[1;31mx\x1b[0m");
        assert_eq!(Paint::new(false).tone(Tone::Bad, "x"), "x");
        assert_eq!(Paint::new(true).tone(Tone::Plain, "x"), "x");
    }
}
