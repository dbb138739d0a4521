//! Who we are to the control plane.

use std::path::PathBuf;
use std::sync::Arc;

use tonic::metadata::{Ascii, MetadataValue};

use super::{Error, Secret};

/// A bearer token.
#[derive(Debug, Clone)]
pub(crate) enum Token {
    /// A file, read again for each request: Kubernetes replaces it.
    File(PathBuf),
    /// The token itself.
    Text(Secret),
}

impl Token {
    /// The value of the authorization header. Space around the token is not part of it.
    pub(super) async fn bearer(&self) -> Result<MetadataValue<Ascii>, Error> {
        let text = match self {
            Self::Text(text) => text.reveal().to_owned(),
            Self::File(path) => tokio::fs::read_to_string(path)
                .await
                .map_err(|source| Error::TokenUnreadable { path: path.clone(), source: Arc::new(source) })?,
        };
        let token = text.trim();
        let malformed = || Error::TokenMalformed { origin: self.origin() };
        if token.is_empty() {
            return Err(malformed());
        }
        let mut value = super::ascii(&format!("Bearer {token}")).ok_or_else(malformed)?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn origin(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Text(_) => "the given text".to_owned(),
        }
    }
}
