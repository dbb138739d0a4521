//! What nodes say first on a stream: that they want everything, or what they ask for, and what they have already.

use bytes::Bytes;
use culvert_proto::xds::DeltaDiscoveryRequest;
use prost::Message as _;

use super::node::Kind;

/// What the claims of one request may come to; the same as those of a node.
const LARGEST: usize = 3_500_000;
/// What an entry takes besides its texts.
const PER_ENTRY: usize = 16;

/// The first requests of a stream, as they are on the wire.
pub(super) type Opening = Vec<Bytes>;

/// Names and versions.
pub(super) type Has = Vec<(String, String)>;

/// Of a node that wants everything, and has this already.
pub(super) fn everything(has: [&Has; 2]) -> Opening {
    let claims = |kind: Kind, has: &Has| {
        let mut requests = vec![DeltaDiscoveryRequest {
            type_url: kind.url().to_owned(),
            ..DeltaDiscoveryRequest::default()
        }];
        let mut size = 0;
        for (name, version) in has {
            let entry = name.len() + version.len() + PER_ENTRY;
            size += entry;
            if size > LARGEST {
                requests.push(DeltaDiscoveryRequest {
                    type_url: kind.url().to_owned(),
                    ..DeltaDiscoveryRequest::default()
                });
                size = entry;
            }
            if let Some(last) = requests.last_mut() {
                last.initial_resource_versions.insert(name.clone(), version.clone());
            }
        }
        requests
    };
    let [addresses, policies] = has;
    let requests = claims(Kind::Address, addresses).into_iter().chain(claims(Kind::Policy, policies));
    requests.map(encoded).collect()
}

/// Of a node that asks for these.
pub(super) fn on_demand(names: Vec<String>) -> Opening {
    let addresses = DeltaDiscoveryRequest {
        type_url: Kind::Address.url().to_owned(),
        resource_names_subscribe: std::iter::once("*".to_owned()).chain(names).collect(),
        resource_names_unsubscribe: vec!["*".to_owned()],
        ..DeltaDiscoveryRequest::default()
    };
    let policies =
        DeltaDiscoveryRequest { type_url: Kind::Policy.url().to_owned(), ..DeltaDiscoveryRequest::default() };
    [addresses, policies].map(encoded).into()
}

fn encoded(request: DeltaDiscoveryRequest) -> Bytes {
    request.encode_to_vec().into()
}
