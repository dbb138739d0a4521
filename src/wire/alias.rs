//! The other names a resource can be asked for by: the addresses it answers to.

use culvert_core::address::NetworkAddress;
use culvert_core::service::Service;
use culvert_core::workload::{NetworkMode, Workload};

/// Gives `<network>/<ip>` of each address. A workload on the network of its node has none: the addresses are the node's.
#[must_use]
pub fn workload_aliases(workload: &Workload) -> Vec<String> {
    match workload.network_mode {
        NetworkMode::HostNetwork => Vec::new(),
        NetworkMode::Standard => {
            let address = |&ip| NetworkAddress::new(workload.network.clone(), ip).to_string();
            workload.addresses.iter().map(address).collect()
        }
    }
}

/// Gives `<network>/<ip>` of each virtual address, and `<network>/<ip>/<length>` of each block.
#[must_use]
pub fn service_aliases(service: &Service) -> Vec<String> {
    let vips = service.vips.iter().map(ToString::to_string);
    vips.chain(service.cidr_vips.iter().map(ToString::to_string)).collect()
}
