//! TCP sockets with the options capture and delivery need.
//!
//! Every function makes its socket in the namespace of the calling thread: wrap calls in [`crate::netns::Netns::run`].

mod info;
mod ports;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};

pub use info::{Info, info};
pub use ports::{Ports, Window, look_within};

/// How hard to try for `IP_TRANSPARENT`, which lets a socket use addresses that are not its host's (`ip(7)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transparent {
    /// Fail without it.
    Require,
    /// Take it when the kernel gives it.
    Try,
    /// Do not ask.
    Never,
}

/// How to open a listener.
#[derive(Debug, Clone, Copy)]
pub struct Listen {
    /// Where.
    pub address: SocketAddr,
    /// `SO_MARK` of the listener and of what it accepts.
    pub mark: Option<u32>,
    /// `SO_REUSEPORT`: lets the next process bind while this one drains.
    pub reuse_port: bool,
    /// Whether accepted sockets may answer for foreign addresses.
    pub transparent: Transparent,
}

/// Length of the accept queue; the kernel caps it at `net.core.somaxconn`.
pub const BACKLOG: u16 = 4096;

/// Opens a non-blocking listener. An IPv6 wildcard address takes IPv4 connections too.
///
/// The second value says whether the listener is transparent.
///
/// # Errors
/// When the address is taken, or an option is refused.
pub fn listen(how: &Listen) -> io::Result<(TcpListener, bool)> {
    let socket = Socket::new(Domain::for_address(how.address), Type::STREAM.nonblocking(), None)?;
    if let SocketAddr::V6(v6) = how.address {
        socket.set_only_v6(!v6.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(how.reuse_port)?;
    if let Some(mark) = how.mark {
        socket.set_mark(mark)?;
    }
    let transparent = make_transparent(&socket, how)?;
    socket.bind(&how.address.into())?;
    socket.listen(BACKLOG.into())?;
    Ok((socket.into(), transparent))
}

fn make_transparent(socket: &Socket, how: &Listen) -> io::Result<bool> {
    let result = match (how.transparent, how.address) {
        (Transparent::Never, _) => return Ok(false),
        (_, SocketAddr::V4(_)) => socket.set_ip_transparent_v4(true),
        (_, SocketAddr::V6(_)) => socket.set_ip_transparent_v6(true),
    };
    match result {
        Ok(()) => Ok(true),
        Err(_) if how.transparent == Transparent::Try => Ok(false),
        Err(error) => Err(error),
    }
}

/// How to open a socket that will connect.
#[derive(Debug, Clone, Copy, Default)]
pub struct Dial {
    /// `SO_MARK`.
    pub mark: Option<u32>,
    /// The address, perhaps another host's, that the other side shall see. Port 0 lets the kernel choose the port,
    /// without the search under TIME_WAIT pressure that `bind` makes (`IP_BIND_ADDRESS_NO_PORT`).
    pub source: Option<SocketAddr>,
}

/// Opens a non-blocking socket for `destination`; the caller connects it.
///
/// # Errors
/// When an option is refused, or the source address and port are taken (`AddrInUse`).
pub fn dial(destination: SocketAddr, how: &Dial) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(destination), Type::STREAM.nonblocking(), None)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(mark) = how.mark {
        socket.set_mark(mark)?;
    }
    if let Some(source) = how.source {
        pose_as(&socket, source)?;
    }
    Ok(socket.into())
}

