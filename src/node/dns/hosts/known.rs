//! What is known of hosts, and for how long.
//!
//! In go findings as they are made; out comes the last one of a host from the servers that would be asked, with whether that
//! still holds. It asks nobody.
//!
//! A pod makes names up as it likes where it may name hosts itself. They must not push out the addresses its connections go to:
//! where there are too many hosts, those without addresses go first. And what is our own doing says nothing of a host, so it is
//! not kept.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::resolve::Finding;
use super::{Error, Found};

/// Hosts that are remembered for one pod.
const MOST_HOSTS: usize = 1024;
/// How long addresses may be given after they should have been asked for anew.
const STALE: Duration = Duration::from_secs(3600);
/// How long nobody is asked again who did not answer, while there are stale addresses (RFC 8767 §5).
const PAUSE_WHILE_STALE: Duration = Duration::from_secs(30);

/// A host, and who is asked for it, in order: another server may know another world.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    pub(super) name: Arc<str>,
    pub(super) servers: Arc<[SocketAddr]>,
}

/// What is known of hosts.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Store>);

#[derive(Debug, Default)]
struct Store {
    hosts: HashMap<Asked, Host>,
    /// The hosts in the order in which they go when there are too many.
    ages: BTreeMap<Age, Asked>,
    next: u64,
}

/// When a host goes: before those with addresses if it has none, then the oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Age {
    has_addresses: bool,
    number: u64,
}

#[derive(Debug)]
struct Host {
    said: Found,
    fresh_until: Instant,
    /// Addresses may be given until then.
    until: Instant,
    age: Age,
}

/// What was found out last.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) said: Found,
    pub(super) is_fresh: bool,
}

impl Known {
    /// What is known of a host: something that holds, or addresses that have held.
    pub(super) fn find(&self, asked: &Asked) -> Option<Entry> {
        let mut store = self.lock();
        let host = store.hosts.get(asked)?;
        let now = Instant::now();
        if host.until <= now {
            store.remove(asked);
            return None;
        }
        Some(Entry { said: host.said.clone(), is_fresh: now < host.fresh_until })
    }

