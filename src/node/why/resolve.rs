//! Who is meant by what people type: a workload by uid, name or address; a destination by service, host or address, with a port.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use culvert_core::service::Service;
use culvert_core::snapshot::Snapshot;
use culvert_core::workload::Workload;

/// Why it is not known who is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unresolved {
    #[error(
        "`{0}` is no workload of the mesh state; name it by namespace/pod, by address or by uid (culvert get workloads)"
    )]
    Workload(String),
    #[error("{count} workloads are called `{name}`; write namespace/pod: {examples}")]
    Several { name: String, count: usize, examples: String },
    #[error("`{0}` has no port; write it behind a colon")]
    NoPort(String),
    #[error("`{text}` is no port; it is a number from 1 to 65535")]
    Port { text: String },
    #[error(
        "`{0}` is no service, host or address the mesh knows; name it as `name`, `namespace/name` or by its host name (culvert get services)"
    )]
    Destination(String),
    #[error("`{0}` is a headless service without endpoints: nothing would be dialled")]
    Headless(String),
}

/// A destination, and how it was found.
#[derive(Debug, Clone)]
pub(super) struct Destination {
    /// What an application would dial.
    pub(super) dialled: SocketAddr,
    pub(super) how: String,
}

/// Finds a workload by uid, `namespace/name`, name, or address.
pub(super) fn workload(snapshot: &Snapshot, text: &str) -> Result<Arc<Workload>, Unresolved> {
    if let Some(known) = snapshot.workload(text) {
        return Ok(Arc::clone(known));
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        let known = snapshot.workload_by_address(snapshot.local_network(), ip);
        return known.cloned().ok_or_else(|| Unresolved::Workload(text.into()));
    }
    let (namespace, name) =
        text.split_once('/').map_or((None, text), |(namespace, name)| (Some(namespace), name));
    let called = |it: &&Arc<Workload>| {
        !name.is_empty() && it.name() == name && namespace.is_none_or(|namespace| &*it.namespace == namespace)
    };
    let mut found: Vec<_> = snapshot.workloads().filter(called).take(4).cloned().collect();
    match found.len() {
        0 => Err(Unresolved::Workload(text.into())),
        1 => Ok(found.remove(0)),
        count => {
            let examples: Vec<_> = found.iter().map(|it| format!("{}/{}", it.namespace, it.name())).collect();
            Err(Unresolved::Several { name: text.into(), count, examples: examples.join(", ") })
        }
    }
}

/// Finds what `source` would dial to reach what was typed.
pub(super) fn destination(
    snapshot: &Snapshot,
    source: &Workload,
    text: &str,
) -> Result<Destination, Unresolved> {
    if let Ok(dialled) = text.parse::<SocketAddr>() {
        return Ok(Destination { dialled, how: format!("{dialled} is an address") });
    }
    let (host, port) = split(text)?;
    if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        let port = port.ok_or_else(|| Unresolved::NoPort(text.into()))?;
        return Ok(Destination { dialled: SocketAddr::new(ip, port), how: format!("{ip} is an address") });
    }
    if let Some(service) = service(snapshot, source, host) {
        return of_service(snapshot, &service, host, port);
    }
    let workload = workload(snapshot, host).map_err(|_| Unresolved::Destination(host.into()))?;
    let port = port.ok_or_else(|| Unresolved::NoPort(text.into()))?;
    let ip = workload.addresses.first().ok_or_else(|| Unresolved::Destination(host.into()))?;
    let how = format!("`{host}` is workload {}, at {ip}", workload.uid);
    Ok(Destination { dialled: SocketAddr::new(*ip, port), how })
}

fn split(text: &str) -> Result<(&str, Option<u16>), Unresolved> {
    let Some((host, port)) =
        text.rsplit_once(':').filter(|_| !text.ends_with(']') && text.parse::<IpAddr>().is_err())
    else {
        return Ok((text, None));
    };
    let number = port.parse().ok().filter(|number| *number != 0);
    number.map(|number| (host, Some(number))).ok_or_else(|| Unresolved::Port { text: port.into() })
}

