//! The mesh config file and the inline `ProxyConfig`: the part of Istio's proxy configuration that concerns a node.
//!
//! In go two YAML texts, the file's `defaultConfig` and what is set inline, which wins key by key. Every key is optional, and
//! keys that mean nothing here are named in one warning and skipped: the same file configures sidecars.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::options;

use super::Error;

/// The keys that mean something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ProxyConfig {
    pub(super) discovery_address: Option<String>,
    pub(super) admin_port: Option<u16>,
    pub(super) stats_port: Option<u16>,
    pub(super) concurrency: Option<usize>,
    /// Without the prefix `ISTIO_META_`.
    pub(super) metadata: BTreeMap<String, String>,
}

/// What names of metadata may start with, as those in the environment do.
const METADATA: &str = "ISTIO_META_";

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    discovery_address: Option<String>,
    proxy_admin_port: Option<u16>,
    stats_port: Option<u16>,
    concurrency: Option<usize>,
    proxy_metadata: Option<BTreeMap<String, String>>,
    #[serde(flatten)]
    others: BTreeMap<String, IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MeshConfig {
    default_config: Option<Written>,
}

/// Reads the file, which need not be there, and over it what is set inline.
pub(super) fn read(file: &Path, inline: Option<&str>) -> Result<ProxyConfig, Error> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(Error::MeshConfig { path: file.to_owned(), source }),
    };
    let mesh: MeshConfig = parse(&text, &file.display().to_string())?;
    let inline: Written = parse(inline.unwrap_or_default(), "PROXY_CONFIG")?;
    Ok(merge(mesh.default_config.unwrap_or_default(), inline))
}

fn merge(file: Written, inline: Written) -> ProxyConfig {
    let skipped: Vec<&String> = file.others.keys().chain(inline.others.keys()).collect();
    if !skipped.is_empty() {
        tracing::warn!(?skipped, "keys of the proxy configuration that mean nothing here");
    }
    let strip = |(name, value): (String, String)| {
        (name.strip_prefix(METADATA).map(str::to_owned).unwrap_or(name), value)
    };
    let metadata = file.proxy_metadata.into_iter().chain(inline.proxy_metadata).flatten().map(strip);
    let address = inline.discovery_address.or(file.discovery_address);
    ProxyConfig {
        discovery_address: address.filter(|address| !address.is_empty()),
        admin_port: inline.proxy_admin_port.or(file.proxy_admin_port),
        stats_port: inline.stats_port.or(file.stats_port),
        concurrency: inline.concurrency.or(file.concurrency),
        metadata: metadata.collect(),
    }
}

fn parse<T: Default + for<'de> Deserialize<'de>>(text: &str, origin: &str) -> Result<T, Error> {
    let options = options! { with_snippet: false };
    let read: Result<Option<T>, _> = serde_saphyr::from_str_with_options(text, options);
    let wrong = |error: serde_saphyr::Error| Error::ProxyConfig {
        origin: origin.to_owned(),
        reason: error.to_string(),
    };
    read.map(Option::unwrap_or_default).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const FILE: &str = "rootNamespace: istio-system\ndefaultConfig:\n  discoveryAddress: file:15012\n  \
                        concurrency: 3\n  holdApplicationUntilProxyStarts: true\n  \
                        proxyMetadata: {ISTIO_META_A: file, B: file}\n";
    const INLINE: &str = "{discoveryAddress: inline:1, proxyMetadata: {A: inline}, statsPort: 15090}";

    /// A place for a file, of which there is none yet.
    fn nowhere(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("culvert-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    fn read_texts(name: &str, file: Option<&str>, inline: Option<&str>) -> Result<ProxyConfig, String> {
        let path = nowhere(name);
        if let Some(text) = file {
            std::fs::write(&path, text).unwrap();
        }
        let result = read(&path, inline).map_err(|error| error.to_string());
        let _ = std::fs::remove_file(&path);
        result
    }

    fn check(file: Option<&str>, inline: Option<&str>, address: Option<&str>, metadata: &[(&str, &str)]) {
        let read = read_texts("proxy-config", file, inline).unwrap();
        assert_eq!(read.discovery_address.as_deref(), address);
        let said: Vec<_> =
            read.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(said, metadata);
    }

    #[test]
    fn what_is_set_inline_wins_key_by_key() {
        check(None, None, None, &[]);
        check(Some(FILE), None, Some("file:15012"), &[("A", "file"), ("B", "file")]);
        check(None, Some(INLINE), Some("inline:1"), &[("A", "inline")]);
        check(Some(FILE), Some(INLINE), Some("inline:1"), &[("A", "inline"), ("B", "file")]);
        check(Some(FILE), Some("concurrency: 1"), Some("file:15012"), &[("A", "file"), ("B", "file")]);
        check(Some(""), Some("{}"), None, &[]);
        check(Some("defaultConfig:"), Some(""), None, &[]);
        check(None, Some("discoveryAddress: ''"), None, &[]);
        let read = read_texts("proxy-config", Some(FILE), Some(INLINE)).unwrap();
        assert_eq!((read.concurrency, read.stats_port, read.admin_port), (Some(3), Some(15090), None));
    }

    #[test]
    fn what_makes_no_sense_is_an_error_that_says_where() {
        for (file, inline, parts) in [
            (Some("defaultConfig: 3"), None, ["wrong-proxy-config", "line 1"]),
            (Some("defaultConfig:\n  concurrency: -1\n"), None, ["wrong-proxy-config", "line 2"]),
            (Some("\tx"), None, ["wrong-proxy-config", "line 1"]),
            (Some(FILE), Some("statsPort: 99999"), ["PROXY_CONFIG", "line 1"]),
            (None, Some("a: 1\nproxyMetadata: [x]"), ["PROXY_CONFIG", "line 2"]),
            (None, Some("[]"), ["PROXY_CONFIG", "line 1"]),
        ] {
            let error = read_texts("wrong-proxy-config", file, inline).unwrap_err();
            for part in parts {
                assert!(error.contains(part), "`{part}` is not in: {error}");
            }
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error() {
        let error = read(&std::env::temp_dir(), None).unwrap_err();
        assert!(matches!(error, Error::MeshConfig { .. }), "{error}");
    }

    #[test]
    fn nothing_is_too_deep_for_a_small_stack() {
        let refuse = || {
            for depth in [10, 50, 60, 100, 10_000] {
                for deep in [format!("{}{}", "[".repeat(depth), "]".repeat(depth)), "{a: ".repeat(depth)] {
                    let known = read_texts("deep", None, Some(&format!("{{proxyMetadata: {deep}}}")));
                    assert!(known.unwrap_err().contains("PROXY_CONFIG"));
                    // What nobody knows is skipped, or too deep for that.
                    if let Err(error) = read_texts("deep", None, Some(&format!("{{other: {deep}}}"))) {
                        assert!(error.contains("PROXY_CONFIG"), "{error}");
                    }
                    let _ = read_texts("deep", Some(&format!("defaultConfig: {{other: {deep}}}")), None);
                    let _ = read_texts("deep", Some(&format!("other: {deep}")), None);
                }
            }
        };
        std::thread::Builder::new().stack_size(2 << 20).spawn(refuse).unwrap().join().unwrap();
    }
}
