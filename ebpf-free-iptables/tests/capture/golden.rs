//! The rules of every variant, to the letter.

use ebpf_free_iptables::{Family, Options, Plan};

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
fn with_two_virtual_interfaces() {
    let virtual_interfaces = vec!["vnet0".to_owned(), "docker0".to_owned()];
    let options = Options { virtual_interfaces, ..Options::default() };
    check(&options, include_str!("golden/virtual.v4"), include_str!("golden/virtual.v6"));
}

#[test]
fn without_ipv6() {
    let plan = Plan::new(&Options { ipv6: false, ..Options::default() });
    assert_eq!(plan.render(Family::V4).as_deref(), Some(include_str!("golden/ordinary.v4")));
    assert_eq!(plan.render(Family::V6), None);
}
