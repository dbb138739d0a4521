//! The ports that connections are made from (`ip_local_port_range`, `ip(7)`), and how long the kernel may look for a free one.
//!
//! A connect(2) without a port takes one after the other until it finds one that is free for this destination. Where thousands of
//! connections to one destination have taken most, that is thousands of looks in one system call, and whoever shares the thread
//! waits. A [`Window`] of the ports, at a place that chance chooses, bounds the looks.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

use nix::libc::{ENOPROTOOPT, SOL_IP, c_int, setsockopt, socklen_t};

/// `IP_LOCAL_PORT_RANGE`, from Linux 6.3 on (linux/in.h).
const IP_LOCAL_PORT_RANGE: c_int = 51;

/// The ports of a network namespace that connections are made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    first: u16,
    last: u16,
}

/// Some of them, one beside the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    first: u16,
    last: u16,
}

impl Ports {
    /// Those of the namespace the calling thread is in.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn of_this_namespace() -> io::Result<Self> {
        let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
        Self::of_range(&text)
            .ok_or_else(|| io::Error::other(format!("`{}` is no range of ports", text.trim())))
    }

    /// Reads two numbers: the first port and the last.
    fn of_range(text: &str) -> Option<Self> {
        let mut numbers = text.split_whitespace().map(str::parse::<u16>);
        let (first, last) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        (0 < first && first <= last).then_some(Self { first, last })
    }

    /// A port beside them, which `entropy` chooses: no program has it that leaves the choice to the kernel. None when there are too few
    /// to choose from.
    #[must_use]
    pub fn beside(self, entropy: u32) -> Option<u16> {
        let below = FIRST_UNPRIVILEGED..self.first;
        let count = u32::try_from(below.len()).ok().filter(|count| *count >= FEWEST_BESIDE)?;
        u16::try_from(u32::from(below.start) + entropy % count).ok()
    }

    /// So many of them, or all if there are no more, at a place that `entropy` chooses.
    #[must_use]
    pub fn window(self, width: u16, entropy: u32) -> Window {
        let count = u32::from(self.last - self.first) + 1;
        let width = u32::from(width).clamp(1, count);
        let first = u32::from(self.first) + entropy % (count - width + 1);
        let port = |port| u16::try_from(port).expect("it is not beyond the last port");
        Window { first: port(first), last: port(first + width - 1) }
    }
}

/// The first port that programs may have without a privilege.
const FIRST_UNPRIVILEGED: u16 = 1024;

/// With fewer ports to choose from, most would be taken soon.
const FEWEST_BESIDE: u32 = 4096;

/// Has connect(2) look for a port in a window alone; it says `AddrNotAvailable` when none of them is free. Ports that are not the
/// namespace's are no bound. A kernel before 6.3 looks among all (`ENOPROTOOPT`).
///
/// # Errors
/// The kernel's refusal.
#[expect(unsafe_code, reason = "there is no safe binding")]
pub fn look_within(socket: &impl AsFd, window: Window) -> io::Result<()> {
    let range = u32::from(window.last) << 16 | u32::from(window.first);
    let length = socklen_t::try_from(size_of::<u32>()).expect("four bytes");
    // SAFETY: the descriptor is open for the call, and the kernel reads as many bytes as `range` has.
    let result = unsafe {
        setsockopt(socket.as_fd().as_raw_fd(), SOL_IP, IP_LOCAL_PORT_RANGE, (&raw const range).cast(), length)
    };
    match io::Error::last_os_error() {
        _ if result == 0 => Ok(()),
        error if error.raw_os_error() == Some(ENOPROTOOPT) => Ok(()),
        error => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener, TcpStream};

    use socket2::{Domain, Socket, Type};

    use super::*;

    #[test]
    fn windows_are_within_the_ports() {
        let ports = Ports::of_range("32768\t60999\n").unwrap();
        assert_eq!(ports.window(64, 0), Window { first: 32768, last: 32831 });
        assert_eq!(ports.window(64, 28_168), Window { first: 60936, last: 60999 });
        assert_eq!(ports.window(64, 28_169), ports.window(64, 0));
        assert_eq!(ports.window(u16::MAX, 7), Window { first: 32768, last: 60999 });
        let all = Ports::of_range("1 65535").unwrap();
        assert_eq!(all.window(u16::MAX, u32::MAX), Window { first: 1, last: 65535 });
        assert_eq!(["2 1", "0 9", "1", "", "a b"].map(Ports::of_range), [None; 5]);
    }

    #[test]
    fn ports_beside_them_are_none_of_them() {
        let ports = Ports::of_range("32768 60999").unwrap();
        assert_eq!(ports.beside(0), Some(1024));
        assert_eq!(ports.beside(31_743), Some(32_767));
        assert_eq!(ports.beside(31_744), Some(1024));
        assert_eq!(Ports::of_range("5000 60999").unwrap().beside(7), None);
        assert_eq!(Ports::of_range("1 65535").unwrap().beside(7), None);
    }

    #[test]
    fn connections_come_from_the_window_until_it_is_used_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to: SocketAddr = listener.local_addr().unwrap();
        let window = Ports::of_this_namespace().unwrap().window(4, 4711);
        let connect = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            look_within(&socket, window).unwrap();
            socket.connect(&to.into()).map(|()| TcpStream::from(socket))
        };
        let all: Vec<_> = (0..5).map(|_| connect()).collect();
        let ports: Vec<_> = all.iter().flatten().map(|one| one.local_addr().unwrap().port()).collect();
        assert!(ports.iter().all(|port| (window.first..=window.last).contains(port)), "{ports:?}");
        assert_eq!(all[4].as_ref().unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
    }
}
