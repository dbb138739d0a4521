//! Evidence that was never gathered, for tests of who judges by it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use culvert_sys::tcp::Info;

use super::evidence::Evidence;
use crate::ledger::sockets::Socket;
use crate::ledger::{Direction, OfNode, Stage};
use crate::outcome::Failure;
use crate::proxy::PodInfo;

/// What becomes of a connection.
pub(super) enum Fate {
    Lives(Stage),
    Ends(Result<(), Failure>),
}

/// Where clients of these tests are, and whom they call.
pub(super) fn ends() -> [SocketAddr; 2] {
    [SocketAddr::from(([10, 0, 0, 1], 40_000)), SocketAddr::from(([10, 0, 0, 2], 80))]
}

/// A connection of a pod, and nothing else that is known of it.
pub(super) fn evidence(direction: Direction, fate: Fate) -> Evidence {
    let books = OfNode::default();
    let pod = PodInfo { name: "web".into(), namespace: "shop".into(), service_account: "web".into() };
    let of_pod = books.begin(pod, None);
    let [client, dialled] = ends();
    let record = of_pod.book().begin(direction, client, dialled);
    match fate {
        Fate::Lives(stage) => record.facts().enter(stage),
        Fate::Ends(result) => {
            record.facts().enter(Stage::Open);
            of_pod.book().end(&record, result);
        }
    }
    let facts = record.facts().clone();
    Evidence {
        record,
        facts,
        pod: "shop/web".into(),
        near: None,
        far: None,
        stale: None,
        denied_now: None,
        tried_out: Vec::new(),
        knocked: None,
        now: Instant::now() + Duration::from_secs(5),
    }
}

/// The same, in a tunnel.
pub(super) fn tunnelled(direction: Direction, fate: Fate) -> Evidence {
    let mut evidence = evidence(direction, fate);
    evidence.facts.authority = Some(Arc::from("10.0.0.2:80"));
    evidence
}

/// A socket that has bytes to send, and a window of the other end.
pub(super) fn socket(unsent: u32, window: u32) -> Socket {
    Socket {
        info: Info {
            bytes_unsent: unsent,
            peer_window: window,
            bytes_acknowledged: 100_000,
            ..Info::default()
        },
        unread: 0,
    }
}
