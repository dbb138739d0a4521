//! The `forwarded` header (the part of RFC 7239 that HBONE uses): the client's address and the service it called.

use std::fmt;
use std::net::SocketAddr;

use crate::address::canonical;

/// What a peer says about the connection it forwards. It proves nothing: any peer can write it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Forwarded {
    /// The address of the application that called.
    pub client: Option<SocketAddr>,
    /// The hostname of the service it called.
    pub host: Option<String>,
}

impl Forwarded {
    /// Describes a connection of `client` to the service called `host`, if it called a service.
    #[must_use]
    pub fn new(client: SocketAddr, host: Option<&str>) -> Self {
        Self { client: Some(canonical(client)), host: host.map(str::to_owned) }
    }

    /// Parses the value of the first `forwarded` header. What is not understood is left out, and a value that is not
    /// ASCII says nothing.
    #[must_use]
    pub fn parse(value: &[u8]) -> Self {
        let text = std::str::from_utf8(value).ok().filter(|text| text.is_ascii()).unwrap_or_default();
        // Further elements are those of earlier proxies, which HBONE does not have.
        let element = text.split(',').next().unwrap_or_default();
        let parameter = |name: &str| {
            let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
            let mut values = pairs.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name));
            values.next().map(|(_, value)| unquoted(value.trim())).filter(|value| !value.is_empty())
        };
        Self {
            client: parameter("for").and_then(|address| address.parse().ok()).map(canonical),
            host: parameter("host").map(str::to_owned),
        }
    }
}

impl fmt::Display for Forwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Some(client) = self.client {
            write!(f, "for=\"{client}\"")?;
            separator = ";";
        }
        match &self.host {
            Some(host) if sayable(host) => write!(f, "{separator}host={host}"),
            Some(_) | None => Ok(()),
        }
    }
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(value)
}

/// A hostname needs no quotes; a text that would is no hostname and is left out.
fn sayable(host: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'*');
    !host.is_empty() && host.bytes().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &[u8], client: Option<&str>, host: Option<&str>) {
        let expected = Forwarded {
            client: client.map(|address| address.parse().unwrap()),
            host: host.map(str::to_owned),
        };
        assert_eq!(Forwarded::parse(value), expected, "{}", value.escape_ascii());
    }

    #[test]
    fn says_client_and_host() {
        for (client, host, expected) in [
            ("10.0.0.1:5", None, r#"for="10.0.0.1:5""#),
            ("[fd00::1]:5", Some("web.shop.svc"), r#"for="[fd00::1]:5";host=web.shop.svc"#),
            ("[::ffff:10.0.0.1]:5", Some("*.shop"), r#"for="10.0.0.1:5";host=*.shop"#),
            ("10.0.0.1:5", Some("web;host=evil"), r#"for="10.0.0.1:5""#),
            ("10.0.0.1:5", Some(""), r#"for="10.0.0.1:5""#),
        ] {
            let said = Forwarded::new(client.parse().unwrap(), host).to_string();
            assert_eq!(said, expected);
            assert_eq!(Forwarded::parse(said.as_bytes()).to_string(), expected);
        }
    }

    #[test]
    fn liberal_in_what_is_read() {
        check(b"", None, None);
        check(b"host=web", None, Some("web"));
        check(b"host=\"web\"", None, Some("web"));
        check(b"host=", None, None);
        check(b"host=\"\"", None, None);
        check(b"host=\"", None, Some("\""));
        check(b" For=\"10.0.0.1:5\" ; HOST=web ;host=second", Some("10.0.0.1:5"), Some("web"));
        check(b"for=10.0.0.1:5;proto=http", Some("10.0.0.1:5"), None);
        check(b"for=unknown;host=web", None, Some("web"));
        check(b"for=\"10.0.0.1:5\", for=\"10.0.0.2:6\";host=web", Some("10.0.0.1:5"), None);
        check("for=\"10.0.0.1:5\";host=wéb".as_bytes(), None, None);
        check(b"\xff\xfe", None, None);
        check(b"xhost=web;;=;host", None, None);
    }
}
