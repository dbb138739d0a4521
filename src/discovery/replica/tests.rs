//! The replica under random steps, next to a model that writes down every name with its version.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use culvert_core::service::Service;
use culvert_core::workload::{Template, Workload};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::catalog::Change;
use crate::push::Aliases;

use super::*;

const ADDRESSES: Collection = Collection::Addresses;

/// What a client has and may be behind with, name by name.
#[derive(Default)]
struct Model {
    held: BTreeMap<String, Option<Version>>,
    doubted: BTreeSet<String>,
}

/// What is told: resources of both ranks, and removals.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told([BTreeSet<String>; 3]);

impl Model {
    fn doubt(&mut self, catalog: &Catalog, name: &str) {
        let there = catalog.find(ADDRESSES, name).map(|entry| Some(entry.version));
        if self.held.get(name) == there.as_ref() {
            self.doubted.remove(name);
        } else {
            self.doubted.insert(name.to_owned());
        }
    }

    fn claim(&mut self, catalog: &Catalog, name: &str, version: Option<Version>) {
        self.held.entry(name.to_owned()).or_insert(version);
        self.doubt(catalog, name);
    }

    fn ask(&mut self, catalog: &Catalog, name: &str) {
        self.held.insert(name.to_owned(), None);
        self.doubt(catalog, name);
    }

    fn forget(&mut self, name: &str) {
        if !self.doubted.contains(name) {
            self.held.remove(name);
        }
    }

    fn tell(&mut self, catalog: &Catalog, removals: Removals) -> Told {
        let mut told = Told::default();
        for name in std::mem::take(&mut self.doubted) {
            match (catalog.find(ADDRESSES, &name), self.held.get(&name)) {
                (Some(entry), held) if held != Some(&Some(entry.version)) => {
                    self.held.insert(name.clone(), Some(entry.version));
                    told.0[rank(entry)].insert(name);
                }
                (None, Some(_)) if removals == Removals::Included => {
                    self.held.remove(&name);
                    told.0[2].insert(name);
                }
                (None, Some(_)) => {
                    self.doubted.insert(name);
                }
                (Some(_) | None, _) => {}
            }
        }
        told
    }
}

/// Both, and what they are told about.
struct Pair {
    random: StdRng,
    catalog: Catalog,
    moment: crate::catalog::Moment,
    replica: Replica,
    model: Model,
    /// What the client wants, or all of it.
    wanted: Option<BTreeSet<String>>,
}

/// Names of workloads and services; some are either, one after the other.
fn name(number: u32) -> String {
    format!("ns/{number}")
}

fn put(number: u32, revision: u32, service: bool) -> Change {
    let entry = if service {
        let name = format!("{revision}").into();
        Entry::service(&Service {
            name,
            namespace: "ns".into(),
            hostname: number.to_string().into(),
            ..Service::default()
        })
    } else {
        let template = Template { canonical_revision: revision.to_string().into(), ..Template::default() };
        let addresses = [Ipv4Addr::from(number).into()].into_iter().collect();
        Entry::workload(&Workload {
            uid: name(number).into(),
            addresses,
            template: template.into(),
            ..Workload::default()
        })
    };
    Change::Put(entry.into())
}

impl Pair {
    fn new(seed: u64, wants: Option<u32>) -> Self {
        let catalog = Catalog::default();
        let moment = catalog.moment().clone();
        let wanted = wants.map(|count| (0..count).map(name).collect());
        let replica = Replica::new(ADDRESSES);
        Self {
            random: StdRng::seed_from_u64(seed),
            catalog,
            moment,
            replica,
            model: Model::default(),
            wanted,
        }
    }

    fn change(&mut self, names: u32, most: u32) {
        let count = self.random.random_range(1..=most);
        let random = &mut self.random;
        let changes: Vec<_> = (0..count)
            .map(|_| {
                let number = random.random_range(0..names);
                match random.random_range(0..3) {
                    0 => Change::Remove(ADDRESSES, name(number).into()),
                    _ => put(number, random.random_range(0..3), random.random_range(0..4) == 0),
                }
            })
            .collect();
        self.catalog.apply(changes);
    }

    /// Takes note of all that has changed.
    fn follow(&mut self) {
        let before = std::mem::replace(&mut self.moment, self.catalog.moment().clone());
        before.later().for_each(|touched| self.replica.note(touched));
        for touched in before.later() {
            let wanted = self.wanted.as_ref().is_none_or(|wanted| wanted.contains(&*touched.name));
            let held = self.replica.has(&self.catalog, &touched.name);
            assert_eq!(held, self.model.held.contains_key(&*touched.name), "{}", touched.name);
            if wanted || held {
                self.replica.doubt(&self.catalog, &touched.name);
                self.model.doubt(&self.catalog, &touched.name);
            }
        }
    }

