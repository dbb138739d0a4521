//! A mesh that changes: few names, so that things come back under those they had, and what each is to a client.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use culvert_core::address::{NetworkAddress, NetworkBlock};
use culvert_core::policy::{Policy, Scope};
use culvert_core::service::Service;
use culvert_core::workload::{Place, Template, Workload};
use culvert_discovery::catalog::{Catalog, Change, Collection, Entry};

use crate::input::Input;

/// Where things are.
pub(super) const NAMESPACES: [&str; 3] = ["n0", "n1", "root"];

/// The nodes workloads are on; the client is on the first.
pub(super) const NODES: [&str; 2] = ["a", "b"];

/// How many there are of a kind, at most, in a namespace.
const MOST: u8 = 4;

/// One change.
pub(super) fn change(input: &mut Input<'_>) -> Change {
    let (namespace, number) = (input.one(&NAMESPACES), input.byte() % MOST);
    let remove = |collection, name: String| Change::Remove(collection, name.into());
    match input.byte() % 8 {
        0 => remove(Collection::Addresses, workload_name(namespace, number)),
        1 => remove(Collection::Addresses, service_name(namespace, number)),
        2 => remove(Collection::Policies, policy_name(namespace, number)),
        3 => policy(namespace, number, input),
        4 | 5 => service(namespace, number, input),
        _ => workload(namespace, number, input),
    }
}

/// What a client may ask for: names, addresses, hostnames of elsewhere, and what is none of these.
pub(super) fn key(input: &mut Input<'_>) -> String {
    let (namespace, number) = (input.one(&NAMESPACES), input.byte() % MOST);
    match input.byte() % 8 {
        0 => workload_name(namespace, number),
        1 | 2 => service_name(namespace, number),
        3 => policy_name(namespace, number),
        4 => format!("/{}", address(0, number)),
        5 => format!("/{}", address(1, number)),
        6 => format!("/{}", address(2, number.wrapping_mul(77))),
        _ => {
            let length = input.byte();
            String::from_utf8_lossy(input.take(length.into())).into_owned()
        }
    }
}

/// The namespace of a workload by its name.
pub(super) fn namespace_of_workload(name: &str) -> Option<&str> {
    name.strip_prefix("w//")?.split_once('/').map(|(namespace, _)| namespace)
}

/// The policies that matter to the workloads of a namespace, whichever those are.
pub(super) fn policies_of<'c>(
    catalog: &'c Catalog,
    namespace: &'c str,
) -> impl Iterator<Item = &'c Arc<Entry>> {
    let all = catalog.all(Collection::Policies).map(|(_, entry)| entry);
    all.filter(move |entry| entry.name.split_once('/').is_some_and(|(of, _)| of == namespace))
}

/// Such as no service or policy has.
fn workload_name(namespace: &str, number: u8) -> String {
    format!("w//{namespace}/{number}")
}

fn service_name(namespace: &str, number: u8) -> String {
    format!("{namespace}/s{number}.test")
}

fn policy_name(namespace: &str, number: u8) -> String {
    format!("{namespace}/p{number}")
}

fn address(kind: u8, number: u8) -> IpAddr {
    Ipv4Addr::new(10, kind, 0, number).into()
}

fn workload(namespace: &str, number: u8, input: &mut Input<'_>) -> Change {
    let (choice, services) = (input.byte(), input.byte());
    let of_service = |bit: u8| {
        let (namespace, number) = (NAMESPACES[usize::from(bit / MOST)], bit % MOST);
        (service_name(namespace, number).into(), [].into_iter().collect())
    };
    let refers = choice & 4 != 0;
    let template = Template {
        namespace: namespace.into(),
        canonical_revision: revision(choice).into(),
        services: (0..8).filter(|bit| services >> bit & 1 != 0).map(of_service).collect(),
        authorization_policies: refers.then(|| policy_name("root", 0).into()).into_iter().collect(),
        ..Template::default()
    };
    Change::Put(Arc::new(Entry::workload(&Workload {
        uid: workload_name(namespace, number).into(),
        place: Arc::new(Place { node: NODES[usize::from(choice >> 7)].into(), ..Place::default() }),
        addresses: [address(0, number)].into_iter().collect(),
        template: template.into(),
        ..Workload::default()
    })))
}

fn service(namespace: &str, number: u8, input: &mut Input<'_>) -> Change {
    let choice = input.byte();
    let block = "10.2.0.0/24".parse().expect("it is a block");
    let block = NetworkBlock { network: "".into(), block };
    Change::Put(Arc::new(Entry::service(&Service {
        name: revision(choice).into(),
        namespace: namespace.into(),
        hostname: format!("s{number}.test").into(),
        vips: vec![NetworkAddress::new("", address(1, number))],
        cidr_vips: (choice & 4 != 0).then_some(block).into_iter().collect(),
        canonical: choice & 8 != 0,
        ..Service::default()
    })))
}

fn policy(namespace: &str, number: u8, input: &mut Input<'_>) -> Change {
    let choice = input.byte();
    let scope = [Scope::Namespace, Scope::WorkloadSelector][usize::from(choice & 1)];
    let key = policy_name(namespace, number).into();
    let policy = Policy::unusable(key, namespace.into(), scope, revision(choice >> 1).into());
    Change::Put(Arc::new(Entry::policy(&Policy { dry_run: choice & 16 != 0, ..policy })))
}

fn revision(choice: u8) -> &'static str {
    ["", "new", "newer", "newest"][usize::from(choice & 3)]
}
