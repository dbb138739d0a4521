//! Whether somebody takes the DNS queries that the rules capture.
//!
//! In goes a pod's namespace; out comes a warning, when there is nobody: the node that serves the pod does not take queries, or
//! none serves it. Queries are lost then, and nothing else would say so: the rules are right.
//!
//! What is looked at is whether a UDP socket of either family has the port. Whose it is, at which address, and whether there is
//! one for TCP too is not: the node opens all of them or none, and opens none of IPv6 in a pod without it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use culvert_sys::netns::Netns;
use ebpf_free_iptables::DNS_PORT;

use crate::sockets;

/// Time between two warnings: mostly it concerns all pods or none.
const PAUSE: Duration = Duration::from_secs(600);

/// Looks after the queries of all pods.
#[derive(Debug, Default)]
pub(crate) struct Unheard {
    warned: Mutex<Option<Instant>>,
}

impl Unheard {
    /// Looks at a pod, and warns.
    pub(crate) fn look(&self, pod: &str, netns: &Netns) {
        match sockets::takes_queries(netns) {
            Ok(true) => {}
            Ok(false) if self.may_warn(Instant::now()) => tracing::warn!(
                pod,
                port = DNS_PORT,
                "nobody takes the pod's captured DNS queries, they are lost; let a node serve the pod, with \
                 ISTIO_META_DNS_CAPTURE=true, or say --dns-capture=false"
            ),
            Ok(false) => {}
            Err(error) => tracing::debug!(pod, %error, "who takes the pod's DNS queries cannot be seen"),
        }
    }

    fn may_warn(&self, now: Instant) -> bool {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        let is_long_ago = warned.is_none_or(|before| now.duration_since(before) >= PAUSE);
        if is_long_ago {
            *warned = Some(now);
        }
        is_long_ago
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_now_and_then() {
        let (unheard, start) = (Unheard::default(), Instant::now());
        let said =
            [0, 1, 599, 600, 601, 1200].map(|after| unheard.may_warn(start + Duration::from_secs(after)));
        assert_eq!(said, [true, false, false, true, false, true]);
    }
}
