//! The settings in force, as tools expect them in `/config_dump`: without tokens, the values of headers, and texts that may hold them.

use std::time::Duration;

use culvert_core::xds;
use serde_json::{Value, json};

use super::{Config, IssuerConfig, Mode};
use crate::control_plane::{self, Root};
use crate::crypto::Policy;
use crate::{dns, telemetry};

impl Config {
    /// Shows the settings.
    pub(crate) fn shown(&self) -> Value {
        let mut all = serde_json::Map::new();
        for part in [self.of_data_path(), self.of_control_plane(), self.of_process()] {
            if let Value::Object(part) = part {
                all.extend(part);
            }
        }
        Value::Object(all)
    }

    fn of_data_path(&self) -> Value {
        let tunnel = &self.tunnel;
        json!({
            "proxy": true,
            "windowSize": tunnel.stream_window,
            "connectionWindowSize": tunnel.connection_window,
            "frameSize": tunnel.frame_size,
            "poolMaxStreamsPerConn": tunnel.streams,
            "poolUnusedReleaseTimeout": duration(tunnel.idle),
            "mostConnectionsPerPod": self.limits.most_connections,
            "mostBufferedBytes": self.limits.most_bytes,
            "enableEnhancedBaggage": tunnel.baggage,
            "localhostAppTunnel": tunnel.announce_on_loopback,
            "socks5Addr": self.socks.then_some(json!({ "Localhost": [self.socket.ipv6, 15080] })),
            "inboundAddr": self.wildcard(15008),
            "inboundPlaintextAddr": self.wildcard(15006),
            "outboundAddr": self.wildcard(15001),
            "illegalPorts": [15001, 15006, 15008, 15080],
            "requireOriginalSource": format!("{:?}", self.socket.transparent),
            "packetMark": self.socket.mark,
            "inpodPortReuse": self.socket.reuse_port,
            "ipv6Enabled": self.socket.ipv6,
            "socketConfig": self.socket_shown(),
            "idleTimeout": self.quiet.open.map(duration),
            "halfClosedIdle": self.quiet.half_closed.map(duration),
            "dnsProxy": self.dns.capture.is_some(),
            "dnsProxyAddr": self.dns.capture.map(dns_address),
        })
    }

    fn socket_shown(&self) -> Value {
        let keepalive = self.socket.keepalive;
        json!({
            "keepaliveTime": keepalive.map(|it| duration(it.time)),
            "keepaliveInterval": keepalive.map(|it| duration(it.interval)),
            "keepaliveRetries": keepalive.map(|it| it.retries),
            "keepaliveEnabled": keepalive.is_some(),
            "userTimeoutEnabled": self.socket.user_timeout.is_some(),
            "halfClosedProbe": self.socket.half_closed_probe.map(duration),
        })
    }

    fn of_control_plane(&self) -> Value {
        let xds = self.xds.as_ref();
        let server = xds.map(|xds| &xds.server);
        let (issuer, socket, authority) = match &self.issuer {
            IssuerConfig::Authority(config) => ("ca", None, Some(config)),
            IssuerConfig::Spire(config) => (config.api.name(), Some(&config.socket), None),
        };
        let ca = authority.map(|config| &config.server);
        json!({
            "issuer": issuer,
            "issuerSocket": socket,
            "caAddress": ca.map(|ca| &ca.address),
            "caRootCert": ca.map(|ca| root(&ca.root)),
            "altCaHostname": ca.and_then(|ca| ca.alternative_name.as_ref()),
            "caHeaders": ca.map_or_else(|| json!([]), headers),
            "secretTtl": authority.map(|config| duration(config.ttl)),
            "clusterId": ca.or(server).map(|server| &server.cluster_id),
            "xdsAddress": server.map(|server| &server.address),
            "xdsRootCert": server.map(|server| root(&server.root)),
            "altXdsHostname": server.and_then(|server| server.alternative_name.as_ref()),
            "xdsHeaders": server.map_or_else(|| json!([]), headers),
            "xdsOnDemand": xds.is_some_and(|xds| xds.mode == xds::Mode::OnDemand),
            "proxyMetadata": xds.map(|xds| &xds.node.metadata),
            "clusterDomain": xds.map(|xds| &xds.node.cluster_domain),
            "trustDomainAliases": self.trust.aliases,
            "crlPath": self.trust.revoked,
        })
    }

