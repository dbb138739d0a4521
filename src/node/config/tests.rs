//! What the settings come to, as a whole.

use super::*;

fn read(set: &[(&str, &str)]) -> Result<Config, String> {
    let base = [("LOCAL_XDS_PATH", "mesh.yaml"), ("CA_ADDRESS", "ca:15012")];
    let env = Environment::of(base.iter().chain(set).copied());
    Config::read(&env).map_err(|error| error.to_string())
}

fn authority(config: &Config) -> &ca::Config {
    let IssuerConfig::Authority(authority) = &config.issuer else { panic!("an authority is the default") };
    authority
}

#[test]
fn nothing_set_gives_the_documented_defaults() {
    let config = read(&[]).unwrap();
    assert!(config.xds.is_none());
    assert_eq!((config.admin.admin, config.admin.stats), (15000, 15020));
    assert!(matches!(config.mode, Mode::Shared { ref agent } if agent.ends_with("ztunnel.sock")));
    assert_eq!(config.socket.mark, Some(1337));
    assert_eq!(config.tunnel.streams, 100);
    assert!(!config.socks);
    assert_eq!(config.drain_deadline, Duration::from_secs(5));
    assert_eq!(authority(&config).ttl, Duration::from_secs(86_400));
}

#[test]
fn decisions_are_told_loudly_only_when_asked_for() {
    for (value, telling) in [("true", Telling::Info), ("TRUE", Telling::Debug), ("1", Telling::Debug)] {
        assert_eq!(read(&[("AUTHZ_POLICY_INFO_LOGGING", value)]).unwrap().telling, telling, "{value}");
    }
    assert_eq!(read(&[]).unwrap().telling, Telling::Debug);
}

#[test]
fn metrics_are_kept_as_long_and_as_many_as_is_said() {
    let stats = read(&[]).unwrap().stats;
    assert_eq!((stats.settings.idle, stats.settings.most_series), (Some(Duration::from_secs(900)), 10_000));
    assert_eq!(stats.labels, Labels::Full);
    let set = [
        ("CULVERT_METRICS_IDLE", "0"),
        ("CULVERT_METRICS_MOST_SERIES", "7"),
        ("CULVERT_METRICS_LABELS", "minimal"),
    ];
    let stats = read(&set).unwrap().stats;
    assert_eq!((stats.settings.idle, stats.settings.most_series), (None, 7));
    assert_eq!(stats.labels, Labels::Minimal);
}

#[test]
fn dedicated_mode_marks_nothing_by_itself() {
    let set = [("PROXY_MODE", "dedicated"), ("PROXY_WORKLOAD_INFO", "ns/pod/sa")];
    assert_eq!(read(&set).unwrap().socket.mark, None);
}

#[test]
fn a_bad_value_is_named_with_its_reason() {
    for (name, value, part) in [
        ("PROXY_MODE", "both", "use `shared` or `dedicated`"),
        ("PACKET_MARK", "x", "not a whole number"),
        ("IPV6_ENABLED", "yes", "use `true` or `false`"),
        ("SECRET_TTL", "1 parsec", "not a duration"),
        ("CULVERT_METRICS_IDLE", "never", "not a duration"),
        ("CULVERT_METRICS_MOST_SERIES", "0", "between 1 and 1000000"),
        ("CULVERT_METRICS_LABELS", "all", "use `full`, `service` or `minimal`"),
        ("UNSTABLE_ENABLE_SOCKS5", "yes", "use `true` or `false`"),
        ("HTTP2_FRAME_SIZE", "1", "between 16384"),
        ("LOCAL_XDS", "{}", "both set"),
        ("KEEPALIVE_TIME", "500ms", "between 1s and 32767s"),
        ("KEEPALIVE_INTERVAL", "0", "between 1s and 32767s"),
        ("KEEPALIVE_RETRIES", "128", "between 1 and 127"),
        ("CA_ADDRESS", "", "name the certificate authority"),
        ("XDS_ADDRESS", "http://istiod:15010", "https"),
        ("COMPLIANCE_POLICY", "fips", "use `pqc`"),
        ("XDS_ON_DEMAND", "yes", "use `true` or `false`"),
        ("PROXY_CONFIG", "statsPort: x", "line 1"),
        ("ZTUNNEL_WORKER_THREADS", "0%", "percentage"),
        ("CULVERT_ACCESS_LOG_SAMPLING", "1.5", "`1.5` is no share"),
        ("CULVERT_ACCESS_LOG_SAMPLING", "batch=0.1", "`batch` is no identity"),
        ("CULVERT_ACCESS_LOG_INTERVAL", "500ms", "at least 1s"),
    ] {
        let error = read(&[(name, value)]).err().expect(name);
        assert!(error.contains(name) && error.contains(part), "{error}");
    }
}

