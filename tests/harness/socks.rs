//! Applications that ask for connections by SOCKS (RFC 1928), as clients of it do.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use culvert_lab::{Launch, Pod};

use super::talk::SOON;

/// Where applications ask.
pub(crate) const SOCKS: u16 = 15080;
/// The two places of it.
pub(crate) const PLACES: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// A proxy that lets applications ask.
pub(crate) fn asking(launch: Launch) -> Launch {
    launch.env("UNSTABLE_ENABLE_SOCKS5", "true")
}

/// The only thing a client has to offer: no authentication.
pub(crate) const HELLO: &[u8] = &[5, 1, 0];

/// A request to be connected to an address.
pub(crate) fn to_address(to: impl Into<SocketAddr>) -> Vec<u8> {
    let to = to.into();
    let mut request = vec![5, 1, 0];
    match to.ip() {
        IpAddr::V4(ip) => request.extend([&[1][..], &ip.octets()].concat()),
        IpAddr::V6(ip) => request.extend([&[4][..], &ip.octets()].concat()),
    }
    request.extend(to.port().to_be_bytes());
    request
}

/// A request to be connected to a host by its name.
pub(crate) fn to_name(name: &str, port: u16) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    [&[5, 1, 0, 3, length], name.as_bytes(), &port.to_be_bytes()].concat()
}

/// Opens a connection to where applications ask, and agrees on no authentication.
pub(crate) fn hello(from: &Pod, place: IpAddr, patience: Duration) -> io::Result<TcpStream> {
    let mut stream = from.connect((place, SOCKS), patience)?;
    stream.write_all(HELLO)?;
    let mut method = [0; 2];
    stream.read_exact(&mut method)?;
    assert_eq!(method, [5, 0]);
    Ok(stream)
}

/// Asks as the RFC has it; gives the code of the answer, and the connection.
pub(crate) fn ask(from: &Pod, place: IpAddr, request: &[u8]) -> io::Result<(u8, TcpStream)> {
    let mut stream = hello(from, place, SOON * 2)?;
    stream.write_all(request)?;
    let code = answer(&mut stream)?;
    Ok((code, stream))
}

/// The code of the next answer.
pub(crate) fn answer(stream: &mut TcpStream) -> io::Result<u8> {
    let mut answer = [0; 10];
    stream.read_exact(&mut answer)?;
    let [version, code, reserved, rest @ ..] = answer;
    assert_eq!((version, reserved, rest), (5, 0, [1, 0, 0, 0, 0, 0, 0]));
    Ok(code)
}
