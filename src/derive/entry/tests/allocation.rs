//! Addresses for those without.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::Kind;
use crate::entry::allocation::patch;

use super::*;

mod age;

/// An entry as a cluster has it: made at a time, with the addresses its status says.
#[derive(Debug, Clone)]
struct Written {
    name: String,
    made: u32,
    spec: Value,
    status: Vec<StatusAddress>,
}

impl Written {
    fn new(name: &str, made: u32, spec: Value) -> Self {
        Self { name: name.into(), made, spec, status: Vec::new() }
    }

    fn plain(name: &str, made: u32) -> Self {
        Self::new(name, made, json!({"hosts": [format!("{name}.example")], "resolution": "DNS"}))
    }

    fn holding(mut self, ip: &str) -> Self {
        let host = format!("{}.example", self.name);
        self.status.push(StatusAddress { ip: ip.parse().unwrap(), host: Some(host.into()) });
        self
    }

    fn read(&self) -> ServiceEntry {
        let mut meta = meta(&self.name, &[], &[]);
        meta.creation_timestamp = Some(format!("2026-01-01T00:00:{:02}Z", self.made).into());
        let mut object = patch(&self.status);
        object["spec"] = self.spec.clone();
        ServiceEntry::read(meta, &object)
    }
}

fn fresh(all: &[Written]) -> Allocation {
    let mut allocation = Allocation::default();
    for written in all {
        allocation.insert(&written.read());
    }
    allocation
}

fn wanted(all: &[Written]) -> Vec<Allotment> {
    fresh(all).wanted().allotments
}

/// Who finds no room.
fn lacking(all: &[Written]) -> Vec<(String, String)> {
    let found = fresh(all).wanted().lacking;
    found.into_iter().map(|(key, (_, condition))| (key.name.to_string(), condition.message)).collect()
}

/// Writes what is wanted, as a cluster would have it; gives how many entries that were.
fn write(all: &mut [Written]) -> usize {
    let allotments = wanted(all);
    for Allotment { key, addresses, .. } in &allotments {
        all.iter_mut().find(|written| *written.name == *key.name).unwrap().status = addresses.clone();
    }
    allotments.len()
}

fn names(allotments: &[Allotment]) -> Vec<&str> {
    allotments.iter().map(|it| &*it.key.name).collect()
}

#[test]
fn every_host_without_an_address_gets_one_of_each_family_and_then_there_is_nothing_to_write() {
    let hosts = json!({"hosts": ["a.b", "c.d"], "resolution": "STATIC"});
    let mut all = [
        Written::new("two", 1, hosts),
        Written::plain("one", 2),
        Written::new("none", 3, json!({"hosts": ["x.y"], "resolution": "NONE"})),
        Written::new("written", 4, json!({"hosts": ["x.y"], "resolution": "DNS", "addresses": ["10.0.0.1"]})),
    ];
    assert_eq!(names(&wanted(&all)), ["two", "one"]);
    write(&mut all);
    let given: Vec<IpAddr> = all.iter().flat_map(|it| it.status.iter().map(|it| it.ip)).collect();
    assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), 6, "{given:?}");
    for (ip, range) in [(true, "240.240.0.0/16"), (false, "2001:2::/48")] {
        let range: ipnet::IpNet = range.parse().unwrap();
        assert_eq!(given.iter().filter(|it| it.is_ipv4() == ip && range.contains(*it)).count(), 3);
    }
    assert_eq!(wanted(&all), []);
    let entry = all[0].read();
    for host in ["a.b", "c.d"] {
        assert_eq!(entry.allocated.iter().filter(|it| it.host.as_deref() == Some(host)).count(), 2);
    }
}

#[test]
fn where_a_host_belongs_is_the_same_in_every_release() {
    let mut all = [Written::plain("api", 1)];
    write(&mut all);
    let texts: Vec<String> = all[0].status.iter().map(|it| it.ip.to_string()).collect();
    assert_eq!(texts, ["240.240.130.198", "2001:2::82c6"]);
}

#[test]
fn an_address_in_use_is_given_to_nobody_else_whoever_says_it() {
    let mut alone = [Written::plain("api", 5)];
    write(&mut alone);
    let first = alone[0].status[0].ip;
    let takers = [
        Written::plain("other", 9).holding(&first.to_string()),
        Written::new("other", 9, json!({"hosts": ["x.y"], "addresses": [first.to_string()]})),
    ];
    for taker in takers {
        let mut all = [Written::plain("api", 5), taker];
        write(&mut all);
        assert_eq!(all[0].status.len(), 2);
        assert!(!all[0].status.iter().any(|it| it.ip == first), "{:?}", all[0].status);
    }
}

#[test]
fn of_two_with_one_address_the_younger_gets_others() {
    let all = [
        Written::plain("young", 7).holding("240.240.1.1").holding("2001:2::1"),
        Written::plain("old", 3).holding("240.240.1.1"),
    ];
    // What is its own does not stay alone: it has one of each family, or new ones.
    let others = wanted(&all);
    assert_eq!(names(&others), ["young"]);
    assert_eq!(others[0].addresses.len(), 2);
    assert!(!others[0].addresses.iter().any(|it| it.ip.to_string() == "2001:2::1"), "{others:?}");
    let mut all =
        [Written::plain("young", 7).holding("240.240.1.1"), Written::plain("old", 3).holding("240.240.1.1")];
    assert_eq!(names(&wanted(&all)), ["young"]);
    assert_eq!(write(&mut all), 1);
    assert!(!all[0].status.iter().any(|it| it.ip == all[1].status[0].ip));
    assert_eq!(wanted(&all), []);
}