fn pose_as(socket: &Socket, source: SocketAddr) -> io::Result<()> {
    match source {
        SocketAddr::V4(_) => {
            socket.set_ip_transparent_v4(true)?;
            socket.set_freebind_v4(true)?;
        }
        SocketAddr::V6(_) => {
            socket.set_ip_transparent_v6(true)?;
            socket.set_freebind_v6(true)?;
        }
    }
    if source.port() == 0 {
        setsockopt(socket, sockopt::IpBindAddressNoPort, &true)?;
    } else {
        // The port may linger in TIME_WAIT from the last connection of the same client.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&source.into())
}

/// Connects a socket of [`dial`], waiting for it, and resets the connection at once: somebody is there.
///
/// # Errors
/// `TimedOut` when nothing came within `patience`; else what the kernel says, such as `ConnectionRefused`.
pub fn knock(socket: TcpStream, to: SocketAddr, patience: Duration) -> io::Result<()> {
    let socket = Socket::from(socket);
    socket.set_linger(Some(Duration::ZERO))?;
    socket.connect_timeout(&to.into(), patience)
}

/// TCP keepalive (`tcp(7)`).
#[derive(Debug, Clone, Copy)]
pub struct Keepalive {
    /// Idle time before the first probe.
    pub time: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Probes before the connection is given up.
    pub retries: u32,
}

/// Switches keepalive on.
///
/// # Errors
/// When the kernel refuses the values.
pub fn keep_alive(socket: &impl AsFd, keepalive: Keepalive) -> io::Result<()> {
    let params = TcpKeepalive::new()
        .with_time(keepalive.time)
        .with_interval(keepalive.interval)
        .with_retries(keepalive.retries);
    SockRef::from(socket).set_tcp_keepalive(&params)
}

/// Probes an idle connection this often, whether or not keepalive was on, and however often it is answered. How many probes may go
/// without an answer stays as it is.
///
/// # Errors
/// When the kernel refuses the value, or the descriptor is not a TCP socket.
pub fn probe_every(socket: &impl AsFd, pause: Duration) -> io::Result<()> {
    SockRef::from(socket).set_tcp_keepalive(&TcpKeepalive::new().with_time(pause).with_interval(pause))
}

/// Gives a connection up when sent data stays unacknowledged this long (`TCP_USER_TIMEOUT`).
///
/// # Errors
/// When the kernel refuses.
pub fn user_timeout(socket: &impl AsFd, timeout: Duration) -> io::Result<()> {
    SockRef::from(socket).set_tcp_user_timeout(Some(timeout))
}

/// Sends small pieces at once (`TCP_NODELAY`).
///
/// # Errors
/// When the descriptor is not a socket.
pub fn send_at_once(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_tcp_nodelay(true)
}

/// Ends the sending direction in order: the peer sees FIN after the last byte, and may go on sending. The close that
/// follows is an ordinary one, whatever [`reset_on_close`] said before.
///
/// # Errors
/// `NotConnected` when the connection is over already.
pub fn end_sending(socket: &impl AsFd) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_linger(None)?;
    socket.shutdown(std::net::Shutdown::Write)
}

/// Bytes in the send queue that the peer has not acknowledged (`SIOCOUTQ`, `tcp(7)`).
///
/// # Errors
/// When the descriptor is not a socket.
pub fn unsent(socket: &impl AsFd) -> io::Result<usize> {
    ask(socket, Question::Unsent).map(|bytes| usize::try_from(bytes).unwrap_or(0))
}

/// Whether urgent data is where the next read begins (`SIOCATMARK`, `tcp(7)`): the read before has stopped there, whatever is behind it.
#[must_use]
pub fn is_at_mark(socket: &impl AsFd) -> bool {
    // What is no TCP socket has no marks.
    ask(socket, Question::AtMark).is_ok_and(|is_there| is_there != 0)
}

/// What the kernel answers with one number.
#[derive(Clone, Copy)]
enum Question {
    /// `SIOCOUTQ`, which is `TIOCOUTQ`.
    Unsent,
    /// `SIOCATMARK` (asm-generic/sockios.h).
    AtMark,
}

