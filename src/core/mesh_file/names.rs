//! One copy of each text, however often the file says it: namespaces, networks and accounts repeat all the time.

use std::collections::HashSet;
use std::sync::Arc;

/// The texts seen so far.
#[derive(Default)]
pub(super) struct Names(HashSet<Arc<str>>);

impl Names {
    /// Gives the one copy of `text`.
    pub(super) fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        self.0.insert(new.clone());
        new
    }

    /// Gives the one copy of `text`, or of `default` when there is none or an empty one.
    pub(super) fn share_or(&mut self, text: Option<&str>, default: &str) -> Arc<str> {
        self.share(text.filter(|text| !text.is_empty()).unwrap_or(default))
    }
}
