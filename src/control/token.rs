//! The bearer token of a call.
//!
//! Whoever has the text of a token is its owner to everybody else, so it is shown to nobody and kept by none but who needs it.

use std::fmt;

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use http::HeaderMap;

/// A token as it was sent.
#[derive(Clone)]
pub(crate) struct Token {
    text: Box<str>,
    digest: Digest,
}

/// A token as it is kept and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u8; SHA256_OUTPUT_LEN]);

impl Token {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.into(), digest: Digest::of(text) }
    }

    /// The token of an `authorization: Bearer` header.
    pub(crate) fn sent(headers: &HeaderMap) -> Option<Self> {
        let (scheme, token) = headers.get("authorization")?.to_str().ok()?.split_once(' ')?;
        let token = token.trim();
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| Self::new(token))
    }

    /// The token itself.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }
}

impl Digest {
    pub(crate) fn of(text: &str) -> Self {
        Self(digest(&SHA256, text.as_bytes()).as_ref().try_into().expect("SHA-256 has this length"))
    }

    /// A part of it, for what shall differ between tokens and is nobody's secret.
    pub(crate) fn part(&self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]])
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Token").field(&self.digest).finish()
    }
}
