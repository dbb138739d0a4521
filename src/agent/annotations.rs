//! What the annotations of a pod, and of its namespace, say of its capture.
//!
//! In go annotations as people wrote them, out come switches of the packet rules and what is wrong with the annotations. What is
//! wrong has no effect as a whole, so that more is captured and not less.

use std::collections::BTreeMap;

use ebpf_free_iptables::Options;

use reader::{LONGEST, Reader, interfaces, switch};

mod exclusion;
mod reader;

#[cfg(test)]
mod tests;

pub(crate) const DNS_CAPTURE: &str = "ambient.istio.io/dns-capture";
pub(crate) const BYPASS_INBOUND: &str = "ambient.istio.io/bypass-inbound-capture";
pub(crate) const VIRTUAL_INTERFACES: &str = "istio.io/reroute-virtual-interfaces";
pub(crate) const EXCLUDE_OUTBOUND_PORTS: &str = "culvert.dev/exclude-outbound-ports";
pub(crate) const EXCLUDE_INBOUND_PORTS: &str = "culvert.dev/exclude-inbound-ports";
pub(crate) const EXCLUDE_OUTBOUND_CIDRS: &str = "culvert.dev/exclude-outbound-cidrs";

/// Those that mean something here.
pub(crate) const CAPTURE: [&str; 6] = [
    DNS_CAPTURE,
    BYPASS_INBOUND,
    VIRTUAL_INTERFACES,
    EXCLUDE_OUTBOUND_PORTS,
    EXCLUDE_INBOUND_PORTS,
    EXCLUDE_OUTBOUND_CIDRS,
];

/// Those that pods take from their namespace when they do not say otherwise.
pub(crate) const OF_NAMESPACES: [&str; 3] =
    [EXCLUDE_OUTBOUND_PORTS, EXCLUDE_INBOUND_PORTS, EXCLUDE_OUTBOUND_CIDRS];

/// By name, as they were written.
pub(crate) type Annotations = BTreeMap<String, String>;

/// As much of a value as is ever looked at. What is too long stays too long.
pub(crate) fn cut(mut value: String) -> String {
    if value.len() > LONGEST {
        let too_long = LONGEST + 1;
        let end = (too_long..value.len()).find(|end| value.is_char_boundary(*end)).unwrap_or(value.len());
        value.truncate(end);
    }
    value.shrink_to_fit();
    value
}

/// The switches of a pod, where `usual` are those of pods that say nothing. An exclusion may also be the namespace's; everything else is
/// the pod's own to say.
pub(crate) fn rules(
    pod: &Annotations,
    namespace: &Annotations,
    usual: &Options,
    complaints: &mut Vec<String>,
) -> Options {
    let mut own = Reader::new(pod, None, complaints);
    let mut rules = Options {
        dns: own.read(DNS_CAPTURE, switch).unwrap_or(usual.dns),
        inbound: !own.read(BYPASS_INBOUND, switch).unwrap_or(false),
        virtual_interfaces: own.read(VIRTUAL_INTERFACES, interfaces).unwrap_or_default(),
        ..usual.clone()
    };
    let mut any = Reader::new(pod, Some(namespace), complaints);
    rules.passed.outbound_ports = any.read(EXCLUDE_OUTBOUND_PORTS, exclusion::ports).unwrap_or_default();
    rules.passed.inbound_ports = any.read(EXCLUDE_INBOUND_PORTS, exclusion::ports).unwrap_or_default();
    rules.passed.outbound_networks =
        any.read(EXCLUDE_OUTBOUND_CIDRS, exclusion::networks).unwrap_or_default();
    rules
}
