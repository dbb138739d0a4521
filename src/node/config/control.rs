//! How the services of the control plane are reached, and what they are told of this process.

use std::collections::BTreeMap;

use culvert_core::xds::Mode;
use serde_json::Value;

use super::proxy_config::{METADATA, ProxyConfig};
use super::{Environment, Error, NodeConfig, XdsConfig, value};
use crate::control_plane::{Config, Service};
use crate::identity::ca;

/// Where istiod is in a cluster.
const ISTIOD: &str = "https://istiod.istio-system.svc:15012";
/// Where a control plane is on a laptop.
const LOCAL: &str = "https://localhost:15012";
/// The token the chart mounts; used when it is there and nothing else is said.
const TOKEN: &str = "./var/run/secrets/tokens/istio-token";
/// Metadata that is JSON rather than text.
const JSON_METADATA: &str = "ISTIO_METAJSON_";

/// The xDS server; none when it is switched off, or when there is another source of mesh state and nothing said.
pub(super) fn xds(
    env: &Environment,
    proxy: &ProxyConfig,
    has_file: bool,
) -> Result<Option<XdsConfig>, Error> {
    let mode = if env.parse("XDS_ON_DEMAND", value::boolean)? { Mode::OnDemand } else { Mode::Wildcard };
    let address = match (env.optional("XDS_ADDRESS"), usual(env, proxy)) {
        (Some(said), _) if said.is_empty() => return Ok(None),
        (Some(address), _) | (None, Some(address)) => address,
        (None, None) if has_file => return Ok(None),
        (None, None) => LOCAL.to_owned(),
    };
    let server = Config {
        service: Service::Xds,
        address: https(env, "XDS_ADDRESS", address)?,
        root: value::root(&env.text("XDS_ROOT_CA")),
        alternative_name: env.optional("ALT_XDS_HOSTNAME"),
        headers: env.with_prefix("XDS_HEADER_"),
        ..common(env)
    };
    Ok(Some(XdsConfig { server, mode, node: node(env, proxy) }))
}

/// The certificate authority.
pub(super) fn authority(env: &Environment, proxy: &ProxyConfig, shared: bool) -> Result<ca::Config, Error> {
    let address =
        env.optional("CA_ADDRESS").or_else(|| usual(env, proxy)).unwrap_or_else(|| LOCAL.to_owned());
    if address.is_empty() {
        return Err(env.invalid("CA_ADDRESS", "name the certificate authority as host:port"));
    }
    let server = Config {
        service: Service::Authority,
        address: https(env, "CA_ADDRESS", address)?,
        root: value::root(&env.text("CA_ROOT_CA")),
        alternative_name: env.optional("ALT_CA_HOSTNAME"),
        headers: env.with_prefix("CA_HEADER_"),
        ..common(env)
    };
    Ok(ca::Config { server, ttl: env.parse("SECRET_TTL", value::duration)?, impersonate: shared })
}

/// Where control planes are that nobody has named.
fn usual(env: &Environment, proxy: &ProxyConfig) -> Option<String> {
    let in_kubernetes = env.has("KUBERNETES_SERVICE_HOST");
    proxy.discovery_address.clone().or_else(|| in_kubernetes.then(|| ISTIOD.to_owned()))
}

fn https(env: &Environment, name: &'static str, address: String) -> Result<String, Error> {
    if address.starts_with("http://") {
        return Err(
            env.invalid(name, "the control plane is reached over TLS only; write https://, or host:port")
        );
    }
    Ok(address)
}

fn common(env: &Environment) -> Config {
    let mounted = || std::path::Path::new(TOKEN).exists().then(|| TOKEN.to_owned());
    let token = env.optional("AUTH_TOKEN").or_else(mounted);
    Config {
        service: Service::Xds,
        address: String::new(),
        root: crate::control_plane::Root::System,
        token: token.as_deref().map(value::token),
        cluster_id: env.optional("ISTIO_META_CLUSTER_ID").unwrap_or_else(|| env.text("CLUSTER_ID")),
        alternative_name: None,
        headers: Vec::new(),
        tls12: env.optional("TLS12_ENABLED").as_deref() == Some("true"),
        mark: None,
    }
}

fn node(env: &Environment, proxy: &ProxyConfig) -> NodeConfig {
    let text = |(name, value): (String, String)| (name, Value::String(value));
    let mut metadata: BTreeMap<String, Value> = proxy.metadata.clone().into_iter().map(text).collect();
    metadata.extend(env.with_exact_prefix(METADATA).map(text));
    for (name, json) in env.with_exact_prefix(JSON_METADATA) {
        match serde_json::from_str(&json) {
            Ok(value) => drop(metadata.insert(name, value)),
            Err(error) => tracing::error!(name, %error, "node metadata is not JSON and is left out"),
        }
    }
    NodeConfig {
        pod_name: env.text("POD_NAME"),
        pod_namespace: env.text("POD_NAMESPACE"),
        instance_ip: env.text("INSTANCE_IP"),
        node_name: env.text("NODE_NAME"),
        cluster_domain: env.text("CLUSTER_DOMAIN"),
        metadata,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(set: &[(&str, &str)], discovery: Option<&str>, has_file: bool) -> (String, String) {
        let env = Environment::of(set.iter().copied());
        let proxy = ProxyConfig { discovery_address: discovery.map(str::to_owned), ..ProxyConfig::default() };
        let xds = xds(&env, &proxy, has_file).unwrap();
        let xds = xds.map_or_else(|| "-".to_owned(), |xds| xds.server.address);
        (xds, authority(&env, &proxy, true).unwrap().server.address)
    }

    #[test]
    fn addresses_have_the_documented_defaults() {
        let cluster = ("KUBERNETES_SERVICE_HOST", "10.0.0.1");
        for (set, discovery, has_file, xds, ca) in [
            (&[][..], None, false, LOCAL, LOCAL),
            (&[], None, true, "-", LOCAL),
            (&[cluster], None, false, ISTIOD, ISTIOD),
            (&[cluster], None, true, ISTIOD, ISTIOD),
            (&[cluster], Some("istiod:1"), false, "istiod:1", "istiod:1"),
            (&[cluster, ("XDS_ADDRESS", "")], None, true, "-", ISTIOD),
            (&[("XDS_ADDRESS", "x:1"), ("CA_ADDRESS", "c:1")], Some("istiod:1"), true, "x:1", "c:1"),
        ] {
            let expected = (xds.to_owned(), ca.to_owned());
            assert_eq!(address(set, discovery, has_file), expected, "{set:?} {discovery:?} {has_file}");
        }
    }

    #[test]
    fn metadata_comes_from_three_places_and_the_environment_wins() {
        let set = [
            ("ISTIO_META_A", "environment"),
            ("ISTIO_META_Mixed_Case", "x"),
            ("ISTIO_METAJSON_J", "{\"list\": [1, null, true]}"),
            ("ISTIO_METAJSON_BAD", "{"),
            ("OTHER", "x"),
        ];
        let said = [("A".to_owned(), "file".to_owned()), ("B".to_owned(), "file".to_owned())];
        let proxy = ProxyConfig { metadata: said.into(), ..ProxyConfig::default() };
        let metadata = node(&Environment::of(set.into_iter()), &proxy).metadata;
        let expected = serde_json::json!({
            "A": "environment", "B": "file", "Mixed_Case": "x", "J": {"list": [1, null, true]},
        });
        assert_eq!(serde_json::to_value(metadata).unwrap(), expected);
    }
}
