//! A value as somebody wrote it, and the line each part of it begins on.
//!
//! Goes in: what a YAML parser reads. Comes out: JSON, as `kubectl` would send it, and lines by the paths problems are told with.
//! Deliberately absent: what any of it means.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

/// A value, and where it is written.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) value: Value,
    pub(super) lines: Lines,
}

/// The line a value begins on, and those of what is in it.
#[derive(Debug)]
pub(super) struct Lines {
    line: u64,
    under: Under,
}

#[derive(Debug)]
enum Under {
    Nothing,
    List(Vec<Lines>),
    Object(BTreeMap<String, Lines>),
}

/// More than names have dots.
const MOST_ENDS: usize = 64;

impl Lines {
    /// Gives the line of what is at a path (`spec.rules[1].to`, `metadata.labels[example.com/app]`), or of what is nearest to it.
    pub(super) fn of(&self, path: &str) -> u64 {
        let path = path.strip_prefix('.').unwrap_or(path);
        let next = match &self.under {
            Under::Nothing => None,
            Under::List(items) => index(path).and_then(|(number, rest)| Some((items.get(number)?, rest))),
            Under::Object(fields) => {
                let met = keys(path).into_iter().filter_map(|(key, rest)| Some((fields.get(key)?, rest)));
                met.min_by_key(|(_, rest)| rest.len())
            }
        };
        next.map_or(self.line, |(lines, rest)| lines.of(rest))
    }

    /// Gives those of an item of the list at a field.
    pub(super) fn into_items(self, field: &str) -> Vec<Self> {
        let Under::Object(mut fields) = self.under else { return Vec::new() };
        let list = fields.remove(field).map(|lines| lines.under);
        if let Some(Under::List(items)) = list { items } else { Vec::new() }
    }

    /// Counts what is in it.
    pub(super) fn count(&self) -> usize {
        let within = match &self.under {
            Under::Nothing => 0,
            Under::List(items) => items.iter().map(Self::count).sum(),
            Under::Object(fields) => fields.values().map(Self::count).sum(),
        };
        within + 1
    }
}

/// Reads `[3]`, and gives what follows.
fn index(path: &str) -> Option<(usize, &str)> {
    let (number, rest) = path.strip_prefix('[')?.split_once(']')?;
    Some((number.parse().ok()?, rest))
}

/// Gives the keys a path may begin with, each with what follows it. A key may be in brackets, and may have in it what ends keys; no
/// more than [`MOST_ENDS`] of those are looked at.
fn keys(path: &str) -> Vec<(&str, &str)> {
    let ends = |in_it: &str, ends: &[char]| -> Vec<usize> {
        in_it.match_indices(ends).map(|(at, _)| at).take(MOST_ENDS).collect()
    };
    let bracketed = path
        .strip_prefix('[')
        .into_iter()
        .flat_map(|inner| ends(inner, &[']']).into_iter().map(|at| (&inner[..at], &inner[at + 1..])));
    let plain = ends(path, &['.', '[']).into_iter().map(|at| path.split_at(at));
    bracketed.chain(plain).chain([(path, "")]).collect()
}

impl<'de> Deserialize<'de> for Located {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Spanned { value: Parts(value, under), referenced, .. } = Spanned::<Parts>::deserialize(from)?;
        Ok(Self { value, lines: Lines { line: referenced.line(), under } })
    }
}

/// A value, and the lines within it.
struct Parts(Value, Under);

impl Parts {
    fn plain(value: impl Into<Value>) -> Self {
        Self(value.into(), Under::Nothing)
    }
}

impl<'de> Deserialize<'de> for Parts {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Parts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Parts, E> {
        Ok(Parts::plain(Value::Null))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Parts, E> {
        Ok(Parts::plain(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Parts, E> {
        Ok(Parts::plain(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Parts, E> {
        Ok(Parts::plain(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Parts, E> {
        Number::from_f64(value).map(Parts::plain).ok_or_else(|| E::custom("this is no number JSON has"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Parts, E> {
        Ok(Parts::plain(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Parts, A::Error> {
        let (mut values, mut lines) = (Vec::new(), Vec::new());
        while let Some(item) = items.next_element::<Located>()? {
            values.push(item.value);
            lines.push(item.lines);
        }
        Ok(Parts(Value::Array(values), Under::List(lines)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Parts, A::Error> {
        let (mut values, mut lines) = (Map::new(), BTreeMap::new());
        while let Some(key) = fields.next_key::<Spanned<String>>()? {
            let value = fields.next_value::<Located>()?;
            lines.insert(key.value.clone(), Lines { line: key.referenced.line(), ..value.lines });
            if values.insert(key.value, value.value).is_some() {
                return Err(A::Error::custom("this key is there twice"));
            }
        }
        Ok(Parts(Value::Object(values), Under::Object(lines)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn located(text: &str) -> Located {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn a_path_leads_to_the_line_of_its_key_or_to_that_of_what_is_nearest() {
        let Located { lines, .. } = located(
            "metadata:\n  labels:\n    app.kubernetes.io/name: a\n    app: b\nspec:\n  rules:\n  - to:\n    - x: 1\n  -\n    y:\n      - 2\na.b.c:\n  d: 1\n",
        );
        for (path, line) in [
            ("", 1),
            ("the object", 1),
            ("metadata.labels[app.kubernetes.io/name]", 3),
            ("metadata.labels.app.kubernetes.io/name", 3),
            ("metadata.labels[app]", 4),
            ("metadata.labels[absent]", 2),
            ("spec.rules[0]", 7),
            ("spec.rules[0].to[0].x", 8),
            ("spec.rules[1].y", 10),
            ("spec.rules[1].y[0].z", 11),
            ("spec.rules[7]", 6),
            ("spec.rulesof", 5),
            ("a.b.c.d", 13),
            ("[a.b.c][d]", 13),
        ] {
            assert_eq!(lines.of(path), line, "{path}");
        }
    }

    #[test]
    fn values_are_those_kubectl_would_send() {
        let text =
            "{a: on, b: 'on', c: 0644, 80: 1.5, d: ~, e: [x, &n {f: g}], h: *n, i: 2026-01-01, j: !!str 7}";
        let options = super::super::document::options(text.len(), 100);
        let Located { value, .. } = serde_saphyr::from_str_with_options(text, options).unwrap();
        let expected = serde_json::json!({
            "a": true, "b": "on", "c": 420, "80": 1.5, "d": null, "e": ["x", {"f": "g"}], "h": {"f": "g"}, "i": "2026-01-01",
            "j": "7",
        });
        assert_eq!(value, expected);
    }
}
