//! The values entries are made of. Each refuses what makes no sense, so that the error points at the value.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};

use crate::address::{NetworkAddress, NotANetworkAddress};
use crate::policy::StringMatch;
use crate::route::HBONE_PORT;
use crate::workload::{GatewayAddress, GatewayDestination, PortMap};

/// A port something can listen on.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String")]
pub(super) struct Port(pub(super) u16);

/// A target port, or 0 for "each endpoint has its own".
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct TargetPort(u16);

/// An IP address.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Ip(pub(super) IpAddr);

/// A block of addresses; a bare address is a block of one.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Block(pub(super) IpNet);

/// An address in a network, `network/ip`.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Vip(pub(super) NetworkAddress);

/// Two names with a slash between, `namespace/hostname` or `namespace/name`.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String")]
pub(super) struct Key(pub(super) String);

/// A text that says something.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Text(pub(super) String);

/// An identity, or a part of one, without `spiffe://`.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Principal(String);

/// A condition on a text.
#[derive(Deserialize)]
pub(super) enum Condition<T> {
    Exact(T),
    Prefix(T),
    Suffix(T),
    Presence(#[serde(deserialize_with = "nothing")] ()),
}

/// How conditions are written.
pub(super) const STRING_MATCHES: [&str; 4] = ["!Exact text", "!Prefix text", "!Suffix text", "!Presence []"];

/// A waypoint or network gateway.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Gateway {
    destination: Destination,
    #[serde(default = "hbone_port")]
    hbone_mtls_port: Port,
}

/// `network/ip`, or else `namespace/hostname`.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Destination(GatewayDestination);

/// Gives the ports of a service.
pub(super) fn declared_ports(ports: BTreeMap<Port, TargetPort>) -> PortMap {
    ports.into_iter().map(|(port, target)| (port.0, target.0)).collect()
}

/// Gives the ports of an endpoint.
pub(super) fn own_ports(ports: BTreeMap<Port, Port>) -> PortMap {
    ports.into_iter().map(|(port, target)| (port.0, target.0)).collect()
}

impl Gateway {
    pub(super) fn into_address(self) -> GatewayAddress {
        GatewayAddress { destination: self.destination.0, port: self.hbone_mtls_port.0 }
    }
}

impl From<Condition<Text>> for StringMatch {
    fn from(condition: Condition<Text>) -> Self {
        condition.map(|text| text.0)
    }
}

impl From<Condition<Principal>> for StringMatch {
    fn from(condition: Condition<Principal>) -> Self {
        condition.map(|text| text.0)
    }
}

impl<T> Condition<T> {
    fn map(self, text: impl Fn(T) -> String) -> StringMatch {
        match self {
            Self::Exact(exact) => StringMatch::Exact(text(exact).into()),
            Self::Prefix(prefix) => StringMatch::Prefix(text(prefix).into()),
            Self::Suffix(suffix) => StringMatch::Suffix(text(suffix).into()),
            Self::Presence(()) => StringMatch::Presence,
        }
    }
}

impl TryFrom<String> for Port {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let port = text.parse().ok().filter(|&port| port != 0);
        port.map(Self).ok_or_else(|| format!("`{text}` is not a port; write a number from 1 to 65535"))
    }
}

impl TryFrom<String> for TargetPort {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = |_| {
            format!("`{text}` is not a target port; write a number from 1 to 65535, or 0 for a named port")
        };
        text.parse().map(Self).map_err(wrong)
    }
}

impl TryFrom<String> for Ip {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let ip: IpAddr = text.parse().map_err(|_| format!("`{text}` is not an IP address"))?;
        Ok(Self(ip.to_canonical()))
    }
}

impl TryFrom<String> for Block {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let net: IpNet = text
            .parse()
            .or_else(|error| text.parse::<IpAddr>().map(IpNet::from).map_err(|_| error))
            .map_err(|_| {
                format!("`{text}` is not a block of addresses; write for example 10.0.0.0/8 or fd00::/64")
            })?;
        Ok(Self(canonical_block(net)))
    }
}

impl TryFrom<String> for Vip {
    type Error = NotANetworkAddress;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

impl TryFrom<String> for Key {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once('/') {
            Some((first, second)) if !first.is_empty() && !second.is_empty() && !second.contains('/') => {
                Ok(Self(text))
            }
            Some(_) | None => Err(format!("`{text}` is not two names; write `namespace/name`")),
        }
    }
}

impl TryFrom<String> for Text {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() {
            Err("the text is empty; write one, or remove the entry")
        } else {
            Ok(Self(text))
        }
    }
}

impl TryFrom<String> for Principal {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("spiffe://") {
            return Err(format!("principals are compared without `spiffe://`; write `{rest}`"));
        }
        Ok(Self(Text::try_from(text)?.0))
    }
}

impl TryFrom<String> for Destination {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self(GatewayDestination::Address(address)));
        }
        let wrong = |_| format!("`{text}` is no gateway; write `network/ip` or `namespace/hostname`");
        let Key(key) = Key::try_from(text.clone()).map_err(wrong)?;
        let (namespace, hostname) = key.split_once('/').unwrap_or_default();
        Ok(Self(GatewayDestination::Hostname { namespace: namespace.into(), hostname: hostname.into() }))
    }
}

fn hbone_port() -> Port {
    Port(HBONE_PORT)
}

/// Clears the host bits, and takes a block of IPv4-mapped addresses for the IPv4 block it stands for, since that is how
/// addresses are compared.
fn canonical_block(net: IpNet) -> IpNet {
    let mapped = match net {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => {
            v6.addr().to_ipv4_mapped().map(|ip| (ip, v6.prefix_len() - 96))
        }
        IpNet::V6(_) | IpNet::V4(_) => None,
    };
    mapped.and_then(|(ip, length)| IpNet::new(ip.into(), length).ok()).unwrap_or(net).trunc()
}

/// Takes `[]`, `{}`, `null` or nothing: all are ways to write a condition without a text.
fn nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    deserializer.deserialize_any(Nothing)
}

struct Nothing;

impl<'de> Visitor<'de> for Nothing {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("nothing, written as []")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        match items.next_element::<IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(A::Error::custom("Presence has no value; write `!Presence []`")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        match items.next_key::<IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(A::Error::custom("Presence has no value; write `!Presence []`")),
        }
    }
}
