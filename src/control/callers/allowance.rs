//! How much one caller may have at once: connections, streams of mesh state, requests for certificates.
//!
//! In go callers and what they want one more of; out come places, given back when they are dropped. Who sends a token that is good is
//! not trusted for that with all there is: in a cluster every pod has one.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Caller, Known, Reach};

/// What callers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Connections,
    Streams,
    Certificates,
}

/// How much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Amount {
    connections: usize,
    streams: usize,
    certificates: usize,
}

/// For who may have the whole mesh: the proxy of a node, and whoever the operator has written down.
const OF_EVERYTHING: Amount = Amount { connections: 32, streams: 16, certificates: 64 };
/// For who may have what is near: the proxy of one workload, or whatever has its token.
const OF_NEAR: Amount = Amount { connections: 8, streams: 4, certificates: 8 };
/// Connections of all callers with one reach: those of workloads leave those of nodes their places.
const CONNECTIONS_WITH_EVERYTHING: usize = 8192;
const CONNECTIONS_NEAR: usize = 4096;

/// Why a caller gets no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TooMany {
    /// It has what it may have.
    OfItsOwn(What),
    /// All like it together have.
    OfItsKind,
}

/// What callers have at the moment.
#[derive(Debug, Default)]
pub(crate) struct Allowance(Mutex<Used>);

#[derive(Debug, Default)]
struct Used {
    holders: HashMap<Holder, Amount>,
    with_everything: usize,
    near: usize,
}

/// Whose it is: pods of one account are several.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Holder {
    Node(String),
    Pod(Arc<str>),
    Identity(String),
}

/// A place among those of a caller.
#[derive(Debug)]
pub(crate) struct Place {
    allowance: Arc<Allowance>,
    holder: Holder,
    what: What,
    is_near: bool,
}

impl Allowance {
    /// Takes one more for a caller.
    pub(crate) fn take(self: &Arc<Self>, known: &Known, what: What) -> Result<Place, TooMany> {
        let holder = Holder::of(known);
        let is_near = matches!(known.reach, Reach::Near { .. });
        let most = if is_near { OF_NEAR } else { OF_EVERYTHING };
        let mut used = self.used();
        let has = used.holders.get(&holder).copied().unwrap_or_default();
        if has.of(what) >= most.of(what) {
            return Err(TooMany::OfItsOwn(what));
        }
        if what == What::Connections {
            let (all, most) = used.connections(is_near);
            if *all >= most {
                return Err(TooMany::OfItsKind);
            }
            *all += 1;
        }
        *used.holders.entry(holder.clone()).or_default().of_mut(what) += 1;
        Ok(Place { allowance: Arc::clone(self), holder, what, is_near })
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut used = self.allowance.used();
        if self.what == What::Connections {
            *used.connections(self.is_near).0 -= 1;
        }
        let Some(amount) = used.holders.get_mut(&self.holder) else { return };
        *amount.of_mut(self.what) -= 1;
        if *amount == Amount::default() {
            used.holders.remove(&self.holder);
        }
    }
}

impl Used {
    /// Connections of all with one reach, and how many there may be.
    fn connections(&mut self, is_near: bool) -> (&mut usize, usize) {
        if is_near {
            (&mut self.near, CONNECTIONS_NEAR)
        } else {
            (&mut self.with_everything, CONNECTIONS_WITH_EVERYTHING)
        }
    }
}

impl Holder {
    fn of(known: &Known) -> Self {
        match (&known.caller, &known.pod) {
            (Caller::Node(node), _) => Self::Node(node.clone()),
            (Caller::Workload(_), Some(pod)) => Self::Pod(Arc::clone(pod)),
            (Caller::Workload(id), None) => Self::Identity(id.to_string()),
        }
    }
}

impl Amount {
    fn of(&self, what: What) -> usize {
        match what {
            What::Connections => self.connections,
            What::Streams => self.streams,
            What::Certificates => self.certificates,
        }
    }

