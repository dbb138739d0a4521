//! SOCKS version 5, the server's side of a negotiation (RFC 1928).
//!
//! Goes in: what a client says, in whatever pieces. Comes out: what to say to it, and whom it asks to be connected to; or what is
//! wrong, and what to answer to that. Nothing is taken that belongs to the connection itself: clients speak before they are
//! answered. Deliberately absent: sockets, names' addresses, authentication (who reaches the port is who may use it), and
//! anything but CONNECT.
//!
//! ```text
//! client   05 COUNT METHODS...                 05 01 00 TYPE ADDRESS PORT     bytes of the connection...
//! server                         05 METHOD                                   05 REPLY 00 01 0 0 0 0 0 0
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::address::canonical;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const NO_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// The longest message of a client: a request with a name of 255 bytes.
pub const LONGEST: usize = 4 + 1 + 255 + 2;
/// The longest name DNS knows.
const LONGEST_NAME: usize = 253;

/// Whom a client asks to be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An address, canonical.
    Address(SocketAddr),
    /// A port of a host by name.
    Name {
        /// The name, as sent.
        host: String,
        /// The port.
        port: u16,
    },
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Say this, and go on.
    Say([u8; 2]),
    /// The negotiation is over; a [`Reply`] is due when it is known whether there is a connection.
    Asked(Target),
}

/// What a request is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reply {
    /// Everything that follows is the connection.
    Succeeded = 0,
    /// Something else went wrong.
    Failure = 1,
    /// A rule forbids it.
    NotAllowed = 2,
    /// There is no way to that network.
    NetworkUnreachable = 3,
    /// There is no such host, or no way to it.
    HostUnreachable = 4,
    /// Nothing takes connections there.
    Refused = 5,
    /// It took too long.
    Expired = 6,
    /// Only CONNECT is understood.
    Command = 7,
    /// There is no such type of address.
    AddressType = 8,
}

/// A client that is not understood, or asks for what there is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The first byte is another version's, or another protocol's.
    #[error(
        "the client does not speak SOCKS version 5 (its first byte is {0:#04x}); set its proxy to socks5"
    )]
    Version(u8),
    /// The client wants to authenticate.
    #[error("the client offers only methods with authentication, and there is none; configure no user name")]
    NoMethod,
    /// The request is of another version.
    #[error("the request is of version {0}, after a beginning of version 5")]
    RequestVersion(u8),
    /// BIND, UDP ASSOCIATE, or nothing there is.
    #[error("command {0} of the request is not supported; only CONNECT is")]
    Command(u8),
    /// A type of address there is not.
    #[error("address type {0} of the request is not supported; IPv4, IPv6 and names are")]
    AddressType(u8),
    /// A name nobody can have.
    #[error("the name in the request is not one a host can have")]
    NotAName,
    /// Port 0.
    #[error("the request is for port 0, which nothing can listen on")]
    NoPort,
}

/// One client's negotiation.
#[derive(Debug, Default)]
pub struct Negotiation {
    stage: Stage,
    /// The message so far: never more of it than belongs to it.
    said: Vec<u8>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Methods,
    Request,
    Over,
}