    fn tell(&mut self, removals: Removals) -> [Told; 2] {
        let mut told = Told::default();
        loop {
            let mut push = Push::new(Aliases::LeftOut);
            self.replica.fill(&self.catalog, &mut push, removals);
            if push.is_empty() {
                break;
            }
            let response = push.into_response(ADDRESSES, String::new());
            for resource in response.resources {
                let entry = self.catalog.find(ADDRESSES, &resource.name).expect("what is told is there");
                assert_eq!(resource.version, entry.version.to_string());
                assert!(told.0[rank(entry)].insert(resource.name), "told twice");
            }
            told.0[2].extend(response.removed_resources);
        }
        [told, self.model.tell(&self.catalog, removals)]
    }

    /// Something a client does, or time that passes.
    fn step(&mut self, names: u32, most: u32) {
        let number = self.random.random_range(0..names);
        let (name, random) = (name(number), &mut self.random);
        match random.random_range(0..8) {
            0 => {
                let versions = [0, 1, 2].map(|revision| version(&put(number, revision, false)));
                let version = versions.choose(random).copied().filter(|_| random.random());
                self.follow();
                self.replica.claim(&self.catalog, &name, version);
                self.model.claim(&self.catalog, &name, version);
            }
            1 => {
                self.follow();
                self.replica.ask(&self.catalog, &name.as_str().into());
                self.model.ask(&self.catalog, &name);
            }
            2 if self.wanted.is_some() => {
                self.follow();
                self.replica.forget(&self.catalog, &name);
                self.model.forget(&name);
            }
            3 => self.follow(),
            _ => self.change(names, most),
        }
    }
}

fn version(change: &Change) -> Version {
    match change {
        Change::Put(entry) => entry.version,
        Change::Remove(..) => unreachable!("it is put"),
    }
}

#[test]
fn what_is_told_is_what_a_table_of_all_names_would_tell() {
    for seed in 0..600 {
        let mut pair = Pair::new(seed, [None, Some(4), Some(0)][seed as usize % 3]);
        for step in 0..120 {
            pair.step(9, 4);
            if pair.random.random_range(0..5) == 0 {
                pair.follow();
                let removals = [Removals::Included, Removals::Later][pair.random.random_range(0..2)];
                let [told, model] = pair.tell(removals);
                assert_eq!(told, model, "seed {seed}, step {step}");
                assert_eq!(pair.replica.len(), pair.model.held.len(), "seed {seed}, step {step}");
            }
        }
        pair.follow();
        let [told, model] = pair.tell(Removals::Included);
        assert_eq!(told, model, "seed {seed}");
        assert!(!pair.replica.may_change());
    }
}

#[test]
fn who_is_far_behind_is_told_all_and_at_worst_something_again() {
    const NAMES: u32 = 3000;
    for seed in 0..3 {
        let mut pair = Pair::new(seed, None);
        for _ in 0..6 {
            for _ in 0..4 {
                pair.change(NAMES, 4 * NAMES);
            }
            if pair.random.random() {
                pair.follow();
            }
            pair.follow();
            let before = pair.model.held.clone();
            let [told, model] = pair.tell(Removals::Included);
            for (told, model) in told.0.iter().zip(&model.0) {
                assert!(told.is_superset(model), "seed {seed}");
                assert!(told.difference(model).all(|name| before.contains_key(name)), "seed {seed}");
            }
            assert_eq!(told.0[2], model.0[2], "seed {seed}");
            assert_eq!(pair.replica.len(), pair.model.held.len(), "seed {seed}");
            assert!(!pair.replica.may_change());
        }
    }
}

#[test]
fn who_has_everything_costs_a_bit_for_each() {
    let mut pair = Pair::new(1, None);
    pair.catalog.apply((0..3000).map(|number| put(number, 0, false)));
    pair.follow();
    let _ = pair.tell(Removals::Included);
    let Replica { current, outdated, versions, stale, gone, .. } = &pair.replica;
    assert_eq!(current.len(), 3000);
    assert!(outdated.is_empty() && versions.is_empty() && gone.is_empty());
    assert!(stale.iter().all(Slots::is_empty));
}