#[expect(unsafe_code, reason = "ioctl has no safe wrapper")]
fn ask(socket: &impl AsFd, question: Question) -> io::Result<nix::libc::c_int> {
    let request = match question {
        Question::Unsent => nix::libc::TIOCOUTQ,
        Question::AtMark => 0x8905,
    };
    let mut answer: nix::libc::c_int = 0;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&socket.as_fd());
    // SAFETY: the descriptor is open for the call, and `answer` is valid for the int that each of the questions writes.
    let result = unsafe { nix::libc::ioctl(fd, request, &raw mut answer) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// Makes the close of the socket an abortive one: the peer sees RST, never a clean end. Holds for the close that the
/// kernel does when the process is killed, too.
///
/// # Errors
/// When the descriptor is not a socket.
pub fn reset_on_close(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_linger(Some(Duration::ZERO))
}

/// Where a redirected connection was going, from connection tracking; `None` when it was not redirected.
///
/// Asks for IPv4 first: an IPv4 connection accepted by a dual-stack listener has no IPv6 entry.
#[must_use]
pub fn original_destination(socket: &impl AsFd) -> Option<SocketAddr> {
    let socket = SockRef::from(socket);
    let found = socket.original_dst_v4().or_else(|_| socket.original_dst_v6()).ok()?;
    found.as_socket().map(canonical)
}

/// Checks that the kernel can tell where redirected connections were going, by asking it about one that was not redirected.
///
/// # Errors
/// The kernel's answer when it cannot (`ENOPROTOOPT` without connection tracking for that IP version).
pub fn can_tell_original_destination(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    let asked =
        if stream.local_addr()?.is_ipv4() { socket.original_dst_v4() } else { socket.original_dst_v6() };
    match asked {
        Err(error) if error.raw_os_error() != Some(nix::libc::ENOENT) => Err(error),
        _ => Ok(()),
    }
}

/// Whether an address belongs to the namespace of the calling thread. Asks the kernel by binding a datagram socket:
/// that needs no privilege, sends nothing, and sees all addresses of all interfaces.
#[must_use]
pub fn is_local(ip: IpAddr) -> bool {
    let address = SocketAddr::new(ip, 0);
    !ip.is_unspecified()
        && !ip.is_multicast()
        && Socket::new(Domain::for_address(address), Type::DGRAM, None)
            .and_then(|socket| socket.bind(&address.into()))
            .is_ok()
}

/// The same address with IPv4-mapped IPv6 turned into IPv4.
#[must_use]
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Whether the kernel can protect TLS records itself (`TCP_ULP` "tls"): what is built in or loaded, and nothing is loaded for it.
#[must_use]
pub fn kernel_tls() -> bool {
    std::fs::read_to_string("/proc/sys/net/ipv4/tcp_available_ulp").is_ok_and(|names| has_tls(&names))
}

fn has_tls(names: &str) -> bool {
    names.split_whitespace().any(|name| name == "tls")
}

/// The wildcard address for a port: dual-stack, or IPv4 only.
#[must_use]
pub fn wildcard(port: u16, ipv6: bool) -> SocketAddr {
    if ipv6 { (Ipv6Addr::UNSPECIFIED, port).into() } else { (Ipv4Addr::UNSPECIFIED, port).into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen_on(address: &str) -> (TcpListener, bool) {
        let address = address.parse().unwrap();
        listen(&Listen { address, mark: None, reuse_port: true, transparent: Transparent::Try }).unwrap()
    }

    #[test]
    fn a_wildcard_listener_takes_both_families() {
        let (listener, _) = listen_on("[::]:0");
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect(("127.0.0.1", port)).unwrap();
        TcpStream::connect(("::1", port)).unwrap();
    }

    #[test]
    fn listeners_can_be_shared_and_what_they_accept_is_marked() {
        let mark = Some(0x539);
        let how = Listen {
            address: "127.0.0.1:0".parse().unwrap(),
            mark,
            reuse_port: true,
            transparent: Transparent::Never,
        };
        let (first, _) = listen(&how).unwrap();
        let again = Listen { address: first.local_addr().unwrap(), ..how };
        assert_eq!(
            listen(&Listen { reuse_port: false, ..again }).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        listen(&again).unwrap();
        first.set_nonblocking(false).unwrap();
        let _client = TcpStream::connect(again.address).unwrap();
        let (accepted, _) = first.accept().unwrap();
        for socket in [SockRef::from(&first), SockRef::from(&accepted)] {
            assert_eq!(socket.mark().unwrap(), 0x539);
        }
    }

    #[test]
    fn a_dialling_socket_is_marked_and_its_port_is_its_own() {
        let to = "127.0.0.1:9".parse().unwrap();
        let dialled = dial(to, &Dial { mark: Some(0x539), source: Some("192.0.2.1:5000".parse().unwrap()) });
        let socket = dialled.unwrap();
        let socket = SockRef::from(&socket);
        assert_eq!(socket.mark().unwrap(), 0x539);
        assert!(!socket.reuse_port().unwrap());
        assert!(socket.ip_transparent_v4().unwrap());
        let socket = dial(to, &Dial::default()).unwrap();
        let socket = SockRef::from(&socket);
        assert_eq!(socket.mark().unwrap(), 0);
        assert!(!socket.ip_transparent_v4().unwrap());
    }

    #[test]
    fn a_direct_connection_has_no_original_destination() {
        let (listener, _) = listen_on("127.0.0.1:0");
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(original_destination(&stream), None);
    }

    #[test]
    fn accepted_sockets_inherit_what_the_listener_has() {
        let (listener, _) = listen_on("127.0.0.1:0");
        listener.set_nonblocking(false).unwrap();
        let (time, interval) = (Duration::from_secs(77), Duration::from_secs(7));
        reset_on_close(&listener).unwrap();
        send_at_once(&listener).unwrap();
        keep_alive(&listener, Keepalive { time, interval, retries: 3 }).unwrap();
        user_timeout(&listener, Duration::from_secs(5)).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let socket = SockRef::from(&accepted);
        assert_eq!(socket.linger().unwrap(), Some(Duration::ZERO));
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(
            (socket.tcp_keepalive_time().unwrap(), socket.tcp_keepalive_interval().unwrap()),
            (time, interval)
        );
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(5)));
    }

    #[test]
    fn own_addresses_are_local_and_others_are_not() {
        for (ip, local) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("192.0.2.1", false),
            ("2001:db8::1", false),
            ("0.0.0.0", false),
        ] {
            assert_eq!(is_local(ip.parse().unwrap()), local, "{ip}");
        }
    }

    #[test]
    fn kernel_tls_is_a_name_of_its_own() {
        for (names, offered) in [
            ("tls\n", true),
            ("espintcp mptcp tls\n", true),
            ("mptcp\n", false),
            ("xtls\n", false),
            ("", false),
        ] {
            assert_eq!(has_tls(names), offered, "{names:?}");
        }
    }

    #[test]
    fn a_reset_is_seen_as_a_reset() {
        let (listener, _) = listen_on("127.0.0.1:0");
        listener.set_nonblocking(false).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        reset_on_close(&server).unwrap();
        drop(server);
        let error = io::Read::read(&mut client, &mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
