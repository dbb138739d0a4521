//! Values by block of addresses.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::address::NetworkBlock;

/// Values by block of addresses. A lookup costs one hash access per prefix length in use.
#[derive(Debug, Clone)]
pub(super) struct Blocks<T> {
    by_block: HashMap<IpNet, Vec<(Arc<str>, T)>>,
    lengths: BTreeSet<u8>,
}

impl<T> Blocks<T> {
    pub(super) fn insert(&mut self, block: &NetworkBlock, value: T) {
        let net = block.block.trunc();
        self.lengths.insert(net.prefix_len());
        self.by_block.entry(net).or_default().push((block.network.clone(), value));
    }

    /// Gives the values of all blocks of `network` that contain `ip`, with the prefix length of each.
    pub(super) fn containing(&self, network: &str, ip: IpAddr) -> impl Iterator<Item = (u8, &T)> {
        let around = self.lengths.iter().filter_map(move |&length| IpNet::new(ip, length).ok());
        let found = around.filter_map(|net| self.by_block.get(&net.trunc()).map(|values| (net, values)));
        found.flat_map(move |(net, values)| {
            let here = values.iter().filter(move |(of, _)| &**of == network);
            here.map(move |(_, value)| (net.prefix_len(), value))
        })
    }
}

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Self { by_block: HashMap::new(), lengths: BTreeSet::new() }
    }
}
