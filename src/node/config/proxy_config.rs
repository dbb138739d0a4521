//! The mesh config file and the inline `ProxyConfig`: the part of Istio's proxy configuration that concerns a node.
//!
//! In go two YAML texts, the file's `defaultConfig` and what is set inline, which wins key by key. Every key is optional, and
//! keys that mean nothing here are named in one warning and skipped: the same file configures sidecars.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::options;

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

/// What is added to names of metadata in the environment.
pub(super) const METADATA: &str = "ISTIO_META_";

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    discovery_address: Option<String>,
    proxy_admin_port: Option<u16>,
    stats_port: Option<u16>,
    concurrency: Option<usize>,
    proxy_metadata: Option<BTreeMap<String, String>>,
    #[serde(flatten)]
    others: BTreeMap<String, serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MeshConfig {
    default_config: Option<Written>,
}

/// Reads what the file says, and over it what is set inline.
pub(super) fn read(file: Option<&str>, inline: Option<&str>) -> Result<ProxyConfig, String> {
    let file = match file {
        Some(text) => parse::<MeshConfig>(text)?.default_config.unwrap_or_default(),
        None => Written::default(),
    };
    let inline = inline.map(parse::<Written>).transpose()?.unwrap_or_default();
    let unknown: Vec<&String> = file.others.keys().chain(inline.others.keys()).collect();
    if !unknown.is_empty() {
        tracing::debug!(?unknown, "keys of the proxy configuration that mean nothing here");
    }
    let strip = |(name, value): (String, String)| {
        (name.strip_prefix(METADATA).map(str::to_owned).unwrap_or(name), value)
    };
    let metadata = file.proxy_metadata.into_iter().chain(inline.proxy_metadata).flatten().map(strip);
    Ok(ProxyConfig {
        discovery_address: inline.discovery_address.or(file.discovery_address),
        admin_port: inline.proxy_admin_port.or(file.proxy_admin_port),
        stats_port: inline.stats_port.or(file.stats_port),
        concurrency: inline.concurrency.or(file.concurrency),
        metadata: metadata.collect(),
    })
}

fn parse<T: Default + for<'de> Deserialize<'de>>(text: &str) -> Result<T, String> {
    let options = options! { with_snippet: false };
    let read: Result<Option<T>, _> = serde_saphyr::from_str_with_options(text, options);
    read.map(Option::unwrap_or_default).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "rootNamespace: istio-system\ndefaultConfig:\n  discoveryAddress: file:15012\n  \
                        concurrency: 3\n  holdApplicationUntilProxyStarts: true\n  \
                        proxyMetadata: {ISTIO_META_A: file, B: file}\n";

    fn check(file: Option<&str>, inline: Option<&str>, address: Option<&str>, metadata: &[(&str, &str)]) {
        let read = read(file, inline).unwrap();
        assert_eq!(read.discovery_address.as_deref(), address);
        let said: Vec<_> =
            read.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(said, metadata);
    }

    #[test]
    fn what_is_set_inline_wins_key_by_key() {
        check(None, None, None, &[]);
        check(Some(FILE), None, Some("file:15012"), &[("A", "file"), ("B", "file")]);
        let inline = "{discoveryAddress: inline:1, proxyMetadata: {A: inline}, statsPort: 15090}";
        check(None, Some(inline), Some("inline:1"), &[("A", "inline")]);
        check(Some(FILE), Some(inline), Some("inline:1"), &[("A", "inline"), ("B", "file")]);
        check(Some(FILE), Some("concurrency: 1"), Some("file:15012"), &[("A", "file"), ("B", "file")]);
        check(Some(""), Some("{}"), None, &[]);
        let read = read(Some(FILE), Some(inline)).unwrap();
        assert_eq!((read.concurrency, read.stats_port, read.admin_port), (Some(3), Some(15090), None));
    }

    #[test]
    fn what_makes_no_sense_is_an_error() {
        for (file, inline) in
            [(Some("defaultConfig: 3"), None), (None, Some("statsPort: 99999")), (None, Some("[]"))]
        {
            read(file, inline).unwrap_err();
        }
    }
}