    fn of_process(&self) -> Value {
        let (mode, workload, agent) = match &self.mode {
            Mode::Shared { agent } => ("Shared", None, Some(agent)),
            Mode::Dedicated { namespace, name, service_account } => {
                let workload =
                    json!({ "namespace": namespace, "name": name, "serviceAccount": service_account });
                ("Dedicated", Some(workload), None)
            }
        };
        json!({
            "proxyMode": mode,
            "proxyWorkloadInformation": workload,
            "inpodUds": agent,
            "adminAddr": { "Localhost": [true, self.admin.admin] },
            "adminSocket": self.admin.socket,
            "statsAddr": self.wildcard(self.admin.stats),
            "readinessAddr": self.wildcard(15021),
            "network": self.mesh.network,
            "localNode": self.mesh.node_name,
            "selfTerminationDeadline": duration(self.drain_deadline),
            "numWorkerThreads": self.worker_threads,
            "compliancePolicy": match self.policy {
                Policy::Default => None,
                Policy::PostQuantum => Some("pqc"),
            },
            "ztunnelWorkload": self.own_pod.as_ref().map(|pod| format!("{}/{}", pod.namespace, pod.name)),
            "telemetry": self.telemetry.as_ref().map(telemetry),
            "proxyArgs": std::env::args().skip(1).collect::<Vec<_>>().join(" "),
        })
    }

    fn wildcard(&self, port: u16) -> Value {
        let host = if self.socket.ipv6 { "[::]" } else { "0.0.0.0" };
        json!({ "SocketAddr": format!("{host}:{port}") })
    }
}

fn duration(duration: Duration) -> Value {
    json!({ "secs": duration.as_secs(), "nanos": duration.subsec_nanos() })
}

fn root(root: &Root) -> Value {
    match root {
        Root::File(path) => json!({ "File": path }),
        Root::System => json!("Default"),
        Root::Pem(_) => json!("Static"),
    }
}

/// Names alone: values can be credentials.
fn headers(server: &control_plane::Config) -> Value {
    server.headers.iter().map(|(name, _)| json!([name, "<not shown>"])).collect()
}

/// Names of headers alone, as above.
fn telemetry(to: &telemetry::Config) -> Value {
    json!({
        "endpoint": to.endpoint.to_string(),
        "protocol": to.protocol.as_str(),
        "headers": to.headers.iter().map(|(name, _)| json!([name.as_str(), "<not shown>"])).collect::<Value>(),
        "timeout": duration(to.timeout),
        "rootCert": to.roots,
        "resource": to.resource,
        "traces": to.spans.is_some(),
        "logs": to.logs.is_some(),
    })
}

fn dns_address(address: dns::Address) -> Value {
    match address {
        dns::Address::Loopback(port) => json!({ "Localhost": [true, port] }),
        dns::Address::Exactly(address) => json!({ "SocketAddr": address.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    #[test]
    fn no_secret_is_shown() {
        let secret = "s3cr3t-value";
        let text = ["-----BEGIN CERTIFICATE-----\n", secret, "\n-----END CERTIFICATE-----\n"].concat();
        let env = [
            ("XDS_ADDRESS", "control:15012"),
            ("XDS_HEADER_AUTHORIZATION", secret),
            ("CA_HEADER_X_KEY", secret),
            ("AUTH_TOKEN", secret),
            ("XDS_ROOT_CA", &text),
            ("LOCAL_XDS", "workloads: [] # s3cr3t-value"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s3cr3t-value"),
        ];
        let shown = Config::read(&Environment::of(env.into_iter())).unwrap().shown();
        let text = shown.to_string();
        assert!(!text.contains(secret), "{text}");
        assert_eq!(shown["xdsHeaders"], json!([["authorization", "<not shown>"]]));
        assert_eq!(shown["telemetry"]["headers"], json!([["api-key", "<not shown>"]]));
        assert_eq!(shown["telemetry"]["endpoint"], "http://collector:4318/");
        assert_eq!(shown["xdsRootCert"], "Static");
        assert_eq!(shown["secretTtl"], json!({ "secs": 86400, "nanos": 0 }));
        assert_eq!(shown["adminAddr"], json!({ "Localhost": [true, 15000] }));
    }
}