    fn of_mut(&mut self, what: What) -> &mut usize {
        match what {
            What::Connections => &mut self.connections,
            What::Streams => &mut self.streams,
            What::Certificates => &mut self.certificates,
        }
    }
}

impl TooMany {
    /// The stable name of the reason, for programs.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::OfItsOwn(What::Connections) => "too-many-connections",
            Self::OfItsOwn(What::Streams) => "too-many-streams",
            Self::OfItsOwn(What::Certificates) => "too-many-requests",
            Self::OfItsKind => "too-many-callers",
        }
    }

    /// What it is counted as.
    pub(crate) fn limit(self) -> &'static str {
        match self {
            Self::OfItsOwn(What::Connections) => "connections_of_a_caller",
            Self::OfItsOwn(What::Streams) => "streams",
            Self::OfItsOwn(What::Certificates) => "certificates",
            Self::OfItsKind => "callers",
        }
    }
}

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OfItsOwn(What::Connections) => write!(f, "this caller has too many connections"),
            Self::OfItsOwn(What::Streams) => write!(f, "this caller has too many streams"),
            Self::OfItsOwn(What::Certificates) => write!(f, "this caller has too many requests under way"),
            Self::OfItsKind => write!(f, "callers like this one have too many connections"),
        }?;
        write!(f, "; end some, or try again later")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Known {
        Known { caller: Caller::Node(name.to_owned()), reach: Reach::Everything, pod: None }
    }

    fn pod(uid: &str) -> Known {
        let caller = Caller::Workload("spiffe://cluster.local/ns/shop/sa/web".parse().unwrap());
        let reach = Reach::Near { node: "n1".into(), namespaces: [].into() };
        Known { caller, reach, pod: Some(uid.into()) }
    }

    fn listed() -> Known {
        Known { reach: Reach::Everything, pod: None, ..pod("") }
    }

    /// Takes as many as there are.
    fn all(allowance: &Arc<Allowance>, known: &Known, what: What) -> (Vec<Place>, TooMany) {
        let mut places = Vec::new();
        loop {
            match allowance.take(known, what) {
                Ok(place) => places.push(place),
                Err(why) => return (places, why),
            }
        }
    }

    #[test]
    fn everybody_has_so_many_of_each_and_nobody_those_of_another() {
        let allowance = Arc::default();
        let mut held = Vec::new();
        for (known, expected) in [
            (node("n1"), [32, 16, 64]),
            (node("n2"), [32, 16, 64]),
            (pod("1"), [8, 4, 8]),
            (pod("2"), [8, 4, 8]),
            (listed(), [32, 16, 64]),
        ] {
            for (what, expected) in
                [What::Connections, What::Streams, What::Certificates].into_iter().zip(expected)
            {
                let (places, why) = all(&allowance, &known, what);
                assert_eq!((places.len(), why), (expected, TooMany::OfItsOwn(what)), "{known:?}");
                held.push(places);
            }
        }
        drop(held);
        let used = allowance.used();
        assert!(used.holders.is_empty() && (used.near, used.with_everything) == (0, 0), "{used:?}");
    }

    #[test]
    fn a_place_given_back_can_be_had_again() {
        let allowance = Arc::default();
        let (mut places, _) = all(&allowance, &pod("1"), What::Streams);
        places.pop();
        places.push(allowance.take(&pod("1"), What::Streams).unwrap());
        assert!(allowance.take(&pod("1"), What::Streams).is_err());
    }

    #[test]
    fn pods_cannot_take_the_places_of_nodes() {
        let allowance = Arc::default();
        let mut held = Vec::new();
        let refused = (0..).find_map(|number: u32| {
            let (places, why) = all(&allowance, &pod(&number.to_string()), What::Connections);
            held.extend(places);
            (why == TooMany::OfItsKind).then_some(why)
        });
        assert_eq!((held.len(), refused), (CONNECTIONS_NEAR, Some(TooMany::OfItsKind)));
        assert_eq!(all(&allowance, &node("n1"), What::Connections).0.len(), 32);
    }
}
