//! Addresses for hosts that have none, where nobody else allocates them.
//!
//! Goes in: all `ServiceEntries`, in any order. Comes out: what is to be written into the status of which. An address is used by nobody
//! before it is in the status, so that only that has to be agreed upon: whoever writes it says what it is, and whoever restarts finds
//! it there. Deliberately absent: writing, and whether to (with Istio in the cluster, Istio does).
//!
//! **Invariant:** what is to be written follows from the objects, not from the order in which they came.
//! **Invariant:** an address in a status stays. Only of two entries with one address the younger gets others.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::{Key, Kind};

use super::service_entry::{ServiceEntry, StatusAddress};

/// Which addresses are taken, and who is without.
#[derive(Debug, Default)]
pub struct Allocation {
    entries: HashMap<Key, Entry>,
    /// Who says that an address is theirs, first whose it is.
    holders: HashMap<IpAddr, BTreeSet<Holder>>,
    /// Who is without, the oldest first.
    waiting: BTreeSet<Age>,
}

/// What is to be written into the status of an entry: all of its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allotment {
    /// The entry.
    pub key: Key,
    /// Its addresses.
    pub addresses: Vec<StatusAddress>,
}

/// Who comes first. What somebody has written as an address is not allocated anew.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Age {
    allocated: bool,
    undated: bool,
    created: Option<Arc<str>>,
    key: Key,
}

/// A host of an entry; all of its hosts, if the name is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Holder {
    age: Age,
    host: Arc<str>,
}

#[derive(Debug)]
struct Entry {
    age: Age,
    held: Held,
    /// The hosts that want an address.
    hosts: Vec<Arc<str>>,
}

/// The addresses of hosts; under an empty name those of all hosts.
type Held = BTreeMap<Arc<str>, Vec<IpAddr>>;

impl Allocation {
    /// Takes note of an entry, new or changed.
    pub fn insert(&mut self, entry: &ServiceEntry) {
        let key = entry.meta.key(Kind::ServiceEntry);
        self.remove(&key);
        let noted = Entry::of(entry, key.clone());
        if noted.hosts.is_empty() && noted.held.is_empty() {
            return;
        }
        let mut touched = BTreeSet::from([key.clone()]);
        for (holder, ip) in noted.holders() {
            let holders = self.holders.entry(ip).or_default();
            touched.extend(holders.iter().map(|other| other.age.key.clone()));
            holders.insert(holder);
        }
        self.entries.insert(key, noted);
        self.settle(&touched);
    }

    /// Takes note that an entry is gone.
    pub fn remove(&mut self, key: &Key) {
        let Some(entry) = self.entries.remove(key) else { return };
        self.waiting.remove(&entry.age);
        let mut touched = BTreeSet::new();
        for (holder, ip) in entry.holders() {
            let Some(holders) = self.holders.get_mut(&ip) else { continue };
            holders.remove(&holder);
            touched.extend(holders.iter().map(|other| other.age.key.clone()));
            if holders.is_empty() {
                self.holders.remove(&ip);
            }
        }
        self.settle(&touched);
    }

    /// Gives what is to be written, for every entry that is without an address for one of its hosts; again and again, until its
    /// status says so. What finds no room gets nothing.
    #[must_use]
    pub fn wanted(&self) -> Vec<Allotment> {
        let mut given = HashSet::new();
        let waiting = self.waiting.iter().filter_map(|age| self.entries.get(&age.key));
        let allotments = waiting.map(|entry| (entry, self.allot(entry, &mut given)));
        let new = allotments.filter(|(entry, allotment)| !entry.says(&allotment.addresses));
        new.map(|(_, allotment)| allotment).collect()
    }

