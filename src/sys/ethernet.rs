//! A network interface whose wire is a descriptor (`/dev/net/tun`): what the kernel sends on it is read here, what is written
//! here it receives. The kernel divides large packets and fills in checksums before they come out.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use nix::libc;

use crate::netns::Netns;

/// The far end of an interface. The interface goes away with it.
#[derive(Debug)]
pub struct Ethernet {
    wire: File,
}

/// No frame of an interface with an ordinary MTU is larger.
const MOST_FRAME: usize = 16 * 1024;

impl Ethernet {
    /// Makes an interface inside a namespace. It is down and has no address.
    ///
    /// # Errors
    /// Without `CAP_NET_ADMIN` or `/dev/net/tun`, or when the name is taken or too long.
    pub fn create(netns: &Netns, interface: &str) -> io::Result<Self> {
        // The device belongs to the namespace in which the file is opened.
        netns.run(|| {
            let wire = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
            attach(&wire, interface)?;
            Ok(Self { wire })
        })?
    }

    /// The next frame the kernel sends, or `None` when it sent none within `wait`.
    ///
    /// # Errors
    /// When the interface is down or went away.
    pub fn next(&self, wait: Duration) -> io::Result<Option<Vec<u8>>> {
        if !readable(&self.wire, wait)? {
            return Ok(None);
        }
        let mut frame = vec![0; MOST_FRAME];
        let length = (&self.wire).read(&mut frame)?;
        frame.truncate(length);
        Ok(Some(frame))
    }

    /// Has the kernel receive a frame.
    ///
    /// # Errors
    /// When the interface is down or went away.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        (&self.wire).write_all(frame)
    }
}

#[expect(unsafe_code, reason = "TUNSETIFF has no safe wrapper")]
fn attach(wire: &File, interface: &str) -> io::Result<()> {
    // SAFETY: all zeroes is a valid ifreq: integers and pointers that nobody follows.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The name ends with a zero octet.
    if interface.len() >= request.ifr_name.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "an interface name of more than 15 octets"));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed() as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the request is a whole ifreq that lives across the call.
    let result = unsafe { libc::ioctl(wire.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[expect(unsafe_code, reason = "poll has no safe wrapper among the features in use")]
fn readable(wire: &File, wait: Duration) -> io::Result<bool> {
    let mut query = libc::pollfd { fd: wire.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // Rounded up: a wait that is too short would be repeated without rest.
    let milliseconds = wait.as_nanos().div_ceil(1_000_000);
    let milliseconds = libc::c_int::try_from(milliseconds).unwrap_or(libc::c_int::MAX);
    // SAFETY: one pollfd, which lives across the call.
    match unsafe { libc::poll(&raw mut query, 1, milliseconds) } {
        -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => Ok(false),
        -1 => Err(io::Error::last_os_error()),
        ready => Ok(ready > 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_does_not_fit_is_refused() {
        let netns = Netns::create().unwrap();
        let error = Ethernet::create(&netns, "sixteen-letters!").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn the_interface_lives_as_long_as_its_far_end() {
        let netns = Netns::create().unwrap();
        let index = || netns.run(|| nix::net::if_::if_nametoindex("far0")).unwrap();
        let wire = Ethernet::create(&netns, "far0").unwrap();
        index().unwrap();
        assert_eq!(wire.next(Duration::ZERO).unwrap(), None);
        drop(wire);
        index().unwrap_err();
    }
}
