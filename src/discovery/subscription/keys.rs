//! What one client names: names of resources and addresses, as it writes them.
//!
//! In go keys; out comes whether one is among them, and which are addresses in a block. What a key stands for is the catalog's to say.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use culvert_core::address::{NetworkAddress, NetworkBlock};

/// Keys.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    all: HashSet<Arc<str>>,
    /// Those that are addresses, so that the ones in a block lie together. One address can be written in several ways.
    addresses: BTreeSet<(NetworkAddress, Arc<str>)>,
}

impl Keys {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        self.all.contains(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<str>> {
        self.all.iter()
    }

    pub(crate) fn insert(&mut self, key: Arc<str>) {
        if let Ok(address) = key.parse() {
            self.addresses.insert((address, key.clone()));
        }
        self.all.insert(key);
    }

    pub(crate) fn remove(&mut self, key: &str) {
        let Some(key) = self.all.take(key) else { return };
        if let Ok(address) = key.parse() {
            self.addresses.remove(&(address, key));
        }
    }

    /// Those that are addresses in a block. Costs what it gives.
    pub(crate) fn inside(&self, block: NetworkBlock) -> impl Iterator<Item = &Arc<str>> {
        let first = NetworkAddress { network: block.network.clone(), ip: block.block.network() };
        let from_there_on = self.addresses.range((first, "".into())..);
        let is_inside = move |address: &NetworkAddress| {
            address.network == block.network && block.block.contains(&address.ip)
        };
        from_there_on.take_while(move |(address, _)| is_inside(address)).map(|(_, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(keys: &Keys, network: &str, block: &str, expected: &[&str]) {
        let block = NetworkBlock { network: network.into(), block: block.parse().unwrap() };
        let inside: Vec<_> = keys.inside(block.clone()).map(|key| &**key).collect();
        assert_eq!(inside, expected, "{block}");
    }

    #[test]
    fn the_addresses_of_a_block_lie_together() {
        let mut keys = Keys::default();
        let asked =
            ["/10.1.255.255", "/10.2.0.0", "/10.2.0.255", "/10.2.1.0", "/::ffff:10.2.0.9", "west/10.2.0.7"];
        let others = ["/fd00::1", "/fd00::0001", "ns/10.2.0.7.test", "/10.2.0.0/24", "w//ns/1", ""];
        asked.into_iter().chain(others).for_each(|key| keys.insert(key.into()));
        check(&keys, "", "10.2.0.0/24", &["/10.2.0.0", "/::ffff:10.2.0.9", "/10.2.0.255"]);
        check(&keys, "west", "10.2.0.0/24", &["west/10.2.0.7"]);
        check(&keys, "east", "10.2.0.0/24", &[]);
        check(&keys, "", "10.2.1.0/32", &["/10.2.1.0"]);
        check(&keys, "", "10.3.0.0/16", &[]);
        check(&keys, "", "fd00::/16", &["/fd00::0001", "/fd00::1"]);
        keys.remove("/fd00::1");
        check(&keys, "", "fd00::/16", &["/fd00::0001"]);
        keys.remove("/10.2.0.0");
        keys.remove("nobody's");
        check(&keys, "", "10.2.0.0/24", &["/::ffff:10.2.0.9", "/10.2.0.255"]);
        assert_eq!((keys.len(), keys.iter().count(), keys.is_empty()), (10, 10, false));
    }
}
