//! The `:authority` of a CONNECT request: where the bytes are to go.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::address::canonical;

/// The longest name DNS knows, and the longest host accepted.
const LONGEST_HOST: usize = 253;
/// How much of a wrong text an error shows.
const SHOWN: usize = 300;

/// Where a tunnel peer wants to go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Authority {
    /// An address, canonical.
    Address(SocketAddr),
    /// A port of a host by name.
    Host {
        /// The name, as sent.
        host: String,
        /// The port.
        port: u16,
    },
}

/// A text that is not an authority with a port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a destination; write ip:port, [ipv6]:port or host:port")]
pub struct NotAnAuthority(String);

impl FromStr for Authority {
    type Err = NotAnAuthority;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| NotAnAuthority(text.chars().take(SHOWN).collect()))
    }
}

impl From<SocketAddr> for Authority {
    fn from(address: SocketAddr) -> Self {
        Self::Address(canonical(address))
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Host { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

fn parse(text: &str) -> Option<Authority> {
    let (host, port) = text.rsplit_once(':')?;
    let port = parse_port(port)?;
    if let Some(inner) = host.strip_prefix('[') {
        let ip: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(SocketAddr::new(ip.into(), port).into());
    }
    match host.parse::<IpAddr>() {
        Ok(ip @ IpAddr::V4(_)) => Some(SocketAddr::new(ip, port).into()),
        // Without brackets nobody can tell where the address ends.
        Ok(IpAddr::V6(_)) => None,
        Err(_) => is_host(host).then(|| Authority::Host { host: host.to_owned(), port }),
    }
}

/// Digits only (`u16::from_str` takes a sign), and not 0, which nothing can listen on.
fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|&port| port != 0)
}

fn is_host(text: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'*');
    !text.is_empty() && text.len() <= LONGEST_HOST && text.bytes().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let parsed = text.parse::<Authority>();
        assert_eq!(parsed.as_ref().map(ToString::to_string).ok().as_deref(), expected, "{text}");
    }

    #[test]
    fn addresses_and_hosts_parse() {
        check("10.0.0.1:80", Some("10.0.0.1:80"));
        check("[2001:db8::1]:8080", Some("[2001:db8::1]:8080"));
        check("[::ffff:10.0.0.1]:80", Some("10.0.0.1:80"));
        check("web.shop.svc.cluster.local:80", Some("web.shop.svc.cluster.local:80"));
        check("a_b:65535", Some("a_b:65535"));
        check("1.2.3:80", Some("1.2.3:80"));
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            ":",
            ":80",
            "web",
            "web:",
            "web:0",
            "web:+80",
            "web:65536",
            "web:80:80",
            "::1:80",
            "[::1]",
            "[::1:80",
            "[10.0.0.1]:80",
            "[fe80::1%eth0]:80",
            "[]:80",
            "user@web:80",
            "web/x:80",
            "we b:80",
            "wéb:80",
            "we\nb:80",
        ] {
            check(text, None);
        }
        check(&format!("{}:80", "a".repeat(253)), Some(&format!("{}:80", "a".repeat(253))));
        check(&format!("{}:80", "a".repeat(254)), None);
    }

    #[test]
    fn an_error_shows_a_bounded_and_escaped_text() {
        let error = format!("\n{}", "x".repeat(100_000)).parse::<Authority>().unwrap_err();
        let shown = error.to_string();
        assert!(shown.len() < 400 && shown.starts_with("\"\\nxxx"), "{shown}");
    }
}
