//! The rules of every variant, to the letter.

use std::net::{Ipv4Addr, Ipv6Addr};

use ebpf_free_iptables::{Family, Options, Passed, Plan, ProbeSource};

#[track_caller]
fn check(options: &Options, v4: &str, v6: &str) {
    let plan = Plan::new(options);
    assert_eq!(plan.render(Family::V4).as_deref(), Some(v4));
    assert_eq!(plan.render(Family::V6).as_deref(), Some(v6));
}

#[test]
fn ordinary_pod() {
    check(&Options::default(), include_str!("golden/ordinary.v4"), include_str!("golden/ordinary.v6"));
}

#[test]
fn with_dns_capture() {
    let options = Options { dns: true, ..Options::default() };
    check(&options, include_str!("golden/dns.v4"), include_str!("golden/dns.v6"));
}

#[test]
fn in_ingress_mode() {
    let options = Options { inbound: false, ..Options::default() };
    check(&options, include_str!("golden/ingress.v4"), include_str!("golden/ingress.v6"));
}

#[test]
fn without_a_source_of_probes() {
    let options = Options { probes: None, ..Options::default() };
    check(&options, include_str!("golden/no-probes.v4"), include_str!("golden/no-probes.v6"));
}

#[test]
fn with_a_source_of_probes_of_ones_own() {
    let probes =
        ProbeSource { v4: Ipv4Addr::new(169, 254, 1, 1), v6: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9) };
    let plan = Plan::new(&Options { probes: Some(probes), ..Options::default() });
    let (v4, v6) = (include_str!("golden/ordinary.v4"), include_str!("golden/ordinary.v6"));
    let ordinary = ProbeSource::default();
    assert_eq!(plan.render(Family::V4), Some(v4.replace(&ordinary.v4.to_string(), "169.254.1.1")));
    assert_eq!(plan.render(Family::V6), Some(v6.replace(&ordinary.v6.to_string(), "fd00::9")));
}

#[test]
fn with_two_virtual_interfaces() {
    let virtual_interfaces = vec!["vnet0".to_owned(), "docker0".to_owned()];
    let options = Options { virtual_interfaces, ..Options::default() };
    check(&options, include_str!("golden/virtual.v4"), include_str!("golden/virtual.v6"));
}

#[test]
fn with_traffic_that_passes() {
    let options = Options { dns: true, passed: passed(), ..Options::default() };
    check(&options, include_str!("golden/passed.v4"), include_str!("golden/passed.v6"));
}

#[test]
fn in_ingress_mode_with_traffic_that_passes() {
    let options = Options { inbound: false, passed: passed(), ..Options::default() };
    check(&options, include_str!("golden/passed-ingress.v4"), include_str!("golden/passed-ingress.v6"));
}

fn passed() -> Passed {
    Passed {
        outbound_ports: [3306, 443].into(),
        inbound_ports: [9090, 8080, 15001, 15006, 15008, 15053].into(),
        outbound_networks: ["10.1.2.3/8", "10.0.0.0/8", "192.0.2.7/32", "2001:db8::1/32", "fd00::7/128"]
            .map(|network| network.parse().unwrap())
            .into(),
    }
}

#[test]
fn port_53_that_passes_is_no_dns_capture() {
    let passed = Passed { outbound_ports: [53].into(), ..Passed::default() };
    let options = Options { dns: true, passed, ..Options::default() };
    assert!(!options.captures_dns());
    assert_eq!(Plan::new(&options), Plan::new(&Options { dns: false, ..options }));
}

#[test]
fn without_ipv6() {
    let plan = Plan::new(&Options { ipv6: false, ..Options::default() });
    assert_eq!(plan.render(Family::V4).as_deref(), Some(include_str!("golden/ordinary.v4")));
    assert_eq!(plan.render(Family::V6), None);
}
