//! What both ends of a tunnel do alike: find out that the peer is gone.
//!
//! A PING goes out when nothing was heard for [`QUIET`], and must be answered within [`ANSWER`]: a dead peer is
//! noticed in at most their sum.

use std::time::Duration;

use h2::{Ping, PingPong};

/// Time between the last answer and the next PING.
const QUIET: Duration = Duration::from_secs(10);
/// Time a PING may stay unanswered.
const ANSWER: Duration = Duration::from_secs(20);

/// Resolves when the peer no longer answers; never when it cannot be asked, because somebody else does. Cancel safe.
pub(super) async fn dead(pings: Option<PingPong>) -> &'static str {
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        tokio::time::sleep(QUIET).await;
        match tokio::time::timeout(ANSWER, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return "the HTTP/2 connection failed",
            Err(_) => return "no answer to PING within 20 s (ping deadline)",
        }
    }
}