#[test]
fn the_grace_period_leaves_a_margin_and_never_underflows() {
    for (grace, seconds) in [("0", 1), ("1", 1), ("5", 4), ("10", 9), ("11", 6), ("30", 25), ("60", 55)] {
        let config = read(&[("TERMINATION_GRACE_PERIOD_SECONDS", grace)]).unwrap();
        assert_eq!(config.drain_deadline, Duration::from_secs(seconds), "{grace}");
    }
}

#[test]
fn the_mesh_state_comes_from_somewhere() {
    let from = |set: &[(&str, &str)]| {
        let env = Environment::of(set.iter().copied());
        let config = Config::read(&env).map_err(|error| error.to_string())?;
        Ok::<_, String>((config.mesh.source.is_some(), config.xds.is_some()))
    };
    let (file, text) = (("LOCAL_XDS_PATH", "mesh.yaml"), ("LOCAL_XDS", "{}"));
    let (server, off) = (("XDS_ADDRESS", "x:1"), ("XDS_ADDRESS", ""));
    assert_eq!(from(&[]), Ok((false, true)));
    assert_eq!(from(&[server]), Ok((false, true)));
    for source in [file, text] {
        assert_eq!(from(&[source]), Ok((true, false)));
        assert_eq!(from(&[source, off]), Ok((true, false)));
        assert_eq!(from(&[source, server]), Ok((true, true)));
    }
    assert!(from(&[off]).unwrap_err().contains("LOCAL_XDS_PATH"));
    assert!(from(&[file, text]).unwrap_err().contains("both set"));
}

#[test]
fn empty_is_unset_where_charts_leave_things_empty() {
    let config = read(&[("CRL_PATH", ""), ("NODE_NAME", ""), ("COMPLIANCE_POLICY", "")]).unwrap();
    assert_eq!((config.trust.revoked, config.mesh.node_name), (None, None));
    assert_eq!(config.policy, crypto::Policy::Default);
    let set = [("CRL_PATH", "/crl.pem"), ("CULVERT_TRUST_DOMAIN_ALIASES", "old.example, other,,")];
    let trust = read(&set).unwrap().trust;
    assert_eq!(trust.revoked, Some("/crl.pem".into()));
    assert_eq!(trust.aliases, ["old.example", "other"]);
    assert_eq!(read(&[("COMPLIANCE_POLICY", "pqc")]).unwrap().policy, crypto::Policy::PostQuantum);
}

#[test]
fn the_proxy_configuration_counts_where_nothing_else_is_said() {
    let inline = "{proxyAdminPort: 1, statsPort: 2, concurrency: 3, discoveryAddress: d:1}";
    let config = read(&[("PROXY_CONFIG", inline), ("ZTUNNEL_RESOURCE_CPU_LIMIT", "5")]).unwrap();
    assert_eq!((config.admin.admin, config.admin.stats, config.worker_threads), (1, 2, 3));
    assert_eq!(config.xds.as_ref().unwrap().server.address, "d:1");
    assert_eq!(authority(&config).server.address, "ca:15012");
}

#[test]
fn on_demand_is_chosen() {
    let mode = |set: &[(&str, &str)]| {
        let set: Vec<_> = set.iter().copied().chain([("XDS_ADDRESS", "x:1")]).collect();
        read(&set).unwrap().xds.unwrap().mode
    };
    assert_eq!(mode(&[]), xds::Mode::Wildcard);
    assert_eq!(mode(&[("XDS_ON_DEMAND", "true")]), xds::Mode::OnDemand);
    // The names DNS capture needs are asked for like all others.
    assert_eq!(mode(&[("XDS_ON_DEMAND", "true"), ("ISTIO_META_DNS_CAPTURE", "true")]), xds::Mode::OnDemand);
}

#[test]
fn connections_to_the_control_plane_are_marked_where_rules_would_catch_them() {
    let marks = |set: &[(&str, &str)]| {
        let set: Vec<_> = set.iter().copied().chain([("XDS_ADDRESS", "x:1")]).collect();
        let config = read(&set).unwrap();
        let mark = authority(&config).server.mark;
        (config.xds.unwrap().server.mark, mark)
    };
    let dedicated = [("PROXY_MODE", "dedicated"), ("PROXY_WORKLOAD_INFO", "ns/pod/sa"), ("PACKET_MARK", "7")];
    assert_eq!(marks(&dedicated), (Some(7), Some(7)));
    assert_eq!(marks(&[("PACKET_MARK", "7")]), (None, None));
}

#[test]
fn the_readme_lists_every_variable() {
    let readme = include_str!("../../../README.md");
    let table = variables::table();
    assert!(readme.contains(&table), "put this table into README.md:\n{table}");
}
