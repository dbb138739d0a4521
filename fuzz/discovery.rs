//! What node proxies say to the control plane on a discovery stream, while the mesh changes.
//!
//! Bytes are requests as they come, or steps that put one together: subscriptions, what is claimed, answers to responses; and changes of
//! the mesh, responses that are taken, and streams that begin anew. Whatever is said: memory stays bounded; a stream ends for a reason
//! that is there; a refusal is told of once; responses are of a size, and say nothing before what it refers to; and a client that has
//! listened to the end has what somebody has who has just come and wants the same, in the version there is.

mod client;
mod mesh;

use culvert_discovery::Reach;
use culvert_discovery::catalog::{Catalog, Collection};
use culvert_proto::xds::DeltaDiscoveryRequest;
use prost::Message as _;

use crate::input::Input;
use crate::memory::Bound;
use client::{Answer, Client};

/// Changes at a time, at most.
const MOST_CHANGES: usize = 4;

/// The first byte decides how much of the mesh the client may have, then come steps.
pub fn run(data: &[u8]) {
    let bound = Bound::new((1 << 20) + 1_000 * data.len());
    let mut input = Input::new(data);
    let reach = match input.byte() % 2 {
        0 => Reach::Everything,
        _ => Reach::Near { node: "a".into(), namespaces: ["n0".to_owned(), "root".to_owned()].into() },
    };
    let mut catalog = Catalog::default();
    let mut client = Client::new(&catalog, reach);
    while let Some(choice) = input.next() {
        match choice % 8 {
            0..=2 => {
                let count = input.below(MOST_CHANGES) + 1;
                let changes: Vec<_> = (0..count).map(|_| mesh::change(&mut input)).collect();
                catalog.apply(changes);
            }
            3 | 4 => {
                let request = request(&mut client, &mut input);
                client.say(&catalog, request);
            }
            5 => {
                client.take(&catalog);
            }
            6 => client.take_all(&catalog),
            _ => match input.byte() % 2 {
                0 => client.come_back(&catalog),
                _ => say_it_as_it_comes(&mut client, &catalog, &mut input),
            },
        }
        bound.check();
    }
    client.take_all(&catalog);
    client.check(&catalog);
    client.come_back(&catalog);
    client.take_all(&catalog);
    client.check(&catalog);
    bound.check();
}

/// One request: an answer, names that come and go, and what the client says that it has.
fn request(client: &mut Client, input: &mut Input<'_>) -> DeltaDiscoveryRequest {
    let choice = input.byte();
    let collection = Collection::ALL[usize::from(choice & 1)];
    let answer = [Answer::Nothing, Answer::Ack, Answer::Nack, Answer::Nothing][usize::from(choice >> 1 & 3)];
    let mut request = client.part(collection).answer(collection, answer);
    if choice & 8 != 0 {
        request.resource_names_subscribe.push("*".to_owned());
    }
    if choice & 16 != 0 {
        request.resource_names_unsubscribe.push("*".to_owned());
    }
    for _ in 0..choice >> 5 {
        let kind = input.byte();
        let key = mesh::key(input);
        match kind % 4 {
            0 | 1 => request.resource_names_subscribe.push(key),
            2 => request.resource_names_unsubscribe.push(key),
            _ => drop(request.initial_resource_versions.insert(key, format!("{kind:016x}"))),
        }
    }
    request
}

fn say_it_as_it_comes(client: &mut Client, catalog: &Catalog, input: &mut Input<'_>) {
    let length = input.number();
    if let Ok(request) = DeltaDiscoveryRequest::decode(input.take(length)) {
        client.say(catalog, request);
    }
}
