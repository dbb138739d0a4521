//! How names are resolved for pods.

use std::net::SocketAddr;

use culvert_core::dns::Settings;

use super::proxy_config::ProxyConfig;
use super::{Environment, Error, value};
use crate::dns::{Address, Config};

/// The names of the settings in the metadata of a proxy configuration.
const METADATA: &str = "ISTIO_META_";

/// Reads them; where queries are taken is not looked at when it is switched off.
pub(super) fn read(env: &Environment, proxy: &ProxyConfig, dedicated: bool) -> Result<Config, Error> {
    // The environment wins, as it does in what the control plane is told.
    let said = |name: &'static str| {
        let in_metadata = || proxy.metadata.get(name.trim_start_matches(METADATA)).cloned();
        env.optional(name).or_else(in_metadata).unwrap_or_else(|| env.text(name))
    };
    let capture = if said("ISTIO_META_DNS_CAPTURE").eq_ignore_ascii_case("true") {
        Some(address(said("ISTIO_META_DNS_PROXY_ADDR"))?)
    } else {
        None
    };
    let domain = env.filled_or_default("CLUSTER_DOMAIN").to_ascii_lowercase();
    let settings = Settings {
        cluster_domain: domain.trim_matches('.').into(),
        ipv6: env.parse("IPV6_ENABLED", value::boolean)?,
        preferred_namespace: env.filled("PREFERED_SERVICE_NAMESPACE").map(Into::into),
    };
    Ok(Config { capture, settings, dedicated })
}

fn address(text: String) -> Result<Address, Error> {
    parse(&text).ok_or_else(|| Error::Invalid {
        name: "ISTIO_META_DNS_PROXY_ADDR",
        value: text,
        reason: "write `localhost:PORT`, or one address and a port; not all addresses of a pod, where anybody could ask".into(),
    })
}

fn parse(text: &str) -> Option<Address> {
    let (address, port) = match text.strip_prefix("localhost:") {
        Some(port) => {
            let port = port.parse().ok()?;
            (Address::Loopback(port), port)
        }
        None => {
            let address: SocketAddr = text.parse().ok()?;
            (Address::Exactly(address), address.port())
        }
    };
    let is_everywhere =
        matches!(address, Address::Exactly(address) if address.ip().to_canonical().is_unspecified());
    Some(address).filter(|_| port != 0 && !is_everywhere)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(set: &[(&str, &str)], metadata: &[(&str, &str)]) -> Result<Config, Error> {
        let env = Environment::of(set.iter().copied());
        let metadata = metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        read(&env, &ProxyConfig { metadata: metadata.collect(), ..ProxyConfig::default() }, false)
    }

    #[test]
    fn it_is_on_unless_something_else_than_true_is_said() {
        let capture = |value| ("ISTIO_META_DNS_CAPTURE", value);
        let is_on =
            |set: &[(&str, &str)], metadata: &[(&str, &str)]| with(set, metadata).unwrap().capture.is_some();
        assert!(is_on(&[], &[]) && is_on(&[capture("True")], &[]));
        for off in ["false", "", "1", "yes"] {
            assert!(!is_on(&[capture(off)], &[]), "{off}");
        }
        assert!(!is_on(&[], &[("DNS_CAPTURE", "false")]));
        assert!(is_on(&[capture("true")], &[("DNS_CAPTURE", "false")]), "the environment wins");
    }

    #[test]
    fn it_listens_where_it_is_told_to() {
        let address =
            |text| with(&[("ISTIO_META_DNS_PROXY_ADDR", text)], &[]).map(|config| config.capture.unwrap());
        assert_eq!(with(&[], &[]).unwrap().capture.unwrap(), Address::Loopback(15053));
        assert_eq!(address("localhost:53").unwrap(), Address::Loopback(53));
        for exactly in ["192.0.2.1:53", "[::1]:5353"] {
            assert_eq!(address(exactly).unwrap(), Address::Exactly(exactly.parse().unwrap()));
        }
        for wrong in [
            "",
            "localhost",
            "localhost:",
            "localhost:x",
            "15053",
            "::1:53",
            "dns.example:53",
            "localhost:0",
            "192.0.2.1:0",
            "0.0.0.0:53",
            "[::]:15053",
            "[::ffff:0.0.0.0]:53",
        ] {
            let error = address(wrong).unwrap_err().to_string();
            assert!(error.starts_with(&format!("ISTIO_META_DNS_PROXY_ADDR=`{wrong}`")), "{error}");
        }
    }

    #[test]
    fn names_are_compared_in_lower_case_and_without_the_last_dot() {
        let settings = |set: &[(&str, &str)]| with(set, &[]).unwrap().settings;
        let default = settings(&[("CLUSTER_DOMAIN", ""), ("PREFERED_SERVICE_NAMESPACE", "")]);
        assert_eq!((&*default.cluster_domain, default.ipv6), ("cluster.local", true));
        assert_eq!(default.preferred_namespace, None);
        let set = settings(&[
            ("CLUSTER_DOMAIN", "Cluster.Example."),
            ("IPV6_ENABLED", "false"),
            ("PREFERED_SERVICE_NAMESPACE", "Mine"),
        ]);
        assert_eq!((&*set.cluster_domain, set.ipv6), ("cluster.example", false));
        assert_eq!(set.preferred_namespace.as_deref(), Some("Mine"));
    }
}
