//! Lists: which state of the world is shown, what of it, and in pages that belong together.
//!
//! A list is read at one revision, and its further pages at the same one, out of the history of the store. When that has
//! been compacted, or the test lets tokens expire, the client is told so (410), with a token to go on inconsistently.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::call::{Match, Options};
use super::refusal::Refusal;
use super::shape::Shape;
use super::store::{Key, Store};

/// What a `continue` token says. To clients it is opaque; here it is `epoch:revision:namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    /// Which tokens are still good, see [`list`].
    epoch: u64,
    /// None: the newest state, whatever the pages before have shown.
    revision: Option<u64>,
    /// The last object that has been shown.
    after: (String, String),
}

/// Answers a list request. Tokens of other epochs than `epoch` have expired.
pub(crate) fn list(store: &Store, shape: &Shape, options: &Options, epoch: u64) -> Result<Value, Refusal> {
    let token = options.token.as_deref().map(Token::parse).transpose()?;
    let revision = match &token {
        Some(token) => token.revision_to_read(store, epoch)?,
        None => revision_to_read(store, options)?,
    };
    let objects = store.at(&shape.kind.table(), revision);
    let objects = objects.map_err(|_| match &token {
        Some(token) => token.expired(epoch),
        None => Refusal::expired("The resourceVersion for the provided list is too old."),
    })?;
    let after = token.map(|token| token.after);
    let matching = select(&objects, options, after.as_ref());
    Ok(page(shape, options, &matching, Token { epoch, revision: Some(revision), after: Default::default() }))
}

/// Which revision a list without a token is read at.
fn revision_to_read(store: &Store, options: &Options) -> Result<u64, Refusal> {
    let current = store.revision();
    match options.revision {
        None | Some(0) => Ok(current),
        Some(asked) if asked > current => Err(Refusal::too_new(asked, current)),
        Some(asked) if options.matching == Match::Exact => Ok(asked),
        // Without a match, a limit means exactly that revision: so it was before matches were invented.
        Some(asked) if options.matching == Match::Unset && options.limit.is_some() => Ok(asked),
        Some(_) => Ok(current),
    }
}

fn select<'o>(
    objects: &'o BTreeMap<Key, Arc<Value>>,
    options: &Options,
    after: Option<&(String, String)>,
) -> Vec<(&'o Key, &'o Arc<Value>)> {
    let not_shown =
        |key: &Key| after.is_none_or(|(namespace, name)| (&key.namespace, &key.name) > (namespace, name));
    objects.iter().filter(|(key, object)| not_shown(key) && options.selector.matches(object)).collect()
}

fn page(shape: &Shape, options: &Options, matching: &[(&Key, &Arc<Value>)], mut next: Token) -> Value {
    // Any state is answered out of a cache, which has no pages.
    let from_cache = options.token.is_none() && options.revision == Some(0);
    let limit = options.limit.filter(|_| !from_cache).unwrap_or(usize::MAX);
    let shown = &matching[..limit.min(matching.len())];
    let left = matching.len() - shown.len();
    let mut metadata = Map::new();
    metadata.insert("resourceVersion".into(), json!(next.revision.unwrap_or_default().to_string()));
    if left > 0
        && let Some((last, _)) = shown.last()
    {
        next.after = (last.namespace.clone(), last.name.clone());
        metadata.insert("continue".into(), json!(next.text()));
        if !options.selector.is_narrow() {
            metadata.insert("remainingItemCount".into(), json!(left));
        }
    }
    shape.list(metadata, shown.iter().map(|(_, object)| shape.item(object)).collect())
}

impl Token {
    fn parse(text: &str) -> Result<Self, Refusal> {
        let parse = || {
            let mut parts = text.splitn(3, ':');
            let epoch = parts.next()?.parse().ok()?;
            let revision = match parts.next()? {
                "any" => None,
                revision => Some(revision.parse().ok()?),
            };
            let (namespace, name) = parts.next()?.split_once('/')?;
            Some(Self { epoch, revision, after: (namespace.to_owned(), name.to_owned()) })
        };
        parse().ok_or_else(|| Refusal::bad_request(format!("continue key is not valid: {text:?}")))
    }

    fn text(&self) -> String {
        let revision = self.revision.map_or("any".to_owned(), |revision| revision.to_string());
        format!("{}:{revision}:{}/{}", self.epoch, self.after.0, self.after.1)
    }

    fn revision_to_read(&self, store: &Store, epoch: u64) -> Result<u64, Refusal> {
        match self.revision {
            None => Ok(store.revision()),
            Some(_) if self.epoch != epoch => Err(self.expired(epoch)),
            Some(revision) => Ok(revision),
        }
    }

    fn expired(&self, epoch: u64) -> Refusal {
        let message = "The provided continue parameter is too old to display a consistent list result. \
            You can start a new list without the continue parameter, or use the continue token in this response \
            to retrieve the remainder of the results.";
        let inconsistent = Self { epoch, revision: None, after: self.after.clone() };
        Refusal { proceed: Some(inconsistent.text()), ..Refusal::expired(message) }
    }
}