/// The service a pod of the source's namespace means: by its host name, or by names as short as DNS searches for them.
fn service(snapshot: &Snapshot, source: &Workload, host: &str) -> Option<Arc<Service>> {
    let host = host.trim_end_matches('.');
    if let Some(service) = snapshot.service_by_hostname(host, &source.namespace) {
        return Some(Arc::clone(service));
    }
    let (namespace, name) = match host.split_once('/') {
        Some((namespace, name)) => (namespace, name),
        None => {
            let (name, rest) = host.split_once('.').unwrap_or((host, ""));
            (rest.split('.').next().filter(|it| !it.is_empty()).unwrap_or(&source.namespace), name)
        }
    };
    let called = |it: &&Arc<Service>| {
        &*it.namespace == namespace
            && (&*it.name == name || &*it.hostname == name)
            && it.visible_to(&source.namespace)
    };
    snapshot.services().filter(called).min_by(|one, other| one.hostname.cmp(&other.hostname)).cloned()
}

fn of_service(
    snapshot: &Snapshot,
    service: &Service,
    asked: &str,
    port: Option<u16>,
) -> Result<Destination, Unresolved> {
    let only = || {
        let mut ports = service.ports.iter().map(|(port, _)| port);
        let first = ports.next();
        first.filter(|_| ports.next().is_none())
    };
    let port = port.or_else(only).ok_or_else(|| Unresolved::NoPort(asked.into()))?;
    let key = service.key();
    let here = snapshot.local_network();
    let own = service.vips.iter().find(|vip| &*vip.network == here).or(service.vips.first());
    let ip = match own {
        Some(vip) => vip.ip,
        // Its name leads to one of its endpoints.
        None => {
            let mut addresses = snapshot.endpoints(&key).filter_map(|it| it.addresses.first());
            *addresses.next().ok_or_else(|| Unresolved::Headless(asked.into()))?
        }
    };
    Ok(Destination {
        dialled: SocketAddr::new(ip, port),
        how: format!("`{asked}` is service {key}, at {ip}"),
    })
}

#[cfg(test)]
mod tests {
    use culvert_core::mesh_file;

    use super::*;

    const MESH: &str = include_str!("../../core/testdata/mesh.yaml");

    fn mesh() -> Snapshot {
        Snapshot::new(mesh_file::parse(MESH).unwrap(), "")
    }

    #[test]
    fn a_workload_is_found_by_whatever_it_is_called() {
        let mesh = mesh();
        for text in ["Kubernetes//Pod/shop/web-1", "shop/web-1", "web-1", "10.0.0.1", "fd00::1"] {
            assert_eq!(workload(&mesh, text).unwrap().name(), "web-1", "{text}");
        }
        for text in ["", "web", "other/web-1", "10.9.9.9"] {
            assert!(workload(&mesh, text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_destination_is_found_as_a_pod_would_find_it() {
        let mesh = mesh();
        let source = workload(&mesh, "web-1").unwrap();
        for text in [
            "web:443",
            "web.shop:443",
            "web.shop.svc.cluster.local:443",
            "shop/web:443",
            "web.shop.svc.cluster.local.:443",
        ] {
            let found = destination(&mesh, &source, text).unwrap();
            assert_eq!(found.dialled, "10.1.0.1:443".parse().unwrap(), "{text}");
        }
        let at = |text| destination(&mesh, &source, text).unwrap().dialled.to_string();
        assert_eq!(at("10.0.0.2:80"), "10.0.0.2:80");
        assert_eq!(at("[fd00::1]:80"), "[fd00::1]:80");
        assert_eq!(at("shop/web-2:80"), "10.0.0.2:80");
        let wrong = |text| destination(&mesh, &source, text).unwrap_err();
        assert_eq!(wrong("web"), Unresolved::NoPort("web".into()));
        assert_eq!(wrong("web:0"), Unresolved::Port { text: "0".into() });
        assert_eq!(wrong("10.0.0.1"), Unresolved::NoPort("10.0.0.1".into()));
        assert_eq!(wrong("nobody:80"), Unresolved::Destination("nobody".into()));
    }
}
