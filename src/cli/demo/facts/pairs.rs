//! `key=value` pairs with quoted values: the fields of a log line and the labels of a metric are both written so.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// Reads pairs that are separated by `separator`; a value without quotes ends there. What is not a pair is left out.
pub(super) fn read(text: &str, separator: char) -> BTreeMap<String, String> {
    let mut rest = text.chars().peekable();
    let mut pairs = BTreeMap::new();
    while rest.peek().is_some() {
        let key: String = rest.by_ref().take_while(|c| *c != '=').collect();
        let value = match rest.next_if_eq(&'"') {
            Some(_) => quoted(&mut rest),
            None => std::iter::from_fn(|| rest.next_if(|c| *c != separator)).collect(),
        };
        while rest.next_if_eq(&separator).is_some() {}
        pairs.insert(key, value);
    }
    pairs
}

/// Reads to the closing quote; a backslash takes away what the next character means.
fn quoted(rest: &mut Peekable<Chars<'_>>) -> String {
    let mut value = String::new();
    while let Some(c) = rest.next() {
        match c {
            '"' => break,
            '\\' => value.extend(rest.next()),
            _ => value.push(c),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, separator: char, expected: &[(&str, &str)]) {
        let expected = expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        assert_eq!(read(text, separator), expected, "{text}");
    }

    #[test]
    fn pairs_are_read_with_and_without_quotes() {
        check("", ' ', &[]);
        check("a=1 b=\"x y\" c=[::1]:80", ' ', &[("a", "1"), ("b", "x y"), ("c", "[::1]:80")]);
        check(r#"a="x,y",b="","#, ',', &[("a", "x,y"), ("b", "")]);
        check(r#"error="said \"no\" \\ =" b=2"#, ' ', &[("error", r#"said "no" \ ="#), ("b", "2")]);
    }

    #[test]
    fn broken_text_ends_somewhere() {
        check(r#"a="never ends"#, ' ', &[("a", "never ends")]);
        check(r#"a="\"#, ' ', &[("a", "")]);
        check("no pair", ' ', &[("no pair", "")]);
    }
}