impl Negotiation {
    /// Gives how many bytes to read before anything can be said: 0 when the negotiation is over. More would not be taken.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.length() - self.said.len()
    }

    /// Takes from the front of `bytes` what belongs to the next message; gives what comes of it, or `None` when more is needed.
    ///
    /// # Errors
    /// When the client is not understood. Then nothing more is taken.
    pub fn receive(&mut self, bytes: &mut &[u8]) -> Result<Option<Step>, Fault> {
        let settled = self.take(bytes);
        if settled.is_err() {
            self.enter(Stage::Over);
        }
        settled
    }

    fn take(&mut self, bytes: &mut &[u8]) -> Result<Option<Step>, Fault> {
        while self.stage != Stage::Over {
            self.check()?;
            if self.missing() == 0 {
                return self.complete().map(Some);
            }
            if bytes.is_empty() {
                break;
            }
            let taken = bytes.split_off(..self.missing().min(bytes.len()));
            self.said.extend_from_slice(taken.unwrap_or_default());
        }
        Ok(None)
    }

    /// Looks whether what is there makes sense, as early as it can be told.
    fn check(&self) -> Result<(), Fault> {
        let wrong = |at: usize, good: &[u8]| self.said.get(at).copied().filter(|byte| !good.contains(byte));
        match self.stage {
            Stage::Methods => wrong(0, &[VERSION]).map_or(Ok(()), |byte| Err(Fault::Version(byte))),
            Stage::Request => {
                wrong(0, &[VERSION]).map_or(Ok(()), |byte| Err(Fault::RequestVersion(byte)))?;
                wrong(1, &[CONNECT]).map_or(Ok(()), |byte| Err(Fault::Command(byte)))?;
                // The byte between is reserved, and what is in it is the client's own business.
                wrong(3, &[IPV4, NAME, IPV6]).map_or(Ok(()), |byte| Err(Fault::AddressType(byte)))
            }
            Stage::Over => Ok(()),
        }
    }

    /// The length of the message, as far as it can be told from what is there.
    fn length(&self) -> usize {
        let at = |at: usize| self.said.get(at).copied();
        match self.stage {
            Stage::Methods => at(1).map_or(2, |count| 2 + usize::from(count)),
            Stage::Request => match (at(3), at(4)) {
                (Some(IPV4), _) => 4 + 4 + 2,
                (Some(IPV6), _) => 4 + 16 + 2,
                (Some(NAME), None) => 5,
                (Some(NAME), Some(length)) => 5 + usize::from(length) + 2,
                (Some(_) | None, _) => 4,
            },
            Stage::Over => 0,
        }
    }

    fn complete(&mut self) -> Result<Step, Fault> {
        if self.stage == Stage::Methods {
            if !self.said[2..].contains(&NO_AUTHENTICATION) {
                return Err(Fault::NoMethod);
            }
            self.enter(Stage::Request);
            return Ok(Step::Say([VERSION, NO_AUTHENTICATION]));
        }
        let asked = target(&self.said)?;
        self.enter(Stage::Over);
        Ok(Step::Asked(asked))
    }

    fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.said.clear();
    }
}

/// Reads a request that is whole.
fn target(request: &[u8]) -> Result<Target, Fault> {
    let (address, port) = request[4..].split_at(request.len() - 4 - 2);
    let port = u16::from_be_bytes([port[0], port[1]]);
    if port == 0 {
        return Err(Fault::NoPort);
    }
    let at = |ip: IpAddr| Target::Address(canonical(SocketAddr::new(ip, port)));
    if let Ok(v4) = <[u8; 4]>::try_from(address)
        && request[3] == IPV4
    {
        return Ok(at(Ipv4Addr::from(v4).into()));
    }
    if let Ok(v6) = <[u8; 16]>::try_from(address)
        && request[3] == IPV6
    {
        return Ok(at(Ipv6Addr::from(v6).into()));
    }
    let name = std::str::from_utf8(&address[1..]).map_err(|_| Fault::NotAName)?;
    match literal(name) {
        Some(ip) => Ok(at(ip)),
        None if is_host(name) => Ok(Target::Name { host: name.to_owned(), port }),
        None => Err(Fault::NotAName),
    }
}

/// An address some clients send as if it were a name.
fn literal(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match inner {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::from),
        None => text.parse().ok(),
    }
}

fn is_host(text: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let length = text.strip_suffix('.').unwrap_or(text).len();
    (1..=LONGEST_NAME).contains(&length) && text.bytes().all(fine)
}

impl Reply {
    /// Gives the reply as it is sent. It names no address of ours: none would be of use to a client.
    #[must_use]
    pub const fn bytes(self) -> [u8; 10] {
        [VERSION, self as u8, 0, IPV4, 0, 0, 0, 0, 0, 0]
    }
}

impl Fault {
    /// Gives what is said to such a client before it is left.
    #[must_use]
    pub fn answer(self) -> Vec<u8> {
        let reply = match self {
            Self::Version(_) | Self::NoMethod => return vec![VERSION, NO_METHOD],
            Self::RequestVersion(_) => Reply::Failure,
            Self::Command(_) => Reply::Command,
            Self::AddressType(_) => Reply::AddressType,
            Self::NotAName => Reply::HostUnreachable,
            Self::NoPort => Reply::Refused,
        };
        reply.bytes().to_vec()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests;
