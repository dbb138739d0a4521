//! The version of a resource: opaque to us, and kept for each of a hundred thousand.

use std::fmt;

/// A version as the server wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(Text);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Text {
    /// Sixteen lower-case hexadecimal digits, what servers use for content hashes.
    Hash(u64),
    Other(Box<str>),
}

impl From<&str> for Version {
    fn from(text: &str) -> Self {
        let digits = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match u64::from_str_radix(text, 16) {
            Ok(hash) if digits => Self(Text::Hash(hash)),
            Ok(_) | Err(_) => Self(Text::Other(text.into())),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Text::Hash(hash) => write!(f, "{hash:016x}"),
            Text::Other(text) => f.write_str(text),
        }
    }
}

impl Version {
    /// How long its text is.
    pub(super) fn len(&self) -> usize {
        match &self.0 {
            Text::Hash(_) => 16,
            Text::Other(text) => text.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        for text in ["", "0123456789abcdef", "0123456789ABCDEF", "+123456789abcdef", "0.0.1", "0", "é"] {
            let version = Version::from(text);
            assert_eq!((version.to_string().as_str(), version.len()), (text, text.len()));
        }
    }

    #[test]
    fn a_version_is_small() {
        assert!(size_of::<Version>() <= 16);
        // What the session keeps of each resource; the name is shared with the store.
        assert!(size_of::<(std::sync::Arc<str>, Version)>() <= 32);
    }
}
