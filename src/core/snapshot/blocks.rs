//! Services by block of addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::index::{Index, Keyed};
use super::services::Listing;

/// Services by block. A lookup costs one access per prefix length in use.
#[derive(Debug, Clone, Default)]
pub(crate) struct Blocks {
    by_block: Index<Block>,
    /// How many blocks have each prefix length.
    lengths: Arc<BTreeMap<u8, usize>>,
}

/// One of the blocks of a service.
#[derive(Debug, Clone)]
struct Block {
    net: IpNet,
    listing: Arc<Listing>,
    network: Arc<str>,
}

impl Keyed for Block {
    type Key = IpNet;

    fn key(&self) -> &IpNet {
        &self.net
    }
}

impl Blocks {
    pub(crate) fn insert(&mut self, listing: &Arc<Listing>) {
        for block in &listing.service.cidr_vips {
            let (net, network) = (block.block.trunc(), block.network.clone());
            *Arc::make_mut(&mut self.lengths).entry(net.prefix_len()).or_default() += 1;
            self.by_block.insert(Block { net, network, listing: listing.clone() });
        }
    }

    pub(crate) fn remove(&mut self, listing: &Arc<Listing>) {
        for block in &listing.service.cidr_vips {
            let net = block.block.trunc();
            let is = |it: &Block| Arc::ptr_eq(&it.listing, listing) && it.network == block.network;
            if self.by_block.remove(&net, is).is_some() {
                self.forget_length(net.prefix_len());
            }
        }
    }

    fn forget_length(&mut self, length: u8) {
        let lengths = Arc::make_mut(&mut self.lengths);
        if let Some(count) = lengths.get_mut(&length) {
            *count -= 1;
            if *count == 0 {
                lengths.remove(&length);
            }
        }
    }

    /// Gives the services of all blocks of `network` that contain `ip`, with the prefix length of each.
    pub(crate) fn containing<'a, 'n>(
        &'a self,
        network: &'n str,
        ip: IpAddr,
    ) -> impl Iterator<Item = (u8, &'a Arc<Listing>)> + use<'a, 'n> {
        let around = self.lengths.keys().filter_map(move |&length| IpNet::new(ip, length).ok());
        around.flat_map(move |net| {
            let net = net.trunc();
            let here = self.by_block.with_key(net).filter(move |block| &*block.network == network);
            here.map(move |block| (net.prefix_len(), &block.listing))
        })
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.by_block.len()
    }
}
