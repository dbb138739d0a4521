//! The addresses in a namespace, and how they stand to those of a pod.

use std::io;
use std::net::IpAddr;

use culvert_sys::interfaces;
use culvert_sys::netns::Netns;

use super::choice::Footing;

/// No pod needs more. Who rules in a namespace may put any number there.
const MOST: usize = 1 << 16;

/// The addresses by which others reach what is in the namespace.
pub(crate) fn addresses(netns: &Netns) -> io::Result<Vec<IpAddr>> {
    interfaces::addresses(netns)?.take(MOST).collect()
}

/// How the namespace stands to these addresses. Stops at the first one that is there.
pub(super) fn footing(netns: &Netns, wanted: &[IpAddr]) -> io::Result<Footing> {
    let mut footing = Footing::Bare;
    for address in interfaces::addresses(netns)?.take(MOST) {
        if wanted.contains(&address?) {
            return Ok(Footing::Carries);
        }
        footing = Footing::Others;
    }
    Ok(footing)
}
