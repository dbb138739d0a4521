//! One JSON object, written piece by piece: what is shown may be the whole mesh, and is never in memory at once.
//!
//! In go names with values, or with iterators of values; out come pieces of indented JSON, each made when the one before was taken.

use std::fmt::Debug;

use axum::body::Bytes;
use futures::stream::{self, Stream};
use serde::Serialize;
use serde_json::Value;

/// How much is put into one piece.
const PIECE: usize = 64 * 1024;

/// What stands under a name.
pub(super) enum Content {
    /// A value that is there.
    Value(Value),
    /// A list, one value after the other, each as [`item`] gives it.
    List(Box<dyn Iterator<Item = Vec<u8>> + Send>),
    /// The same with a name before each value, as [`entry`] gives it.
    Map(Box<dyn Iterator<Item = Vec<u8>> + Send>),
}

/// Values made when they are wanted: what they are made of may have changed until then.
pub(super) type Section = (&'static str, Box<dyn FnOnce() -> Content + Send>);

/// Writes one value of a list.
pub(super) fn item(value: &impl Serialize) -> Vec<u8> {
    indented(value, "    ")
}

/// Writes one value of a map and its name.
pub(super) fn entry(name: &str, value: &impl Serialize) -> Vec<u8> {
    let mut entry = indented(&name, "");
    entry.extend_from_slice(b": ");
    entry.extend(item(value));
    entry
}

/// Writes the object.
pub(super) fn object(sections: Vec<Section>) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
    let mut writer = Writer { sections: sections.into_iter(), list: None, begun: false, over: false };
    stream::iter(std::iter::from_fn(move || writer.piece()).map(|piece| Ok(Bytes::from(piece))))
}

struct Writer {
    sections: std::vec::IntoIter<Section>,
    list: Option<List>,
    begun: bool,
    over: bool,
}

struct List {
    items: Box<dyn Iterator<Item = Vec<u8>> + Send>,
    brackets: [u8; 2],
    begun: bool,
}

impl Writer {
    fn piece(&mut self) -> Option<Vec<u8>> {
        let mut piece = Vec::new();
        while piece.len() < PIECE && !self.over {
            self.write(&mut piece);
        }
        (!piece.is_empty()).then_some(piece)
    }

    fn write(&mut self, piece: &mut Vec<u8>) {
        if let Some(list) = &mut self.list {
            if !list.write(piece) {
                self.list = None;
            }
            return;
        }
        let Some((name, content)) = self.sections.next() else {
            piece.extend_from_slice(if self.begun { b"\n}\n" } else { b"{}\n" });
            self.over = true;
            return;
        };
        piece.extend_from_slice(if self.begun { b",\n  \"" } else { b"{\n  \"" });
        self.begun = true;
        piece.extend_from_slice(name.as_bytes());
        piece.extend_from_slice(b"\": ");
        match content() {
            Content::Value(value) => piece.extend(indented(&value, "  ")),
            Content::List(items) => self.list = Some(List { items, brackets: *b"[]", begun: false }),
            Content::Map(items) => self.list = Some(List { items, brackets: *b"{}", begun: false }),
        }
    }
}

impl List {
    /// Writes the next value; says whether there was one.
    fn write(&mut self, piece: &mut Vec<u8>) -> bool {
        let next = self.items.next();
        let [open, close] = self.brackets;
        match (&next, self.begun) {
            (Some(_), false) => piece.extend_from_slice(&[open, b'\n', b' ', b' ', b' ', b' ']),
            (Some(_), true) => piece.extend_from_slice(b",\n    "),
            (None, false) => piece.extend_from_slice(&[open, close]),
            (None, true) => piece.extend_from_slice(&[b'\n', b' ', b' ', close]),
        }
        self.begun = true;
        let more = next.is_some();
        piece.extend(next.unwrap_or_default());
        more
    }
}

impl Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Value(value) => value.fmt(f),
            Self::List(_) => f.write_str("[..]"),
            Self::Map(_) => f.write_str("{..}"),
        }
    }
}

/// Indented JSON, further in by `indent`. Line breaks within texts are escaped, so that all there are lie between values.
fn indented(value: &impl Serialize, indent: &str) -> Vec<u8> {
    let text = serde_json::to_vec_pretty(value).unwrap_or_else(|_| b"null".to_vec());
    let mut out = Vec::with_capacity(text.len() * 3 / 2);
    for byte in text {
        out.push(byte);
        if byte == b'\n' {
            out.extend_from_slice(indent.as_bytes());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _};
    use serde_json::json;

    use super::*;

    fn written(sections: Vec<Section>) -> (String, usize) {
        let pieces: Vec<_> = object(sections).collect().now_or_never().expect("nothing is waited for");
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.as_ref().unwrap().to_vec()).collect();
        (String::from_utf8(bytes).unwrap(), pieces.len())
    }

    #[test]
    fn it_reads_as_if_it_had_been_written_at_once() {
        let values = || vec![json!({ "a": [1, 2], "b": "line\nbreak \"quoted\"" }), json!([]), json!(7)];
        let items = values();
        let sections: Vec<Section> = vec![
            ("empty", Box::new(|| Content::List(Box::new(std::iter::empty())))),
            ("list", Box::new(move || Content::List(Box::new(items.into_iter().map(|it| item(&it)))))),
            ("map", Box::new(|| Content::Map(Box::new([entry("a\"b", &json!({ "c": 1 }))].into_iter())))),
            ("nothing", Box::new(|| Content::Map(Box::new(std::iter::empty())))),
            ("value", Box::new(|| Content::Value(json!({ "x": { "y": null } })))),
        ];
        let expected = json!({ "empty": [], "list": values(), "map": { "a\"b": { "c": 1 } }, "nothing": {}, "value": { "x": { "y": null } } });
        assert_eq!(written(sections).0, format!("{expected:#}\n"));
        assert_eq!(written(Vec::new()).0, "{}\n");
    }

    #[test]
    fn what_is_long_comes_in_pieces() {
        let items = (0..100_000).map(|number| item(&json!({ "number": number })));
        let sections: Vec<Section> = vec![("all", Box::new(move || Content::List(Box::new(items))))];
        let (text, pieces) = written(sections);
        assert!(pieces > 20, "{pieces}");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["all"].as_array().unwrap().len(), 100_000);
    }
}
