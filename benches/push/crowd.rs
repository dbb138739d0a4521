//! All nodes: connected at once, and waited for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout_at;
use tonic::transport::Endpoint;

use super::Error;
use super::node::{Heard, Kind, Node};
use super::opening::Opening;

/// How long all may take to hear something.
const DEADLINE: Duration = Duration::from_secs(900);

/// Nodes that are connected; gone when dropped.
pub(super) struct Crowd {
    nodes: usize,
    heard: mpsc::UnboundedReceiver<Heard>,
    /// How many connections and streams did not come about and were tried again.
    pub(super) tried_again: usize,
    _tasks: JoinSet<()>,
}

/// What each node is to hear.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) what: &'static str,
    /// Responses about addresses and about policies, at least.
    pub(super) responses: [usize; 2],
    /// What is in them.
    pub(super) items: [usize; 2],
}

/// When nodes had it.
#[derive(Debug)]
pub(super) struct Times(Vec<Duration>);

impl Crowd {
    /// Lets so many nodes connect.
    pub(super) fn connect(
        nodes: usize,
        endpoint: &Endpoint,
        opening: impl Fn(usize) -> Arc<Opening>,
    ) -> Self {
        let (sender, heard) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        for number in 0..nodes {
            let (endpoint, heard) = (endpoint.clone(), sender.clone());
            tasks.spawn(Node { number, endpoint, opening: opening(number), heard }.run());
        }
        Self { nodes, heard, tried_again: 0, _tasks: tasks }
    }

    /// Waits until every node has heard it; gives how long that took each of them.
    pub(super) async fn all(&mut self, since: Instant, wanted: Wanted) -> Result<Times, Error> {
        let deadline = (since + DEADLINE).into();
        let mut counts = vec![([0; 2], [0; 2]); self.nodes];
        let mut times = Vec::with_capacity(self.nodes);
        while times.len() < self.nodes {
            let late = Error::Late { what: wanted.what, missing: self.nodes - times.len() };
            match timeout_at(deadline, self.heard.recv()).await {
                Ok(Some(Heard::Response { node, kind, items, at })) => {
                    let (responses, all) = &mut counts[node];
                    let had = wanted.is_met(responses, all);
                    let place = usize::from(kind == Kind::Policy);
                    responses[place] += 1;
                    all[place] += items;
                    if !had && wanted.is_met(responses, all) {
                        times.push(at.duration_since(since));
                    }
                }
                Ok(Some(Heard::TriedAgain { node })) => {
                    self.tried_again += 1;
                    // It begins anew, unless it had all already.
                    let (responses, all) = &mut counts[node];
                    if !wanted.is_met(responses, all) {
                        counts[node] = ([0; 2], [0; 2]);
                    }
                }
                Ok(Some(Heard::Ended(error))) => return Err(error),
                Ok(None) | Err(_) => return Err(late),
            }
        }
        times.sort_unstable();
        Ok(Times(times))
    }
}

impl Wanted {
    fn is_met(&self, responses: &[usize; 2], items: &[usize; 2]) -> bool {
        let enough =
            |had: &[usize; 2], wanted: [usize; 2]| had.iter().zip(wanted).all(|(had, wanted)| *had >= wanted);
        enough(responses, self.responses) && enough(items, self.items)
    }
}

impl Times {
    pub(super) fn at(&self, share: f64) -> Duration {
        let place = (self.0.len() as f64 * share) as usize;
        self.0.get(place.min(self.0.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}
