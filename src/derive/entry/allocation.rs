//! Addresses for hosts that have none, where nobody else allocates them.
//!
//! Goes in: all `ServiceEntries`, in any order. Comes out: what is to be written into the status of which, and for whom there is no room.
//! An address is used by nobody before it is in the status, so that only that has to be agreed upon: whoever writes it says what it is,
//! and whoever restarts finds it there. An entry that goes lets its addresses go. Deliberately absent: writing, and whether to (with
//! Istio in the cluster, Istio does).
//!
//! **Invariant:** what is to be written follows from the objects, not from the order in which they came.
//! **Invariant:** an address in a status stays. Only of two entries with one address the younger gets others; in the ranges of
//! automatic addresses that is so as well if it is written in the spec of one. What nobody may see holds none.

mod room;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::{Condition, Key, Kind};

use super::service_entry::{ServiceEntry, StatusAddress, allocated};
use room::Room;

/// Whether each host has an address that wants one.
pub const GIVEN: &str = "culvert.dev/AddressesGiven";

/// Which addresses are taken, and who is without.
#[derive(Debug, Default)]
pub struct Allocation {
    entries: HashMap<Key, Entry>,
    /// Who says that an address is theirs, first whose it is.
    holders: HashMap<IpAddr, BTreeSet<Holder>>,
    /// Who is without, the oldest first.
    waiting: BTreeSet<Age>,
}

/// What is to become of those without.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// What is to be written.
    pub allotments: Vec<Allotment>,
    /// Entries with a host for which there is no room, with their generation, and what is to be said of them.
    pub lacking: BTreeMap<Key, (i64, Condition)>,
}

/// What is to be written into the status of an entry: all of its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allotment {
    /// The entry.
    pub key: Key,
    /// Its addresses.
    pub addresses: Vec<StatusAddress>,
    /// What it follows from: how often what is wanted of the entry has changed, and the addresses its status says.
    found: (i64, Vec<StatusAddress>),
}

impl Allotment {
    /// Gives what to merge into the subresource `status` of the entry, as the API server has it; nothing when it is another one by now:
    /// what is to become of that follows when it is heard of. Who writes meanwhile makes the API server refuse the change.
    #[must_use]
    pub fn patch(&self, object: &Value) -> Option<Value> {
        let metadata = &object["metadata"];
        let generation = metadata["generation"].as_i64().unwrap_or_default();
        let is_known = self.found.0 == generation && self.found.1 == allocated(object);
        let mut patch = patch(&self.addresses);
        patch["metadata"] = json!({"resourceVersion": metadata["resourceVersion"]});
        is_known.then_some(patch)
    }
}

/// Who comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Age {
    undated: bool,
    created: Option<Arc<str>>,
    key: Key,
}

/// By what right an address is an entry's, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Right {
    /// It is written, and outside of our ranges: whose it is out there was not decided here.
    Written,
    /// By age alone.
    Age,
}

/// A host of an entry; all of its hosts, if the name is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Holder {
    right: Right,
    age: Age,
    host: Arc<str>,
}

#[derive(Debug)]
struct Entry {
    age: Age,
    held: Held,
    /// The hosts that want an address.
    hosts: Vec<Arc<str>>,
    /// As in [`Allotment`].
    found: (i64, Vec<StatusAddress>),
}

/// The addresses of hosts; under an empty name those of all hosts.
type Held = BTreeMap<Arc<str>, Vec<IpAddr>>;

impl Allocation {
    /// Takes note of an entry, new or changed. Gives others that have lost an address by that, or come to have it.
    pub fn insert(&mut self, entry: &ServiceEntry) -> BTreeSet<Key> {
        let key = entry.meta.key(Kind::ServiceEntry);
        let mut moved = self.remove(&key);
        let noted = Entry::of(entry, key.clone());
        if noted.hosts.is_empty() && noted.held.is_empty() {
            return moved;
        }
        let mut touched = BTreeSet::from([key.clone()]);
        for (holder, ip) in noted.holders() {
            let holders = self.holders.entry(ip).or_default();
            touched.extend(holders.iter().map(|other| other.age.key.clone()));
            moved.extend(holders.first().filter(|first| holder < **first).map(|first| first.age.key.clone()));
            holders.insert(holder);
        }
        self.entries.insert(key, noted);
        self.settle(&touched);
        moved
    }

    /// Takes note that an entry is gone. Gives others that come to have an address by that.
    pub fn remove(&mut self, key: &Key) -> BTreeSet<Key> {
        let (mut touched, mut moved) = (BTreeSet::new(), BTreeSet::new());
        let Some(entry) = self.entries.remove(key) else { return moved };
        self.waiting.remove(&entry.age);
        for (holder, ip) in entry.holders() {
            let Some(holders) = self.holders.get_mut(&ip) else { continue };
            let was_first = holders.first() == Some(&holder);
            holders.remove(&holder);
            moved.extend(holders.first().filter(|_| was_first).map(|first| first.age.key.clone()));
            touched.extend(holders.iter().map(|other| other.age.key.clone()));
            if holders.is_empty() {
                self.holders.remove(&ip);
            }
        }
        self.settle(&touched);
        moved
    }

