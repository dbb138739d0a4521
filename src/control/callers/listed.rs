//! Who may ask where the mesh is written down in files: the token file.
//!
//! In goes its text:
//!
//! ```yaml
//! tokens:
//! - token: <text>
//!   node: <node>          # a node proxy: any identity the mesh file places on that node
//! - token: <text>
//!   identity: spiffe://…  # a proxy for one workload: this identity and no other
//! ```
//!
//! Out comes a table from token to caller, or the line that is wrong. Tokens are kept as SHA-256 digests; no error and no
//! log line shows one.

use std::collections::HashMap;
use std::path::Path;

use culvert_core::identity::NotAnIdentity;
use culvert_serving::Source;
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use crate::files::{self, Exposed};
use crate::live::Live;
use crate::token::{Digest, Token};

use super::{Caller, Callers, Known, Reach, Stranger};

/// All callers, by the digest of their token.
///
/// Looking up a digest takes a time that depends on digests only, which tells nothing about any token.
#[derive(Debug, Default)]
pub(crate) struct Listed(HashMap<Digest, Caller>);

/// What is wrong with a token file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the tokens are not kept secret")]
    Exposed(#[from] Exposed),
    #[error("line {line}, column {column}: {reason}")]
    Syntax { line: u64, column: u64, reason: &'static str },
    #[error("line {line}: a token must not be empty and may hold printable ASCII without spaces only")]
    Token { line: u64 },
    #[error("line {line}: the same token as in line {first}; every caller needs its own")]
    Duplicate { line: u64, first: u64 },
    #[error("line {line}: write either `node` or `identity`, and one of them only")]
    Kind { line: u64 },
    #[error("line {line}")]
    Identity { line: u64, source: NotAnIdentity },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tokens: Vec<Spanned<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    token: String,
    node: Option<String>,
    identity: Option<String>,
}

/// Reads the text of a token file, and looks at who else may.
pub(crate) fn read(path: &Path, text: &str) -> Result<Listed, Error> {
    files::refuse_exposed(path, files::OWNER_AND_GROUP)?;
    parse(text)
}

fn parse(text: &str) -> Result<Listed, Error> {
    let options = serde_saphyr::options! { with_snippet: false };
    let file: File = serde_saphyr::from_str_with_options(text, options).map_err(|error| explain(&error))?;
    let mut callers = Listed::default();
    let mut lines = HashMap::new();
    for Spanned { value, referenced, .. } in file.tokens {
        let line = referenced.line();
        if value.token.is_empty() || !value.token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::Token { line });
        }
        let key = Digest::of(&value.token);
        if let Some(first) = lines.insert(key, line) {
            return Err(Error::Duplicate { line, first });
        }
        callers.0.insert(key, caller(value, line)?);
    }
    Ok(callers)
}

fn caller(entry: Entry, line: u64) -> Result<Caller, Error> {
    match (entry.node, entry.identity) {
        (Some(node), None) if !node.is_empty() => Ok(Caller::Node(node)),
        (None, Some(identity)) => {
            identity.parse().map(Caller::Workload).map_err(|source| Error::Identity { line, source })
        }
        _ => Err(Error::Kind { line }),
    }
}

/// Says what is wrong without the parser's words: they quote the file.
fn explain(error: &serde_saphyr::Error) -> Error {
    let location = error.location().unwrap_or(Location::UNKNOWN);
    let reason = if matches!(error, serde_saphyr::Error::SerdeUnknownField { .. }) {
        "unknown key; the keys known are `tokens` and, in its entries, `token`, `node`, `identity`"
    } else if matches!(error, serde_saphyr::Error::SerdeMissingField { .. }) {
        "a key is missing; write `tokens:` and below it entries with `token` and with `node` or `identity`"
    } else {
        "not a list of tokens in YAML; write `tokens:` and below it entries like `- {token: …, node: …}`"
    };
    Error::Syntax { line: location.line(), column: location.column(), reason }
}

impl Listed {
    /// Tells who a token belongs to.
    fn get(&self, token: &Digest) -> Option<&Caller> {
        self.0.get(token)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[tonic::async_trait]
impl Callers for Live<Listed> {
    /// Both kinds may read all of the mesh: to route and to judge, either has to know whoever it may meet, and whoever wrote the
    /// tokens into a file knows whom he gave them to.
    async fn find(&self, token: &Token, _from: Option<Source>) -> Result<Known, Stranger> {
        let caller = self.borrow().get(token.digest()).cloned().ok_or(Stranger::Unknown)?;
        Ok(Known { caller, reach: Reach::Everything, pod: None })
    }

    async fn lost(&self, token: &Token, known: &Known) -> Stranger {
        let mut newest = self.clone();
        while newest.changed().await.is_ok() {
            if newest.borrow().get(token.digest()) != Some(&known.caller) {
                break;
            }
        }
        Stranger::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: &str = "spiffe://cluster.local/ns/default/sa/web";

    #[test]
    fn tokens_lead_to_nodes_and_identities() {
        let callers =
            parse(&format!("tokens:\n- {{token: one, node: a}}\n- token: two\n  identity: {WEB}\n")).unwrap();
        assert_eq!(callers.get(&Digest::of("one")), Some(&Caller::Node("a".into())));
        assert_eq!(callers.get(&Digest::of("two")), Some(&Caller::Workload(WEB.parse().unwrap())));
        for unknown in ["", "on", "one ", "three"] {
            assert_eq!(callers.get(&Digest::of(unknown)), None);
        }
        assert_eq!(callers.len(), 2);
        assert_eq!(parse("tokens: []").unwrap().len(), 0);
    }

    #[test]
    fn a_bad_file_is_refused_with_its_line_and_without_its_tokens() {
        let cases = [
            (
                "tokens:\n- {token: secret, node: a}\n- {token: secret, node: b}",
                "line 3: the same token as in line 2",
            ),
            ("tokens:\n- {token: secret, node: a, identity: b}", "line 2: write either"),
            ("tokens:\n- {token: secret}", "line 2: write either"),
            ("tokens:\n- {token: secret, node: ''}", "line 2: write either"),
            ("tokens:\n- {token: secret, identity: web}", "line 2"),
            ("tokens:\n- {token: '', node: a}", "line 2: a token must not be empty"),
            ("tokens:\n- {token: sec ret, node: a}", "line 2: a token must not be empty"),
            ("tokens:\n- {token: secret, node: a, more: b}", "unknown key"),
            ("tokens:\n- {secret: token, node: a}", "unknown key"),
            ("tokens:\n- {node: a}", "a key is missing"),
            ("tokens:\n- secret", "not a list of tokens"),
            ("tokens: secret", "not a list of tokens"),
            ("tokens:\n- {token: secret", "not a list of tokens"),
            ("{}", "a key is missing"),
            ("", "not a list of tokens"),
        ];
        for (text, expected) in cases {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with("line ") && error.contains(expected), "{text}\n{error}");
            assert!(!error.contains("secret") && !error.contains("sec ret"), "{error}");
        }
    }

    #[test]
    fn nothing_is_too_deep_for_a_thread_of_tokio() {
        let refuse = || {
            for depth in [10, 50, 63, 100, 10_000] {
                for deep in ["[".repeat(depth), "{a: ".repeat(depth), format!("\n{}1", "- ".repeat(depth))] {
                    for text in [deep.clone(), format!("tokens: {deep}"), format!("tokens: [{{token: {deep}")]
                    {
                        assert!(parse(&text).unwrap_err().to_string().starts_with("line "));
                    }
                }
            }
        };
        std::thread::Builder::new().stack_size(2 << 20).spawn(refuse).unwrap().join().unwrap();
    }
}
