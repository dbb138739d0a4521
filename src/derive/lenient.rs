//! Reading what the API server writes without minding what is of no interest.

use culvert_core::workload::Addresses;
use serde::{Deserialize, Deserializer};

/// Reads a value; `null` is the same as nothing. Lists in particular are written so when they are empty.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// Reads addresses, canonical; none when one of them is no address.
pub(crate) fn addresses<'a>(texts: impl Iterator<Item = &'a str>) -> Addresses {
    let ips: Result<Vec<std::net::IpAddr>, _> = texts.map(str::parse).collect();
    ips.unwrap_or_default().into_iter().map(|ip| ip.to_canonical()).collect()
}
