//! Labels as text, the way both formats write them between braces. A series is known by this text: what is written once is
//! never written again.

/// What stands for values there is no room for.
pub(crate) const OVERFLOW: &str = "overflow";

/// Writes labels. Their names are in the programs' text, each once.
pub(crate) fn text<'l>(labels: impl Iterator<Item = (&'l str, &'l str)> + Clone) -> String {
    let length = labels.clone().map(|(name, value)| name.len() + value.len() + 4).sum();
    let mut text = String::with_capacity(length);
    for (name, value) in labels {
        if !text.is_empty() {
            text.push(',');
        }
        push_name(&mut text, name);
        text.push_str("=\"");
        push_escaped(&mut text, value);
        text.push('"');
    }
    text
}

/// Writes the name of a label or, with `:`, of a family; what is not allowed in one becomes an underscore.
pub(crate) fn push_name(text: &mut String, name: &str) {
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_';
    if !name.starts_with(begins) {
        text.push('_');
    }
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        text.push_str(name);
    } else {
        text.extend(name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
    }
}

/// Writes a value: both formats escape the same three characters.
fn push_escaped(text: &mut String, value: &str) {
    let mut rest = value;
    while let Some(at) = rest.find(['\\', '"', '\n']) {
        text.push_str(&rest[..at]);
        text.push_str(match rest.as_bytes()[at] {
            b'\\' => "\\\\",
            b'"' => "\\\"",
            _ => "\\n",
        });
        rest = &rest[at + 1..];
    }
    text.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_and_names_are_made_names() {
        for (labels, written) in [
            (&[("a", "b")][..], r#"a="b""#),
            (&[("a", "1"), ("b", "2")], r#"a="1",b="2""#),
            (&[("a", "quote \" slash \\ line\nend")], r#"a="quote \" slash \\ line\nend""#),
            (&[("a", "ünïcödé\t")], "a=\"ünïcödé\t\""),
            (&[("a-b.c", ""), ("1st", "x"), ("ä", "y"), ("", "z")], r#"a_b_c="",_1st="x",__="y",_="z""#),
            (&[], ""),
        ] {
            assert_eq!(text(labels.iter().copied()), written);
        }
    }
}
