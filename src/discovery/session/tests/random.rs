//! Random steps, next to a model that is too simple to be wrong.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;

/// A random change among few names, so that things come back under their old names.
fn random_change(random: &mut StdRng) -> Change {
    let number = random.random_range(0..8);
    let revision = ["", "new", "newer"][random.random_range(0..3)];
    match random.random_range(0..6) {
        0 => gone(&format!("w{number}")),
        1 => gone(&format!("ns/s{number}")),
        2 => service(number, revision),
        3 => policy(number, random.random()),
        4 => Change::Remove(POLICIES, format!("ns/p{number}").into()),
        _ => {
            let node = ["a", "b"][random.random_range(0..2)];
            let services: Vec<u8> = (0..8).filter(|_| random.random_range(0..4) == 0).collect();
            workload(number, revision, node, &services)
        }
    }
}

fn random_changes(random: &mut StdRng, catalog: &mut Catalog) {
    let count = random.random_range(1..4);
    catalog.apply((0..count).map(|_| random_change(random)).collect::<Vec<_>>());
}

#[test]
fn a_client_with_everything_ends_up_with_what_there_is() {
    for seed in 0..200 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut catalog = Catalog::default();
        random_changes(&mut random, &mut catalog);
        let mut client = Client::wildcard(&catalog);
        for _ in 0..60 {
            match random.random_range(0..10) {
                0 => client.reconnect(&catalog, true),
                1..5 => {
                    client.receive(&catalog, random.random_range(0..3));
                }
                _ => random_changes(&mut random, &mut catalog),
            }
        }
        let generation = client.session.generation();
        client.receive(&catalog, usize::MAX);
        assert!(client.session.generation() >= generation && !client.session.is_pending());
        for of in [ADDRESSES, POLICIES] {
            assert_eq!(client.has.remove(&of).unwrap_or_default(), all(&catalog, of), "seed {seed}");
        }
    }
}

#[test]
fn a_client_on_demand_ends_up_with_what_it_wants_and_nothing_old() {
    for seed in 0..200 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut catalog = Catalog::default();
        random_changes(&mut random, &mut catalog);
        let mut client = Client::on_demand(&catalog);
        let mut keys = BTreeSet::new();
        for _ in 0..60 {
            match random.random_range(0..10) {
                0..3 => {
                    let number: u8 = random.random_range(0..8);
                    let key = match random.random_range(0..4) {
                        0 => format!("w{number}"),
                        1 => format!("ns/s{number}"),
                        kind => format!("/{}", ip(kind - 2, number)),
                    };
                    client.send(&catalog, ADDRESSES, &[&key], &[]);
                    keys.insert(key);
                }
                3..5 => {
                    client.receive(&catalog, random.random_range(0..3));
                }
                _ => random_changes(&mut random, &mut catalog),
            }
        }
        client.receive(&catalog, usize::MAX);
        let (has, there) = (client.has.remove(&ADDRESSES).unwrap_or_default(), all(&catalog, ADDRESSES));
        for (name, version) in &has {
            assert_eq!(there.get(name), Some(version), "seed {seed}: {name} is old");
        }
        for name in wanted(&catalog, &keys) {
            assert!(has.contains_key(&*name), "seed {seed}: {name} is wanted, keys {keys:?}");
        }
    }
}

/// What somebody on node `a` who named these keys wants, looked up one by one.
fn wanted(catalog: &Catalog, keys: &BTreeSet<String>) -> BTreeSet<Arc<str>> {
    let is_named =
        |entry: &Entry| keys.contains(&*entry.name) || entry.aliases.iter().any(|it| keys.contains(&**it));
    let named: Vec<_> =
        catalog.all(ADDRESSES).map(|(_, entry)| entry).filter(|entry| is_named(entry)).collect();
    let comes_along = |entry: &Entry| {
        let Some(place) = entry.place() else { return false };
        &*place.node == "a" || named.iter().any(|service| place.services.contains(&service.name))
    };
    let all = catalog.all(ADDRESSES).map(|(_, entry)| entry);
    all.filter(|it| is_named(it) || comes_along(it)).map(|it| it.name.clone()).collect()
}
