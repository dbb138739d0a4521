//! Which families an expression of PromQL asks for.
//!
//! In goes the text, Grafana's variables included; out come names of families. Whether the text makes sense is promtool's to say.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

/// Words that stand before a list of labels.
const BEFORE_LABELS: &[&str] = &["by", "without", "on", "ignoring", "group_left", "group_right"];
/// Words that stand between families.
const BETWEEN: &[&str] = &["and", "or", "unless", "offset", "bool"];

/// The names in an expression that are neither functions, labels nor words of the language.
pub(super) fn families(text: &str) -> BTreeSet<String> {
    let mut words = Words { rest: text.chars().peekable() };
    let mut found = BTreeSet::new();
    while let Some(word) = words.following() {
        if BEFORE_LABELS.contains(&word.as_str()) {
            words.skip_list();
        } else if !words.is_before(&["("])
            && !words.is_before(BEFORE_LABELS)
            && !BETWEEN.contains(&word.as_str())
        {
            found.insert(word);
        }
    }
    found
}

/// The words outside quotes, braces and brackets.
struct Words<'t> {
    rest: Peekable<Chars<'t>>,
}

impl Words<'_> {
    fn following(&mut self) -> Option<String> {
        while let Some(first) = self.rest.next() {
            match first {
                '{' => self.skip_to('}'),
                '[' => self.skip_to(']'),
                '"' | '\'' => self.skip_to(first),
                // Numbers and durations.
                '0'..='9' => drop(self.word()),
                _ if is_of_word(first) => return Some(format!("{first}{}", self.word())),
                _ => {}
            }
        }
        None
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(next) = self.rest.next_if(|it| is_of_word(*it)) {
            word.push(next);
        }
        word
    }

    fn skip_space(&mut self) {
        while self.rest.next_if(|it| it.is_whitespace()).is_some() {}
    }

    /// Skips what is in parentheses, if that comes next.
    fn skip_list(&mut self) {
        self.skip_space();
        if self.rest.next_if_eq(&'(').is_some() {
            self.skip_to(')');
        }
    }

    fn is_before(&self, what: &[&str]) -> bool {
        let mut ahead = Words { rest: self.rest.clone() };
        ahead.skip_space();
        let next = if ahead.rest.peek() == Some(&'(') { "(".to_owned() } else { ahead.word() };
        what.contains(&next.as_str())
    }

    fn skip_to(&mut self, end: char) {
        for next in self.rest.by_ref() {
            if next == end {
                return;
            }
        }
    }
}

fn is_of_word(it: char) -> bool {
    it.is_ascii_alphanumeric() || it == '_' || it == ':'
}

#[test]
fn families_are_told_from_all_else() {
    let found = families(
        r#"(sum by (a, b) (rate(one_total{x="four", y=~"$five"}[$__rate_interval])) / on (c) group_left two > bool 0.5)
        or topk(3, three offset 1d) unless ignoring (d) up == 1"#,
    );
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["one_total", "three", "two", "up"]);
}