    /// Counts the entries that are without an address for one of their hosts.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn allot(&self, entry: &Entry, given: &mut HashSet<IpAddr>) -> Allotment {
        let mut addresses = BTreeSet::new();
        for host in &entry.hosts {
            let kept = self.kept(entry, host);
            if kept.is_empty() {
                let found =
                    free(&entry.age.key, host, |ip| self.holders.contains_key(ip) || given.contains(ip));
                let found: Vec<IpAddr> = found.into_iter().flatten().collect();
                given.extend(&found);
                addresses.extend(found.iter().map(|&ip| StatusAddress { ip, host: Some(host.clone()) }));
            }
            addresses.extend(kept);
        }
        Allotment { key: entry.age.key.clone(), addresses: addresses.into_iter().collect() }
    }

    /// Finds out who of these is without.
    fn settle(&mut self, keys: &BTreeSet<Key>) {
        for entry in keys.iter().filter_map(|key| self.entries.get(key)) {
            if self.is_settled(entry) {
                self.waiting.remove(&entry.age);
            } else {
                self.waiting.insert(entry.age.clone());
            }
        }
    }

    fn is_settled(&self, entry: &Entry) -> bool {
        let lost_one = || entry.holders().any(|(holder, ip)| !self.owns(&holder, ip));
        let without = || entry.hosts.iter().any(|host| self.kept(entry, host).is_empty());
        entry.hosts.is_empty() || !lost_one() && !without()
    }

    /// Gives the addresses of a host that stay: all or none, so that it has one of each family.
    fn kept(&self, entry: &Entry, host: &Arc<str>) -> Vec<StatusAddress> {
        let of = |name: Arc<str>| {
            let holder = Holder { age: entry.age.clone(), host: name.clone() };
            let all = entry.held.get(&name).map(Vec::as_slice).unwrap_or_default();
            let kept = if all.iter().all(|&ip| self.owns(&holder, ip)) { all } else { &[] };
            let host = Some(name).filter(|name| !name.is_empty());
            kept.iter().map(move |&ip| StatusAddress { ip, host: host.clone() })
        };
        of(host.clone()).chain(of(Arc::default())).collect()
    }

    fn owns(&self, holder: &Holder, ip: IpAddr) -> bool {
        self.holders.get(&ip).and_then(BTreeSet::first) == Some(holder)
    }
}

impl Entry {
    fn of(entry: &ServiceEntry, key: Key) -> Self {
        let wanting = |host: &&Arc<str>| entry.wants_address(host);
        let hosts: Vec<Arc<str>> = entry.hosts.iter().filter(wanting).cloned().collect();
        let written = entry.addresses.iter().filter(|block| block.prefix_len() == block.max_prefix_len());
        let mut held = Held::new();
        for block in written {
            held.entry(Arc::default()).or_default().push(block.addr());
        }
        for StatusAddress { ip, host } in &entry.allocated {
            let counts = host.as_ref().map_or(!hosts.is_empty(), |host| hosts.contains(host));
            if counts {
                held.entry(host.clone().unwrap_or_default()).or_default().push(*ip);
            }
        }
        let created = entry.meta.creation_timestamp.clone();
        let age = Age { allocated: entry.addresses.is_empty(), undated: created.is_none(), created, key };
        Self { age, held, hosts }
    }

    /// Tells whether its status says just this.
    fn says(&self, addresses: &[StatusAddress]) -> bool {
        let of = |(host, ips): (&Arc<str>, &Vec<IpAddr>)| {
            let host = Some(host.clone()).filter(|host| !host.is_empty());
            let addresses = ips.iter().map(|&ip| StatusAddress { ip, host: host.clone() });
            addresses.collect::<Vec<_>>()
        };
        let held: BTreeSet<StatusAddress> = self.held.iter().flat_map(of).collect();
        held.iter().eq(addresses)
    }

    fn holders(&self) -> impl Iterator<Item = (Holder, IpAddr)> {
        let holder = |host: &Arc<str>| Holder { age: self.age.clone(), host: host.clone() };
        self.held.iter().flat_map(move |(host, ips)| ips.iter().map(move |&ip| (holder(host), ip)))
    }
}

/// Finds a free pair of addresses, one of each family with one number: 240.240.0.0/16 and 2001:2::/48. It begins where the host
/// belongs and goes on in steps of the host's own, so that it finds the same one whoever looks.
fn free(key: &Key, host: &str, taken: impl Fn(&IpAddr) -> bool) -> Option<[IpAddr; 2]> {
    let [_, _, _, _, a, b, c, d] = hash(&[&key.namespace, &key.name, host]).to_be_bytes();
    let (start, step) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]) | 1);
    let numbers = (0..=u16::MAX).map(|nth| start.wrapping_add(nth.wrapping_mul(step)));
    // The first and the last one of a network may mean all of it.
    let usable = numbers.filter(|&number| number != 0 && number != u16::MAX);
    let pairs = usable.map(|number| {
        let [high, low] = number.to_be_bytes();
        let v6 = Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, number);
        [IpAddr::from(Ipv4Addr::new(240, 240, high, low)), IpAddr::from(v6)]
    });
    pairs.into_iter().find(|pair| !pair.iter().any(&taken))
}

/// FNV-1a, which is the same in every release and on every machine.
fn hash(texts: &[&str]) -> u64 {
    let bytes = texts.iter().flat_map(|text| text.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Gives what to merge into an entry (JSON merge patch of its subresource `status`) that is to have these addresses.
#[must_use]
pub fn patch(addresses: &[StatusAddress]) -> Value {
    let address = |address: &StatusAddress| match &address.host {
        Some(host) => json!({"value": address.ip.to_string(), "host": **host}),
        None => json!({"value": address.ip.to_string()}),
    };
    json!({"status": {"addresses": addresses.iter().map(address).collect::<Vec<_>>()}})
}
