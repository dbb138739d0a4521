//! Who we are to the control plane.

use std::path::PathBuf;
use std::sync::Arc;

use tonic::metadata::{Ascii, MetadataValue};

use super::Error;

/// A bearer token.
#[derive(Clone)]
pub(crate) enum Token {
    /// A file, read again for each request: Kubernetes replaces it.
    File(PathBuf),
    /// The token itself.
    Text(String),
}

impl Token {
    /// The value of the authorization header. Space around the token is not part of it.
    pub(super) async fn bearer(&self) -> Result<MetadataValue<Ascii>, Error> {
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::File(path) => tokio::fs::read_to_string(path)
                .await
                .map_err(|source| Error::TokenUnreadable { path: path.clone(), source: Arc::new(source) })?,
        };
        let token = text.trim();
        if token.is_empty() {
            return Err(Error::TokenMalformed);
        }
        let mut value =
            MetadataValue::try_from(format!("Bearer {token}")).map_err(|_| Error::TokenMalformed)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl std::fmt::Debug for Token {
    /// Shows where a token comes from, never the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text(_) => f.write_str("Text(..)"),
        }
    }
}