    /// Gives the automatic addresses that are written in an entry and are an older one's. What nobody may see wants none.
    #[must_use]
    pub fn taken(&self, entry: &ServiceEntry) -> BTreeSet<IpAddr> {
        let key = entry.meta.key(Kind::ServiceEntry);
        let is_anothers = |ip: &IpAddr| {
            let first = self.holders.get(ip).and_then(BTreeSet::first);
            first.is_some_and(|first| first.age.key != key)
        };
        written(entry).filter(|ip| entry.visibility.is_some() && room::holds(ip) && is_anothers(ip)).collect()
    }

    /// Gives what is to be written, for every entry that is without an address for one of its hosts; again and again, until its
    /// status says so. What finds no room gets nothing.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        let (mut wanted, mut room) = (Wanted::default(), Room::default());
        for entry in self.waiting.iter().filter_map(|age| self.entries.get(&age.key)) {
            let (addresses, lacking) = self.allot(entry, &mut room);
            let key = entry.age.key.clone();
            if let Some(first) = lacking.first() {
                let condition = no_room(first, lacking.len());
                wanted.lacking.insert(key.clone(), (entry.found.0, condition));
            }
            if !entry.says(&addresses) {
                wanted.allotments.push(Allotment { key, addresses, found: entry.found.clone() });
            }
        }
        wanted
    }

    /// Counts the entries that are without an address for one of their hosts.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Gives the addresses an entry is to have, and the hosts for which there is no room.
    fn allot<'e>(&self, entry: &'e Entry, room: &mut Room) -> (Vec<StatusAddress>, Vec<&'e Arc<str>>) {
        let (mut addresses, mut lacking) = (BTreeSet::new(), Vec::new());
        for host in &entry.hosts {
            let kept = self.kept(entry, host);
            if kept.is_empty() {
                match room.take(&entry.age.key, host, |ip| self.holders.contains_key(ip)) {
                    Some(pair) => {
                        addresses.extend(pair.map(|ip| StatusAddress { ip, host: Some(host.clone()) }));
                    }
                    None => lacking.push(host),
                }
            }
            addresses.extend(kept);
        }
        (addresses.into_iter().collect(), lacking)
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
            let all = entry.held.get(&name).map(Vec::as_slice).unwrap_or_default();
            let kept = if all.iter().all(|&ip| self.owns(&entry.holder(&name, ip), ip)) { all } else { &[] };
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
        let mut held = Held::new();
        for ip in written(entry).filter(|_| entry.visibility.is_some()) {
            held.entry(Arc::default()).or_default().push(ip);
        }
        for StatusAddress { ip, host } in &entry.allocated {
            let counts = host.as_ref().map_or(!hosts.is_empty(), |host| hosts.contains(host));
            if counts {
                held.entry(host.clone().unwrap_or_default()).or_default().push(*ip);
            }
        }
        let created = entry.meta.creation_timestamp.clone();
        let age = Age { undated: created.is_none(), created, key };
        Self { age, held, hosts, found: (entry.meta.generation, entry.allocated.clone()) }
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
        self.held.iter().flat_map(|(host, ips)| ips.iter().map(|&ip| (self.holder(host, ip), ip)))
    }

    /// What has hosts that want an address has none written.
    fn holder(&self, host: &Arc<str>, ip: IpAddr) -> Holder {
        let is_written_elsewhere = self.hosts.is_empty() && !room::holds(&ip);
        let right = if is_written_elsewhere { Right::Written } else { Right::Age };
        Holder { right, age: self.age.clone(), host: host.clone() }
    }
}

/// The single addresses written in the spec of an entry.
fn written(entry: &ServiceEntry) -> impl Iterator<Item = IpAddr> {
    let singles = entry.addresses.iter().filter(|block| block.prefix_len() == block.max_prefix_len());
    singles.map(|block| block.addr())
}

fn no_room(first: &str, hosts: usize) -> Condition {
    let message = format!(
        "no address is left in 240.240.0.0/16 and 2001:2::/48 for {hosts} of its hosts, {first} first of all: write some into spec.addresses, or remove entries nobody needs"
    );
    Condition { kind: GIVEN, holds: false, reason: "NoneLeft", message }
}

/// Gives what to merge into an entry that is to have these addresses.
pub(super) fn patch(addresses: &[StatusAddress]) -> Value {
    let address = |address: &StatusAddress| match &address.host {
        Some(host) => json!({"value": address.ip.to_string(), "host": **host}),
        None => json!({"value": address.ip.to_string()}),
    };
    json!({"status": {"addresses": addresses.iter().map(address).collect::<Vec<_>>()}})
}
