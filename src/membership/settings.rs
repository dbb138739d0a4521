//! What holds for the whole mesh, as its owners write it.

use std::collections::BTreeSet;

use crate::selectors::{self, Selectors};

/// Namespaces whose pods are never in the mesh when nothing is said, as the setting is written.
pub const EXCLUDED: &str = "kube-system";

/// Which pods the mesh is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub(crate) selectors: Selectors,
    excluded: BTreeSet<String>,
}

/// A setting that cannot be used. Every program calls it by these names.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a namespace.
    #[error(
        "--exclude-namespaces (EXCLUDE_NAMESPACES): `{0}` is not the name of a namespace; write names separated by commas"
    )]
    Namespace(String),
    /// Not selectors.
    #[error(
        "--enablement-selector (AMBIENT_ENABLEMENT_SELECTOR) is not a list of selectors; write YAML like `- podSelector: {{matchLabels: {{...}}}}`"
    )]
    Selectors(#[source] selectors::Error),
}

impl Settings {
    /// Reads a list of selectors in YAML, of which an empty one is the usual one, and namespaces separated by commas.
    ///
    /// # Errors
    /// For the first that is wrong.
    pub fn read(selectors: &str, excluded: &str) -> Result<Self, Error> {
        let selectors = match selectors.trim() {
            "" => Selectors::usual(),
            text => Selectors::parse(text).map_err(Error::Selectors)?,
        };
        Ok(Self { selectors, excluded: namespaces(excluded)? })
    }

    /// Namespaces whose pods are never in the mesh.
    #[must_use]
    pub fn excluded(&self) -> &BTreeSet<String> {
        &self.excluded
    }
}

impl Default for Settings {
    /// What holds when nothing is said.
    fn default() -> Self {
        Self { selectors: Selectors::usual(), excluded: [EXCLUDED.to_owned()].into() }
    }
}

fn namespaces(text: &str) -> Result<BTreeSet<String>, Error> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let fits = name.len() <= 63 && name.bytes().all(plain);
            if fits { Ok(name.to_owned()) } else { Err(Error::Namespace(name.to_owned())) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn nothing_said_is_the_usual() {
        assert_eq!(Settings::read("", EXCLUDED).unwrap(), Settings::default());
        assert_eq!(Settings::read(" \n", EXCLUDED).unwrap(), Settings::default());
        assert_eq!(Settings::read("", "").unwrap().excluded().len(), 0);
    }

    #[test]
    fn what_is_said_counts() {
        let settings = Settings::read("- podSelector: {}", "kube-system, infra,,").unwrap();
        assert_eq!(settings.selectors, Selectors::parse("- {}").unwrap());
        assert_eq!(Vec::from_iter(settings.excluded()), ["infra", "kube-system"]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_setting() {
        for wrong in ["a;b", "Shop", "shop/web", "ok,n\u{e4}", &"a".repeat(64)] {
            let error = Settings::read("", wrong).unwrap_err().to_string();
            let name = wrong.trim_start_matches("ok,");
            assert!(error.contains("EXCLUDE_NAMESPACES") && error.contains(&format!("`{name}`")), "{error}");
        }
        let error = Settings::read("- podSelektor: {}", "").unwrap_err();
        assert!(error.to_string().contains("AMBIENT_ENABLEMENT_SELECTOR"), "{error}");
        assert!(error.source().unwrap().to_string().contains("podSelektor"), "{error:?}");
    }
}
