//! The `proxy-status` header (RFC 9209): why a CONNECT was refused, by whoever on the way refused it.
//!
//! Read leniently, and never at length: a list of proxies, the one nearest to the destination first, each with parameters. The first that
//! names an error is the one that failed; the others only pass that on. It proves nothing: any peer can write it.

use std::fmt;

/// What is kept of a name, an error or details.
const MOST: usize = 128;

/// What is looked at of a header: more than any route has of proxies.
const MOST_READ: usize = 4096;

macro_rules! kinds {
    ($($(#[$meta:meta])* $name:ident = $text:literal,)*) => {
        /// What went wrong, by the names of the registry (RFC 9209 §2.3).
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind {
            $($(#[$meta])* $name,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// As it is written.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

kinds! {
    /// The name of the destination was not answered in time.
    DnsTimeout = "dns_timeout",
    /// The name of the destination is not known, or could not be found out.
    DnsError = "dns_error",
    /// It is not known where the destination is.
    DestinationNotFound = "destination_not_found",
    /// It is known, and not there for anybody.
    DestinationUnavailable = "destination_unavailable",
    /// Connections to its address are not allowed.
    DestinationIpProhibited = "destination_ip_prohibited",
    /// Nothing leads to its address.
    DestinationIpUnroutable = "destination_ip_unroutable",
    /// It has refused the connection.
    ConnectionRefused = "connection_refused",
    /// It has broken the connection.
    ConnectionTerminated = "connection_terminated",
    /// It did not answer in time.
    ConnectionTimeout = "connection_timeout",
    /// Nothing came of it for too long.
    ConnectionReadTimeout = "connection_read_timeout",
    /// It took nothing for too long.
    ConnectionWriteTimeout = "connection_write_timeout",
    /// There are too many connections to it.
    ConnectionLimitReached = "connection_limit_reached",
    /// TLS with it failed.
    TlsProtocolError = "tls_protocol_error",
    /// Its certificate was not accepted.
    TlsCertificateError = "tls_certificate_error",
    /// It has ended TLS.
    TlsAlertReceived = "tls_alert_received",
    /// The request makes no sense.
    HttpRequestError = "http_request_error",
    /// The request is not allowed.
    HttpRequestDenied = "http_request_denied",
    /// Its answer is not complete.
    HttpResponseIncomplete = "http_response_incomplete",
    /// Its answer did not come in time.
    HttpResponseTimeout = "http_response_timeout",
    /// Its answer makes no sense.
    HttpProtocolError = "http_protocol_error",
    /// The proxy answers by itself.
    ProxyInternalResponse = "proxy_internal_response",
    /// The proxy has failed.
    ProxyInternalError = "proxy_internal_error",
    /// The proxy is not set up as it should be.
    ProxyConfigurationError = "proxy_configuration_error",
    /// The request would come back to the proxy.
    ProxyLoopDetected = "proxy_loop_detected",
}

/// Why this proxy refuses a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyStatus {
    /// What went wrong.
    pub error: Kind,
    /// The stable name of the reason. Nothing else is told to peers: no policy, no address.
    pub details: &'static str,
}

impl fmt::Display for ProxyStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_assert!(
            self.details
                .bytes()
                .all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'_')
        );
        write!(f, "culvert; error={}; details=\"{}\"", self.error.as_str(), self.details)
    }
}

/// Why a proxy says it has refused a request. All of it is printable ASCII, and short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// How it calls itself.
    pub proxy: Box<str>,
    /// What went wrong.
    pub error: Box<str>,
    /// What it adds to that.
    pub details: Option<Box<str>>,
}

impl Said {
    /// Reads the values of all `proxy-status` headers of an answer, in their order.
    #[must_use]
    pub fn parse<'v>(values: impl IntoIterator<Item = &'v [u8]>) -> Option<Self> {
        let mut left = MOST_READ;
        for value in values {
            let value = &value[..value.len().min(left)];
            left -= value.len();
            let mut reader = Reader { rest: value };
            while !reader.rest.is_empty() {
                if let Some(said) = reader.member() {
                    return Some(said);
                }
                reader.skip_member();
            }
        }
        None
    }

    /// What went wrong, if it has a name everybody knows.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|kind| kind.as_str() == &*self.error)
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.proxy, self.error)?;
        match &self.details {
            Some(details) => write!(f, " ({details})"),
            None => Ok(()),
        }
    }
}

/// Reads structured fields (RFC 9651), as far as this header needs them.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    /// A proxy and its parameters, if it names an error; stops at the comma behind it, or where it makes no sense.
    fn member(&mut self) -> Option<Said> {
        self.skip_space();
        let proxy = self.bare()?;
        let (mut error, mut details) = (None, None);
        loop {
            self.skip_space();
            if !self.takes(b';') {
                break;
            }
            self.skip_space();
            let key = self.token()?;
            // A key alone is a flag.
            let value = if self.takes(b'=') { self.bare()? } else { String::new() };
            match key.as_str() {
                "error" => error = Some(value),
                "details" => details = Some(value),
                _ => {}
            }
        }
        let short = |text: String| text.chars().take(MOST).collect::<String>().into_boxed_str();
        let some = |text: Option<String>| text.filter(|text| !text.is_empty()).map(short);
        Some(Said { proxy: short(proxy), error: some(error)?, details: some(details) })
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn takes(&mut self, octet: u8) -> bool {
        let rest = self.rest.strip_prefix(&[octet]);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// A string, or a token; other values look like tokens.
    fn bare(&mut self) -> Option<String> {
        if self.takes(b'"') { self.string() } else { self.token() }
    }

    fn token(&mut self) -> Option<String> {
        let is_of_token =
            |octet: &u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/?@".contains(octet);
        let length = self.rest.iter().take_while(|octet| is_of_token(octet)).count();
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        (length > 0).then(|| token.iter().map(|octet| char::from(*octet)).collect())
    }

    /// What is in quotation marks, behind the first of them.
    fn string(&mut self) -> Option<String> {
        let mut text = String::new();
        loop {
            let (octet, rest) = self.rest.split_first()?;
            self.rest = rest;
            match octet {
                b'"' => return Some(text),
                b'\\' => {
                    let (escaped, rest) = self.rest.split_first()?;
                    self.rest = rest;
                    text.push(matches!(escaped, b'"' | b'\\').then_some(char::from(*escaped))?);
                }
                b' '..=b'~' => text.push(char::from(*octet)),
                _ => return None,
            }
        }
    }

    /// Goes behind the next comma that is in no string.
    fn skip_member(&mut self) {
        while let Some((octet, rest)) = self.rest.split_first() {
            self.rest = rest;
            match octet {
                b',' => return,
                b'"' => drop(self.string()),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
