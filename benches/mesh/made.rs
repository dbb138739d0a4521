//! A mesh made up: pods of deployments behind services, spread over nodes and zones, as payloads of a control plane.

use bytes::Bytes;
use culvert_core::address::NetworkAddress;
use culvert_core::service::Service;
use culvert_core::workload::{Health, Incarnation, Locality, Name, Place, Protocol, Template, Workload};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::Size;

/// One resource as it comes over the wire.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) name: String,
    pub(crate) payload: Bytes,
}

/// How many pods share a node.
const PODS_PER_NODE: usize = 50;

/// How many services share a namespace.
const SERVICES_PER_NAMESPACE: usize = 20;

pub(crate) fn service(number: usize) -> Made {
    let service = Service {
        name: format!("app-{number}").into(),
        namespace: namespace(number),
        hostname: hostname(number).into(),
        vips: vec![NetworkAddress::new("", vip(number))],
        ports: [(80, 8080), (443, 8443)].into_iter().collect(),
        canonical: true,
        ..Service::default()
    };
    Made { name: service.key().to_string(), payload: culvert_wire::encode_service(&service) }
}

/// Pod `number` of a mesh with `services`; `version` varies what changes in a pod's life.
pub(crate) fn workload(number: usize, services: usize, version: usize) -> Made {
    let owner = number % services;
    let zone = (number / PODS_PER_NODE) % 3;
    let key = Arc::from(format!("{}/{}", namespace(owner), hostname(owner)));
    let template = Template {
        namespace: namespace(owner),
        service_account: format!("app-{owner}").into(),
        trust_domain: "cluster.local".into(),
        cluster_id: "Kubernetes".into(),
        workload_name: format!("app-{owner}").into(),
        canonical_name: format!("app-{owner}").into(),
        canonical_revision: "v1".into(),
        protocol: Protocol::Hbone,
        services: [(key, [(80, 8080), (443, 8443)].into_iter().collect())].into_iter().collect(),
        ..Template::default()
    };
    let locality =
        Locality { region: "region-1".into(), zone: format!("zone-{zone}").into(), subzone: "".into() };
    let place = Place { node: format!("node-{}", number / PODS_PER_NODE).into(), locality };
    let name = format!("app-{owner}-7d9f8b6c5d-{number:05x}");
    let uid = format!("Kubernetes//Pod/{}/{name}", namespace(owner));
    let workload = Workload {
        named: Name::of(&uid, &name),
        uid: uid.into(),
        place: place.into(),
        addresses: [pod_address(number)].into_iter().collect(),
        status: if version.is_multiple_of(2) { Health::Healthy } else { Health::Unhealthy },
        incarnation: Incarnation::default(),
        capacity: 1,
        template: Arc::new(template),
    };
    Made { name: workload.uid.to_string(), payload: culvert_wire::encode_workload(&workload) }
}

/// The mesh as a file for the control plane. The first of its workloads, so many as are plain, take no tunnels.
pub(crate) fn file(size: &Size, plain: usize) -> String {
    let mut text = "{\"workloads\":[".to_owned();
    for number in 0..size.workloads {
        let comma = if number == 0 { "" } else { ",\n" };
        let protocol = if number < plain { "TCP" } else { "HBONE" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{}", workload_json(number, size.services, protocol));
    }
    text.push_str("],\n\"services\":[");
    for number in 0..size.services {
        let comma = if number == 0 { "" } else { ",\n" };
        let _ = write!(text, "{comma}{}", service_json(number));
    }
    text.push_str("]}\n");
    text
}

/// The same service, as it is written in a mesh file.
fn service_json(number: usize) -> String {
    let (namespace, hostname, vip) = (namespace(number), hostname(number), vip(number));
    format!(
        "{{\"name\":\"app-{number}\",\"namespace\":\"{namespace}\",\"hostname\":\"{hostname}\",\
         \"vips\":[\"/{vip}\"],\"ports\":{{\"80\":8080,\"443\":8443}},\"canonical\":true}}"
    )
}

/// The same pod, as it is written in a mesh file.
fn workload_json(number: usize, services: usize, protocol: &str) -> String {
    let owner = number % services;
    let (node, zone) = (number / PODS_PER_NODE, (number / PODS_PER_NODE) % 3);
    let (namespace, hostname, ip) = (namespace(owner), hostname(owner), pod_address(number));
    let app = format!("app-{owner}");
    format!(
        "{{\"name\":\"{app}-7d9f8b6c5d-{number:05x}\",\"namespace\":\"{namespace}\",\
         \"serviceAccount\":\"{app}\",\"workloadName\":\"{app}\",\"canonicalName\":\"{app}\",\
         \"canonicalRevision\":\"v1\",\"protocol\":\"{protocol}\",\"node\":\"node-{node}\",\
         \"locality\":{{\"region\":\"region-1\",\"zone\":\"zone-{zone}\"}},\"workloadIps\":[\"{ip}\"],\
         \"services\":{{\"{namespace}/{hostname}\":{{\"80\":8080,\"443\":8443}}}}}}"
    )
}

/// How many namespaces so many services are in.
pub(crate) fn namespaces(services: usize) -> usize {
    services.div_ceil(SERVICES_PER_NAMESPACE)
}

/// The address of a pod.
pub(crate) fn pod_address(number: usize) -> IpAddr {
    address(0x0a80_0000, number)
}

/// The virtual address of a service.
pub(crate) fn vip(number: usize) -> IpAddr {
    address(0x0a00_0000, number)
}

fn address(base: u32, number: usize) -> IpAddr {
    let number = u32::try_from(number).expect("no mesh is that large");
    Ipv4Addr::from_bits(base + number).into()
}

fn namespace(service: usize) -> Arc<str> {
    format!("team-{}", service / SERVICES_PER_NAMESPACE).into()
}

fn hostname(service: usize) -> String {
    format!("app-{service}.{}.svc.cluster.local", namespace(service))
}
