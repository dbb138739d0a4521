//! The two ends of a connection, in few words.

use culvert_api::{Direction, End, PodRef, Protocol};

/// Who called: the pod, or the address when that is all there is.
pub(crate) fn caller(end: &End) -> String {
    match (&end.namespace, &end.workload, &end.owner) {
        (Some(namespace), Some(name), _) | (Some(namespace), None, Some(name)) => {
            format!("{namespace}/{name}")
        }
        _ => host(&end.address).to_owned(),
    }
}

/// Who was called, and on which port: the pod, else the service, else what the pods belong to, else the address.
pub(crate) fn called(end: &End) -> String {
    let port = end.address.rsplit_once(':').map_or("", |(_, port)| port);
    let name = match (&end.namespace, &end.workload, &end.service) {
        (Some(namespace), Some(name), _) => format!("{namespace}/{name}"),
        (_, _, Some(service)) => service.clone(),
        (Some(_), None, None) if end.owner.is_some() => caller(end),
        _ => return end.address.clone(),
    };
    if port.is_empty() { name } else { format!("{name}:{port}") }
}

fn host(address: &str) -> &str {
    match address.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|c| c.is_ascii_digit()) => host.trim_matches(['[', ']']),
        _ => address,
    }
}

pub(super) fn pod(pod: &PodRef) -> String {
    format!("{}/{}", pod.namespace, pod.name)
}

/// Which way, seen from the pod of the node.
pub(crate) fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Outbound => "out",
        Direction::Inbound => "in",
    }
}

/// How it travels.
pub(crate) fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Hbone => "hbone",
        Protocol::DoubleHbone => "double-hbone",
    }
}

/// All a person may know an end by.
pub(super) fn names(end: &End) -> impl Iterator<Item = String> {
    let namespace = end.namespace.as_deref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    let of_namespace =
        [&end.workload, &end.owner].into_iter().flatten().map(|name| format!("{namespace}{name}"));
    let others =
        [&end.service, &end.identity, &Some(end.address.clone())].map(Clone::clone).into_iter().flatten();
    of_namespace.collect::<Vec<_>>().into_iter().chain(others)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(address: &str, namespace: Option<&str>, workload: Option<&str>, service: Option<&str>) -> End {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        End {
            address: address.into(),
            namespace: owned(namespace),
            workload: owned(workload),
            service: owned(service),
            ..End::default()
        }
    }

    #[test]
    fn an_end_is_called_by_the_best_name_there_is() {
        let pod = end("10.0.0.1:80", Some("shop"), Some("web-1"), Some("web.shop.svc"));
        assert_eq!((caller(&pod), called(&pod)), ("shop/web-1".into(), "shop/web-1:80".into()));
        let service = end("10.96.0.7:80", Some("shop"), None, Some("web.shop.svc"));
        assert_eq!(called(&service), "web.shop.svc:80");
        let address = end("[fd00::1]:80", None, None, None);
        assert_eq!((caller(&address), called(&address)), ("fd00::1".into(), "[fd00::1]:80".into()));
        let owner = End { owner: Some("web".into()), ..end("", Some("shop"), None, None) };
        assert_eq!((caller(&owner), called(&owner)), ("shop/web".into(), "shop/web".into()));
    }
}
