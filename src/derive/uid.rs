//! What tells objects apart that had one name, one after the other.

use std::sync::Arc;

use serde::{Deserialize, Deserializer};

/// The uid of an object. There are many of these, and all but a few are UUIDs, which take a third of their text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Uid(Written);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Written {
    Uuid([u8; 16]),
    Otherwise(Arc<str>),
}

impl Uid {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(&self.0, Written::Otherwise(text) if text.is_empty())
    }
}

impl Default for Uid {
    fn default() -> Self {
        Self(Written::Otherwise(Arc::default()))
    }
}

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        Self(uuid(text).map_or_else(|| Written::Otherwise(text.into()), Written::Uuid))
    }
}

impl<'de> Deserialize<'de> for Uid {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        Ok(text.unwrap_or_default().as_str().into())
    }
}

/// Reads a UUID in the one way the API server writes it, so that different texts stay different.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let well_formed = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        });
    let digits: String = text.chars().filter(|&c| c != '-').collect();
    let number = u128::from_str_radix(&digits, 16).ok().filter(|_| well_formed)?;
    Some(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_texts_are_different_uids() {
        let texts = [
            "",
            "a",
            "0f0e0d0c-0b0a-0908-0706-050403020100",
            "0F0E0D0C-0B0A-0908-0706-050403020100",
            "0f0e0d0c0b0a09080706050403020100",
            "0f0e0d0c-0b0a-0908-0706-050403020101",
            "+f0e0d0c-0b0a-0908-0706-050403020100",
        ];
        for (at, one) in texts.iter().enumerate() {
            for (other_at, other) in texts.iter().enumerate() {
                assert_eq!(Uid::from(*one) == Uid::from(*other), at == other_at, "{one} {other}");
            }
        }
        assert!(Uid::from("").is_empty() && !Uid::from("a").is_empty());
    }

    #[test]
    fn a_usual_uid_takes_no_memory_of_its_own() {
        assert_eq!(size_of::<Uid>(), 24);
        assert!(matches!(Uid::from("0f0e0d0c-0b0a-0908-0706-050403020100").0, Written::Uuid(_)));
    }
}