#[test]
fn an_address_for_no_host_in_particular_is_for_all() {
    let mut all = [Written::new("two", 1, json!({"hosts": ["a.b", "c.d"], "resolution": "DNS"}))];
    all[0].status = vec![StatusAddress { ip: "240.240.3.3".parse().unwrap(), host: None }];
    assert_eq!(wanted(&all), []);
    // What one host has lost to somebody older is taken out, though there is still an address for all of them.
    all[0].status.push(StatusAddress { ip: "240.240.4.4".parse().unwrap(), host: Some("a.b".into()) });
    assert_eq!(wanted(&all), []);
    let all = [all[0].clone(), Written::plain("older", 0).holding("240.240.4.4")];
    let found = wanted(&all);
    assert_eq!(names(&found), ["two"]);
    assert_eq!(found[0].addresses, all[0].status[..1]);
}

#[test]
fn many_that_come_at_once_get_an_address_each() {
    let entry = |nth: u32| {
        let hosts: Vec<String> = (0..256).map(|host| format!("h{nth}-{host}.example")).collect();
        Written::new(&format!("e{nth}"), nth, json!({"hosts": hosts, "resolution": "DNS"}))
    };
    let found = wanted(&(0..8).map(entry).collect::<Vec<_>>());
    let all: BTreeSet<IpAddr> = found.iter().flat_map(|it| it.addresses.iter().map(|it| it.ip)).collect();
    assert_eq!(all.len(), 2 * 8 * 256);
}

/// Compares what has seen all changes with what sees only their end, in another order; and what has been given stays.
#[test]
fn what_is_wanted_follows_from_the_entries_and_not_from_how_they_came() {
    let mut dice = SmallRng::seed_from_u64(7);
    let mut allocation = Allocation::default();
    let mut all: Vec<Written> = Vec::new();
    // Few addresses, so that many want the same one.
    let ip = |dice: &mut SmallRng| format!("240.240.9.{}", dice.random_range(1..6));
    let mut conflicts = 0;
    for step in 0..1000 {
        let name = format!("e{}", dice.random_range(0..12));
        match dice.random_range(0..4) {
            0 => {
                all.retain(|it| it.name != name);
                allocation.remove(&meta(&name, &[], &[]).key(Kind::ServiceEntry));
            }
            kind => {
                let mut written = Written::plain(&name, dice.random_range(0..4));
                if kind > 1 {
                    written = written.holding(&ip(&mut dice));
                }
                if kind > 2 {
                    written.spec["addresses"] = json!([ip(&mut dice)]);
                }
                allocation.insert(&written.read());
                all.retain(|it| it.name != name);
                all.push(written);
            }
        }
        all.shuffle(&mut dice);
        let fresh = fresh(&all);
        assert_eq!(allocation.wanted(), fresh.wanted(), "step {step}");
        assert_eq!(allocation.waiting(), fresh.waiting(), "step {step}");
        let mut settled = all.clone();
        if write(&mut settled) > 0 {
            conflicts += 1;
            assert_eq!(wanted(&settled), [], "step {step}");
        }
    }
    assert!(conflicts > 300, "{conflicts}");
    for written in &all {
        allocation.remove(&written.read().meta.key(Kind::ServiceEntry));
    }
    assert_eq!(format!("{allocation:?}"), format!("{:?}", Allocation::default()), "nothing is left behind");
}

#[test]
fn the_last_address_is_found_and_who_finds_none_gets_nothing() {
    // Every number but that of a network, and of all in it, is held by somebody.
    let holding = |nth: u8| {
        let name = format!("e{nth}");
        let mut written = Written::new(&name, 1, json!({"hosts": ["a.example"], "resolution": "DNS"}));
        let numbers = (0..=u8::MAX).filter(|low| !matches!((nth, low), (0, 0) | (255, 255)));
        let ips = numbers.map(|low| IpAddr::from([240, 240, nth, low]));
        written.status = ips.map(|ip| StatusAddress { ip, host: None }).collect();
        written
    };
    let mut all: Vec<Written> = (0..=u8::MAX).map(holding).chain([Written::plain("late", 2)]).collect();
    assert_eq!(wanted(&all), []);
    assert_eq!(lacking(&all).len(), 1);
    let last = all[77].status.remove(7).ip;
    assert_eq!(write(&mut all), 1);
    assert_eq!(all[256].status[0].ip, last);
    assert_eq!(lacking(&all), []);
    // Who is without one of two is not written about for ever.
    all[256].spec["hosts"] = json!(["late.example", "later.example"]);
    assert_eq!(wanted(&all), []);
    let [(_, message)] = &lacking(&all)[..] else { panic!("{:?}", lacking(&all)) };
    assert!(message.contains("for 1 of its hosts, later.example first of all"), "{message}");
    // Where one goes, there is room for another.
    all.remove(200);
    assert_eq!((write(&mut all), lacking(&all)), (1, Vec::new()));
    assert_eq!(all[255].status.len(), 4);
}

#[test]
fn what_is_written_fits_what_is_known_or_is_not_written() {
    let mut all = [Written::plain("api", 1)];
    let found = wanted(&all);
    let object = |generation: i64, status: &[StatusAddress]| {
        let mut object = patch(status);
        object["metadata"] = json!({"generation": generation, "resourceVersion": "7"});
        object
    };
    let patched = found[0].patch(&object(0, &[])).unwrap();
    assert_eq!(patched["metadata"], json!({"resourceVersion": "7"}), "who was faster is not written over");
    assert_eq!(found[0].patch(&object(1, &[])), None, "it was changed");
    write(&mut all);
    assert_eq!(patched["status"], patch(&all[0].status)["status"]);
    assert_eq!(found[0].patch(&object(0, &all[0].status)), None, "somebody has written it");
}
