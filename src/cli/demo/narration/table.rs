//! The table of checks as text. Long cells continue on the next line.

use std::fmt::Write as _;

use crate::demo::checks::Check;
use crate::output::{Paint, Tone};

/// The widths of the first three columns; the last is as wide as its words.
const WIDTHS: [usize; 3] = [4, 38, 56];
const HEADINGS: [&str; 4] = ["step", "what was checked", "observed", "result"];
const GAP: &str = "  ";

/// The word for the outcome of a check.
pub(super) fn result(holds: bool) -> &'static str {
    if holds { "ok" } else { "FAILED" }
}

/// The tone of that word.
pub(super) fn tone(holds: bool) -> Tone {
    if holds { Tone::Good } else { Tone::Bad }
}

pub(super) fn render(checks: &[Check], paint: Paint) -> String {
    let mut text = String::new();
    row(&mut text, &HEADINGS, |word| paint.tone(Tone::Strong, word));
    let ruler = WIDTHS.map(|width| "-".repeat(width));
    row(&mut text, &[&ruler[0], &ruler[1], &ruler[2], "------"], str::to_owned);
    for check in checks {
        let holds = check.finding.holds;
        let observed = if holds { check.finding.observed.clone() } else { explained(check) };
        let cells = [check.step.letter(), &check.what, &observed, result(holds)];
        row(&mut text, &cells, |word| paint.tone(tone(holds), word));
    }
    text
}

fn explained(check: &Check) -> String {
    format!("{}; expected {}", check.finding.observed, check.finding.expected)
}

/// Adds a row; only its last cell is painted, so that colours do not count as width.
fn row(text: &mut String, cells: &[&str; 4], painted: impl Fn(&str) -> String) {
    let [a, b, c, last] = *cells;
    let columns = [(a, WIDTHS[0]), (b, WIDTHS[1]), (c, WIDTHS[2])].map(|(cell, width)| wrap(cell, width));
    let height = columns.iter().map(Vec::len).max().unwrap_or(0);
    for line in 0..height {
        let cell = |column: usize| columns[column].get(line).map_or("", String::as_str);
        let [a, b, c] = [cell(0), cell(1), cell(2)];
        let last = if line == 0 { painted(last) } else { String::new() };
        let [wa, wb, wc] = WIDTHS;
        let full = format!("{a:wa$}{GAP}{b:wb$}{GAP}{c:wc$}{GAP}{last}");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", full.trim_end());
    }
}

/// Breaks a text into lines, between words where possible. An empty text is one empty line.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace().flat_map(|word| pieces(word, width)) {
        let last = lines.last_mut().expect("there is at least one line");
        if last.is_empty() {
            last.push_str(&word);
        } else if last.chars().count() + 1 + word.chars().count() <= width {
            last.push(' ');
            last.push_str(&word);
        } else {
            lines.push(word);
        }
    }
    lines
}

/// Cuts what is longer than a line.
fn pieces(word: &str, width: usize) -> Vec<String> {
    let characters: Vec<char> = word.chars().collect();
    characters.chunks(width).map(|piece| piece.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::checks::{Finding, Step};

    fn check(what: &str, finding: Finding) -> Check {
        Check { step: Step::Refused, what: what.to_owned(), finding }
    }

    #[test]
    fn rows_are_aligned_and_a_failure_says_what_was_expected() {
        let checks = [
            check("client asks db", Finding::equal("reset", "reset")),
            check("db", Finding::equal("0", "1")),
        ];
        let text = render(&checks, Paint::new(false));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert_eq!(lines[0].find("observed"), lines[2].find("reset"));
        assert_eq!(lines[0].find("result"), lines[2].find("ok"));
        assert_eq!(
            lines[3].split_whitespace().collect::<Vec<_>>(),
            ["d", "db", "1;", "expected", "0", "FAILED"]
        );
    }

    #[test]
    fn long_cells_continue_below() {
        let long = "word ".repeat(20) + &"x".repeat(60);
        let text = render(&[check("client", Finding::equal(&long, &long))], Paint::new(false));
        let widest = WIDTHS.iter().sum::<usize>() + 3 * GAP.len() + "FAILED".len();
        assert!(text.lines().all(|line| line.len() <= widest), "{text}");
        assert_eq!(text.matches("word").count(), 20);
        assert_eq!(text.matches('x').count(), 60);
        assert_eq!(text.matches("ok").count(), 1);
    }

    #[test]
    fn colours_do_not_move_columns() {
        let checks = [check("a", Finding::equal("b", "b"))];
        let plain = render(&checks, Paint::new(false));
        let painted = render(&checks, Paint::new(true));
        assert!(painted.contains("\x1b[32mok\x1b[0m"), "{painted}");
        assert_eq!(painted.replace("\x1b[32m", "").replace("\x1b[1m", "").replace("\x1b[0m", ""), plain);
    }

    #[test]
    fn words_are_cut_only_when_longer_than_a_line() {
        assert_eq!(wrap("ab cd efghij", 5), ["ab cd", "efghi", "j"]);
        assert_eq!(wrap("", 5), [""]);
    }
}
