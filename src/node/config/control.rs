//! How the services of the control plane are reached, and what they are told of this process.

use std::collections::BTreeMap;
use std::path::Path;

use culvert_core::xds::Mode;
use serde_json::Value;

use super::proxy_config::ProxyConfig;
use super::{Environment, Error, NodeConfig, XdsConfig, value};
use crate::control_plane::{Config, Link, Secret, Service, Token};
use crate::identity::ca;

/// Where istiod is in a cluster.
const ISTIOD: &str = "https://istiod.istio-system.svc:15012";
/// Where a control plane is on a laptop.
const LOCAL: &str = "https://localhost:15012";
/// The token the chart mounts; used when it is there and nothing else is said.
const TOKEN: &str = "./var/run/secrets/tokens/istio-token";

/// What is said of the control plane, from which the settings of both services are made.
pub(super) struct Said<'a> {
    pub(super) env: &'a Environment,
    pub(super) proxy: &'a ProxyConfig,
    /// Put on the connections.
    pub(super) mark: Option<u32>,
}

/// The variables that are about one service.
struct Names {
    address: &'static str,
    root: &'static str,
    alternative_name: &'static str,
    headers: &'static str,
}

const XDS: Names = Names {
    address: "XDS_ADDRESS",
    root: "XDS_ROOT_CA",
    alternative_name: "ALT_XDS_HOSTNAME",
    headers: "XDS_HEADER_*",
};

const AUTHORITY: Names = Names {
    address: "CA_ADDRESS",
    root: "CA_ROOT_CA",
    alternative_name: "ALT_CA_HOSTNAME",
    headers: "CA_HEADER_*",
};

/// An address, and where it was said.
struct Address {
    text: String,
    by: &'static str,
}

impl Said<'_> {
    /// The xDS server; none when it is switched off, or when there is another source of mesh state and nothing said.
    pub(super) fn xds(&self, has_file: bool) -> Result<Option<XdsConfig>, Error> {
        let on_demand = self.env.parse("XDS_ON_DEMAND", value::boolean)?;
        let mode = if on_demand { Mode::OnDemand } else { Mode::Wildcard };
        let Some(address) = self.address(&XDS).or_else(|| (!has_file).then(local)) else { return Ok(None) };
        if address.text.is_empty() {
            return Ok(None);
        }
        let server = self.server(Service::Xds, &XDS, address)?;
        Ok(Some(XdsConfig { server, mode, node: self.node() }))
    }

    /// The certificate authority.
    pub(super) fn authority(&self, shared: bool) -> Result<ca::Config, Error> {
        let address = self.address(&AUTHORITY).unwrap_or_else(local);
        if address.text.is_empty() {
            return Err(self.env.invalid(address.by, "name the certificate authority as host:port"));
        }
        let server = self.server(Service::Authority, &AUTHORITY, address)?;
        let ttl = self.env.parse("SECRET_TTL", value::duration)?;
        Ok(ca::Config { server, ttl, impersonate: shared })
    }

    /// What is said, else where control planes are that nobody has named.
    fn address(&self, names: &Names) -> Option<Address> {
        let said = |text: String, by: &'static str| Address { text, by };
        let in_kubernetes = || self.env.optional("KUBERNETES_SERVICE_HOST").map(|_| ISTIOD.to_owned());
        self.env
            .optional(names.address)
            .map(|text| said(text, names.address))
            .or_else(|| Some(said(self.proxy.discovery_address.clone()?, "discoveryAddress")))
            .or_else(|| Some(said(in_kubernetes()?, names.address)))
    }

    fn server(&self, service: Service, names: &Names, address: Address) -> Result<Config, Error> {
        if address.text.starts_with("http://") {
            let reason = "the control plane is reached over TLS only; write https://, or host:port";
            return Err(Error::Invalid { name: address.by, value: address.text, reason: reason.into() });
        }
        let env = self.env;
        let header = |(name, value): (String, String)| (name.to_ascii_lowercase(), Secret::from(value));
        let server = Config {
            service,
            address: address.text,
            root: value::root(&env.filled_or_default(names.root)),
            token: token(env),
            cluster_id: env.optional("ISTIO_META_CLUSTER_ID").unwrap_or_else(|| env.text("CLUSTER_ID")),
            alternative_name: env.filled(names.alternative_name),
            headers: env.with_prefix(names.headers).map(header).collect(),
            tls12: self.tls12(),
            mark: self.mark,
        };
        // Whoever uses them would refuse bad ones, too, but not before others are at work.
        Link::new(&server)?;
        Ok(server)
    }

    /// Whether TLS 1.2 is allowed as well.
    pub(super) fn tls12(&self) -> bool {
        self.env.optional("TLS12_ENABLED").as_deref() == Some("true")
    }

    fn node(&self) -> NodeConfig {
        let env = self.env;
        let text = |(name, value): (String, String)| (name, Value::String(value));
        let mut metadata: BTreeMap<String, Value> =
            self.proxy.metadata.clone().into_iter().map(text).collect();
        metadata.extend(env.with_prefix("ISTIO_META_*").map(text));
        for (name, json) in env.with_prefix("ISTIO_METAJSON_*") {
            match serde_json::from_str(&json) {
                Ok(value) => drop(metadata.insert(name, value)),
                Err(error) => tracing::error!(name, %error, "node metadata is not JSON and is left out"),
            }
        }
        NodeConfig {
            pod_name: env.text("POD_NAME"),
            pod_namespace: env.text("POD_NAMESPACE"),
            instance_ip: env.filled_or_default("INSTANCE_IP"),
            node_name: env.text("NODE_NAME"),
            cluster_domain: env.filled_or_default("CLUSTER_DOMAIN"),
            metadata,
        }
    }
}