    /// Takes a finding; gives what is said now. A failure leaves addresses in place that may still be given.
    pub(super) fn take(&self, asked: Asked, finding: Finding) -> Found {
        let Finding { said, life } = finding;
        let (mut store, now) = (self.lock(), Instant::now());
        let is_our_doing = said.as_ref().is_err_and(Error::is_our_doing);
        if said.as_ref().is_err_and(|error| !error.is_settled())
            && let Some(host) = store.hosts.get_mut(&asked)
            && host.said.is_ok()
            && now < host.until
        {
            if !is_our_doing {
                host.fresh_until = now + PAUSE_WHILE_STALE;
            }
            return host.said.clone();
        }
        if is_our_doing {
            return said;
        }
        let fresh_until = now + life;
        let until = if said.is_ok() { fresh_until + STALE } else { fresh_until };
        let age = Age { has_addresses: said.is_ok(), number: store.next };
        store.insert(asked, Host { said: said.clone(), fresh_until, until, age });
        said
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    fn insert(&mut self, asked: Asked, host: Host) {
        self.remove(&asked);
        self.next += 1;
        self.ages.insert(host.age, asked.clone());
        self.hosts.insert(asked, host);
        if self.hosts.len() > MOST_HOSTS
            && let Some((_, oldest)) = self.ages.pop_first()
        {
            self.hosts.remove(&oldest);
        }
    }

    fn remove(&mut self, asked: &Asked) {
        if let Some(host) = self.hosts.remove(asked) {
            self.ages.remove(&host.age);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::ask;

    const LIFE: Duration = Duration::from_secs(10);

    fn host(name: &str) -> Asked {
        Asked { name: name.into(), servers: Arc::new(["192.0.2.53:53".parse().unwrap()]) }
    }

    fn web() -> Asked {
        host("web")
    }

    fn addresses(last: u8) -> Finding {
        let address = std::net::IpAddr::from([192, 0, 2, last]);
        Finding { said: Ok(Arc::new([address])), life: LIFE }
    }

    fn failure() -> Finding {
        Finding { said: Err(Error::TooLate { name: "web".into() }), life: LIFE }
    }

    fn no_such_host() -> Finding {
        Finding { said: Err(Error::NoSuchHost { name: "web".into() }), life: LIFE }
    }

    /// The last part of the address that is known, and whether it is fresh.
    fn find(known: &Known) -> Option<(u8, bool)> {
        let Entry { said, is_fresh } = known.find(&web())?;
        let std::net::IpAddr::V4(ip) = said.ok()?[0] else { panic!() };
        Some((ip.octets()[3], is_fresh))
    }

    fn size(known: &Known) -> (usize, usize) {
        let store = known.lock();
        (store.hosts.len(), store.ages.len())
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_are_fresh_then_stale_then_gone() {
        let known = Known::default();
        known.take(web(), addresses(1)).unwrap();
        tokio::time::advance(LIFE - Duration::from_millis(1)).await;
        assert_eq!(find(&known), Some((1, true)));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(find(&known), Some((1, false)));
        tokio::time::advance(STALE).await;
        assert_eq!(find(&known), None);
        assert_eq!(size(&known), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_is_left_alone_for_a_while_and_stale_addresses_are_given() {
        let known = Known::default();
        known.take(web(), addresses(1)).unwrap();
        tokio::time::advance(LIFE).await;
        known.take(web(), failure()).unwrap();
        assert_eq!(find(&known), Some((1, true)));
        tokio::time::advance(PAUSE_WHILE_STALE).await;
        assert_eq!(find(&known), Some((1, false)));
        known.take(web(), addresses(2)).unwrap();
        assert_eq!(find(&known), Some((2, true)));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_do_not_make_addresses_live_for_ever() {
        let known = Known::default();
        known.take(web(), addresses(1)).unwrap();
        let mut rounds = 0;
        while known.take(web(), failure()).is_ok() {
            tokio::time::advance(PAUSE_WHILE_STALE).await;
            rounds += 1;
            assert!(rounds < 1000);
        }
        assert!(rounds > 100);
    }

    #[tokio::test(start_paused = true)]
    async fn that_there_is_no_such_host_is_believed_at_once() {
        let known = Known::default();
        known.take(web(), addresses(1)).unwrap();
        tokio::time::advance(LIFE).await;
        known.take(web(), no_such_host()).unwrap_err();
        assert!(known.find(&web()).unwrap().said.is_err());
        tokio::time::advance(LIFE).await;
        assert!(known.find(&web()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_hosts_are_remembered_and_the_oldest_goes_first() {
        let known = Known::default();
        for number in 0..=MOST_HOSTS {
            known.take(host(&format!("host{number}")), addresses(1)).unwrap();
            known.take(host(&format!("host{number}")), addresses(1)).unwrap();
        }
        assert!(known.find(&host("host0")).is_none() && known.find(&host("host1")).is_some());
        assert_eq!(size(&known), (MOST_HOSTS, MOST_HOSTS));
    }

    #[tokio::test(start_paused = true)]
    async fn hosts_without_addresses_push_out_nobody_who_has_some() {
        let known = Known::default();
        known.take(web(), addresses(1)).unwrap();
        for number in 0..=MOST_HOSTS {
            let finding = if number % 2 == 0 { failure() } else { no_such_host() };
            known.take(host(&format!("host{number}")), finding).unwrap_err();
        }
        assert_eq!(find(&known), Some((1, true)));
        let last = host(&format!("host{MOST_HOSTS}"));
        assert!(known.find(&host("host1")).is_none() && known.find(&last).is_some());
        assert_eq!(size(&known), (MOST_HOSTS, MOST_HOSTS));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_our_own_doing_is_not_kept_and_puts_nothing_off() {
        let known = Known::default();
        let ours = |source| {
            let said = Err(Error::Unanswered { name: "web".into(), source: Arc::new(source) });
            Finding { said, life: LIFE }
        };
        for source in [ask::Error::TooMany, ask::Error::GivenUp] {
            known.take(web(), ours(source)).unwrap_err();
        }
        assert_eq!(size(&known), (0, 0));
        known.take(web(), ours(ask::Error::TooLate)).unwrap_err();
        assert_eq!(size(&known), (1, 1));
        known.take(web(), addresses(1)).unwrap();
        tokio::time::advance(LIFE).await;
        known.take(web(), ours(ask::Error::TooMany)).unwrap();
        assert_eq!(find(&known), Some((1, false)));
    }
}
