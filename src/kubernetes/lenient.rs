//! Objects that may not be what their reader expects.
//!
//! A list or a watch of a `W` fails as a whole when one object is no `W`: nobody acts on half of what there is. Where one object that
//! somebody has written must not keep all others away, a `Lenient<W>` is read instead: that object is told of by name, for the user to
//! decide what it means that it is there and cannot be read.
//!
//! Where a type alone does not say how an object is read, a `Box<RawValue>` is read, which all JSON is; whoever then finds that he
//! cannot make sense of it names it with [`Unreadable::of`].

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::call::beginning;

/// As much as is kept of what is wrong with an object. Whoever has written it may have a say in that text.
const LONGEST_WHY: usize = 512;

/// An object, read as a `W` if it is one. Only JSON can be read as this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lenient<W>(pub Result<W, Unreadable>);

/// An object that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Where it is; empty for what is in no namespace.
    pub namespace: String,
    /// What it is called.
    pub name: String,
    /// Tells it from others of that name.
    pub uid: String,
    /// How often what is wanted has changed.
    pub generation: i64,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, name, why, .. } = self;
        let separator = if namespace.is_empty() { "" } else { "/" };
        write!(f, "{namespace}{separator}{name} cannot be read: {why}")
    }
}

impl<'de, W: DeserializeOwned> Deserialize<'de> for Lenient<W> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(serde_json::from_str(raw.get()).map_err(|error| Unreadable::of(raw.get(), &error))))
    }
}

/// What names an object, however little of it makes sense.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    metadata: Meta,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta {
    namespace: Value,
    name: Value,
    uid: Value,
    generation: Value,
}

impl Unreadable {
    /// Names an object, given as JSON, that cannot be read for that reason.
    #[must_use]
    pub fn of(object: &str, why: &impl fmt::Display) -> Self {
        let Head { metadata } = serde_json::from_str(object).unwrap_or_default();
        let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            namespace: text(metadata.namespace),
            name: text(metadata.name),
            uid: text(metadata.uid),
            generation: metadata.generation.as_i64().unwrap_or_default(),
            why: beginning(&why.to_string(), LONGEST_WHY).to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Thing {
        size: u8,
    }

    fn read(text: &str) -> Result<Thing, Unreadable> {
        serde_json::from_str::<Lenient<Thing>>(text).unwrap().0
    }

    #[test]
    fn what_can_be_read_is_read() {
        assert_eq!(read(r#"{"size": 3}"#), Ok(Thing { size: 3 }));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let metadata = r#"{"namespace": "shop", "name": "web", "uid": "u", "generation": 7}"#;
        let unreadable = read(&format!(r#"{{"metadata": {metadata}, "size": "x"}}"#)).unwrap_err();
        let Unreadable { namespace, name, uid, generation, .. } = &unreadable;
        assert_eq!((&**namespace, &**name, &**uid, *generation), ("shop", "web", "u", 7));
        assert!(unreadable.to_string().starts_with("shop/web cannot be read: invalid type"), "{unreadable}");
    }

    #[test]
    fn nothing_that_is_json_keeps_others_away() {
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        for (object, name) in [
            (format!(r#"{{"spec": {deep}, "metadata": {{"name": "deep"}}}}"#), "deep"),
            (r#"{"metadata": {"name": "half", "namespace": 7}}"#.to_owned(), "half"),
            (r#"{"metadata": 7}"#.to_owned(), ""),
            ("null".to_owned(), ""),
            (deep, ""),
        ] {
            assert_eq!(read(&object).unwrap_err().name, name);
        }
    }

    #[test]
    fn no_more_is_kept_of_what_is_wrong_than_is_read_by_people() {
        let long = format!(r#"{{"size": "{}"}}"#, "ü".repeat(100_000));
        let why = read(&long).unwrap_err().why;
        assert!(why.len() <= LONGEST_WHY && why.contains("üü"), "{why}");
    }

    #[test]
    fn what_is_too_deep_is_named_however_deep_it_is() {
        for depth in [10, 127, 128, 10_000, 1_000_000] {
            let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            let text = format!(r#"{{"spec": {deep}, "size": {deep}, "metadata": {{"name": "web"}}}}"#);
            let read = move || read(&text).unwrap_err();
            let unreadable =
                std::thread::Builder::new().stack_size(2 << 20).spawn(read).unwrap().join().unwrap();
            assert_eq!(unreadable.name, "web", "{depth}");
        }
    }
}