fn local() -> Address {
    Address { text: LOCAL.to_owned(), by: "XDS_ADDRESS" }
}

fn token(env: &Environment) -> Option<Token> {
    let mounted = || Path::new(TOKEN).exists().then(|| Token::File(TOKEN.into()));
    env.optional("AUTH_TOKEN").map(|text| value::token(&text)).or_else(mounted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control_plane::Invalid;

    fn with<T>(set: &[(&str, &str)], proxy: &ProxyConfig, then: impl FnOnce(&Said<'_>) -> T) -> T {
        let env = Environment::of(set.iter().copied());
        then(&Said { env: &env, proxy, mark: None })
    }

    fn addresses(set: &[(&str, &str)], discovery: Option<&str>, has_file: bool) -> (String, String) {
        let proxy = ProxyConfig { discovery_address: discovery.map(str::to_owned), ..ProxyConfig::default() };
        with(set, &proxy, |said| {
            let xds = said.xds(has_file).unwrap();
            let xds = xds.map_or_else(|| "-".to_owned(), |xds| xds.server.address);
            (xds, said.authority(true).unwrap().server.address)
        })
    }

    #[test]
    fn addresses_have_the_documented_defaults() {
        let cluster = ("KUBERNETES_SERVICE_HOST", "10.0.0.1");
        for (set, discovery, has_file, xds, ca) in [
            (&[][..], None, false, LOCAL, LOCAL),
            (&[], None, true, "-", LOCAL),
            (&[], Some("istiod:1"), true, "istiod:1", "istiod:1"),
            (&[cluster], None, false, ISTIOD, ISTIOD),
            (&[cluster], None, true, ISTIOD, ISTIOD),
            (&[cluster], Some("istiod:1"), false, "istiod:1", "istiod:1"),
            (&[cluster, ("XDS_ADDRESS", "")], None, true, "-", ISTIOD),
            (&[("XDS_ADDRESS", "")], Some("istiod:1"), false, "-", "istiod:1"),
            (&[("XDS_ADDRESS", "x:1"), ("CA_ADDRESS", "c:1")], Some("istiod:1"), true, "x:1", "c:1"),
            (&[cluster, ("CA_ADDRESS", "c:1")], None, false, ISTIOD, "c:1"),
        ] {
            let expected = (xds.to_owned(), ca.to_owned());
            assert_eq!(addresses(set, discovery, has_file), expected, "{set:?} {discovery:?} {has_file}");
        }
    }

    #[test]
    fn plain_http_is_refused_where_it_was_said() {
        let plain = "http://istiod:15010";
        let discovery = ProxyConfig { discovery_address: Some(plain.into()), ..ProxyConfig::default() };
        let none = ProxyConfig::default();
        for (set, proxy, by) in [
            (&[("XDS_ADDRESS", plain)][..], &none, "XDS_ADDRESS"),
            (&[("CA_ADDRESS", plain), ("XDS_ADDRESS", "x:1")], &none, "CA_ADDRESS"),
            (&[], &discovery, "discoveryAddress"),
        ] {
            let read =
                |said: &Said<'_>| said.xds(true).map(drop).and_then(|()| said.authority(true).map(drop));
            let error = with(set, proxy, read).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{by}=`{plain}`")) && error.contains("TLS"), "{error}");
        }
    }

    #[test]
    fn what_no_client_could_use_is_refused_at_once() {
        let server = |set: &[(&str, &str)]| {
            let set: Vec<_> = [("XDS_ADDRESS", "x:1")].iter().chain(set).copied().collect();
            with(&set, &ProxyConfig::default(), |said| said.xds(false).map(|xds| xds.unwrap().server))
        };
        let invalid = |set: &[(&str, &str)]| {
            let error = server(set).unwrap_err();
            let Error::ControlPlane(invalid) = error else { panic!("{error}") };
            invalid
        };
        assert!(matches!(invalid(&[("XDS_ADDRESS", "x y:1")]), Invalid::Address { .. }));
        assert!(matches!(invalid(&[("ALT_XDS_HOSTNAME", "not a name")]), Invalid::AlternativeName { .. }));
        assert!(matches!(invalid(&[("XDS_HEADER_Bad Name", "x")]), Invalid::Header { .. }));
        assert!(matches!(invalid(&[("XDS_HEADER_A", "line\nbreak")]), Invalid::Header { .. }));
        assert!(matches!(invalid(&[("XDS_HEADER_A", "blå")]), Invalid::Header { .. }));
        assert!(matches!(invalid(&[("XDS_HEADER_", "x")]), Invalid::Header { .. }));
        let header = [("XDS_HEADER_X_Team", "blue"), ("CA_HEADER_OTHER", "x"), ("ALT_XDS_HOSTNAME", "")];
        let server = server(&header).unwrap();
        assert_eq!(server.headers, [("x_team".to_owned(), Secret::from("blue"))]);
        assert_eq!(server.alternative_name, None);
    }

    #[test]
    fn nothing_secret_is_shown() {
        let set = [("XDS_ADDRESS", "x:1"), ("AUTH_TOKEN", "hush"), ("XDS_HEADER_KEY", "hush")];
        let xds = with(&set, &ProxyConfig::default(), |said| said.xds(false).unwrap());
        let shown = format!("{xds:?}");
        assert!(shown.contains("key") && !shown.contains("hush"), "{shown}");
    }

    #[test]
    fn metadata_comes_from_three_places_and_the_environment_wins() {
        let set = [
            ("ISTIO_META_A", "environment"),
            ("ISTIO_META_Mixed_Case", "x"),
            ("ISTIO_METAJSON_J", "{\"list\": [1, null, true]}"),
            ("ISTIO_METAJSON_BAD", "{"),
            ("INSTANCE_IP", ""),
            ("OTHER", "x"),
        ];
        let metadata = [("A".to_owned(), "file".to_owned()), ("B".to_owned(), "file".to_owned())];
        let proxy = ProxyConfig { metadata: metadata.into(), ..ProxyConfig::default() };
        let node = with(&set, &proxy, |said| said.node());
        let expected = serde_json::json!({
            "A": "environment", "B": "file", "Mixed_Case": "x", "J": {"list": [1, null, true]},
        });
        assert_eq!(serde_json::to_value(node.metadata).unwrap(), expected);
        assert_eq!(node.instance_ip, "1.1.1.1");
    }
}
