//! Workloads: message to value and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use culvert_core::intern::Interner;
use culvert_core::workload::{
    ApplicationProtocol, ApplicationTunnel, DEFAULT_CLUSTER, DEFAULT_SERVICE_ACCOUNT, DEFAULT_TRUST_DOMAIN,
    Health, Incarnation, Locality, Memberships, Name, NetworkMode, Place, PortMap, Protocol, Template,
    Workload, WorkloadType,
};
use culvert_proto::workload as proto;
use proto::application_tunnel::Protocol as TunnelKind;

use crate::address::{gateway_if_any, gateway_message, ip, octets, port, ports, ports_message};
use crate::expect_name;
use crate::invalid::{Fault, Invalid, Problem, Within, each, known};

/// Reads a workload; `name` has to be its uid.
pub(crate) fn decode(
    name: &str,
    message: &proto::Workload,
    interner: &mut Interner,
) -> Result<Workload, Invalid> {
    expect_name(name, &message.uid)?;
    // The uid and the name belong to one workload alone: sharing them would save nothing.
    Ok(Workload {
        uid: message.uid.as_str().into(),
        named: Name::of(&message.uid, &message.name),
        place: place(message, interner),
        addresses: each("addresses", &message.addresses, |bytes| ip(bytes))?,
        status: match known(message.status).within("status")? {
            proto::WorkloadStatus::Healthy => Health::Healthy,
            proto::WorkloadStatus::Unhealthy => Health::Unhealthy,
        },
        incarnation: Incarnation::default(),
        capacity: message.capacity.unwrap_or(1),
        template: template(message, interner)?,
    })
}

/// Writes a workload.
pub(crate) fn encode(workload: &Workload) -> proto::Workload {
    let port_list = |ports: &PortMap| proto::PortList { ports: ports_message(ports) };
    proto::Workload {
        name: workload.name().to_owned(),
        namespace: workload.namespace.to_string(),
        addresses: workload.addresses.iter().map(|&ip| octets(ip)).collect(),
        network: workload.network.to_string(),
        tunnel_protocol: protocol_number(workload.protocol),
        trust_domain: workload.trust_domain.to_string(),
        service_account: workload.service_account.to_string(),
        waypoint: workload.waypoint.as_ref().map(gateway_message),
        node: workload.place.node.to_string(),
        canonical_name: workload.canonical_name.to_string(),
        canonical_revision: workload.canonical_revision.to_string(),
        workload_type: type_number(workload.workload_type),
        workload_name: workload.workload_name.to_string(),
        native_tunnel: workload.native_tunnel,
        authorization_policies: workload.authorization_policies.iter().map(ToString::to_string).collect(),
        status: status_number(workload.status),
        cluster_id: workload.cluster_id.to_string(),
        network_gateway: workload.network_gateway.as_ref().map(gateway_message),
        uid: workload.uid.to_string(),
        hostname: workload.hostname.to_string(),
        services: workload.services.iter().map(|(key, ports)| (key.to_string(), port_list(ports))).collect(),
        application_tunnel: workload.application_tunnel.map(tunnel_message),
        locality: locality_message(&workload.place.locality),
        network_mode: mode_number(workload.network_mode),
        capacity: Some(workload.capacity).filter(|&capacity| capacity != 1),
    }
}

fn template(message: &proto::Workload, interner: &mut Interner) -> Result<Arc<Template>, Fault> {
    let template = Template {
        namespace: interner.text(&message.namespace),
        service_account: interner.text_or(Some(&message.service_account), DEFAULT_SERVICE_ACCOUNT),
        trust_domain: interner.text_or(Some(&message.trust_domain), DEFAULT_TRUST_DOMAIN),
        network: interner.text(&message.network),
        cluster_id: interner.text_or(Some(&message.cluster_id), DEFAULT_CLUSTER),
        workload_name: interner.text(&message.workload_name),
        canonical_name: interner.text(&message.canonical_name),
        canonical_revision: interner.text(&message.canonical_revision),
        hostname: interner.text(&message.hostname),
        workload_type: workload_type(message.workload_type),
        protocol: protocol(message.tunnel_protocol).within("tunnel_protocol")?,
        network_mode: match known(message.network_mode).within("network_mode")? {
            proto::NetworkMode::Standard => NetworkMode::Standard,
            proto::NetworkMode::HostNetwork => NetworkMode::HostNetwork,
        },
        services: services(&message.services, interner)?,
        authorization_policies: message.authorization_policies.iter().map(|key| interner.text(key)).collect(),
        waypoint: gateway_if_any("waypoint", message.waypoint.as_ref(), interner)?,
        network_gateway: gateway_if_any("network_gateway", message.network_gateway.as_ref(), interner)?,
        application_tunnel: message
            .application_tunnel
            .as_ref()
            .map(|it| tunnel(it).within("application_tunnel"))
            .transpose()?,
        native_tunnel: message.native_tunnel,
    };
    Ok(interner.template(template))
}

/// For telemetry alone, so a new kind is no reason to lose the workload.
fn workload_type(number: i32) -> WorkloadType {
    match proto::WorkloadType::try_from(number) {
        Ok(proto::WorkloadType::Cronjob) => WorkloadType::CronJob,
        Ok(proto::WorkloadType::Pod) => WorkloadType::Pod,
        Ok(proto::WorkloadType::Job) => WorkloadType::Job,
        Ok(proto::WorkloadType::Deployment) | Err(_) => WorkloadType::Deployment,
    }
}

fn type_number(workload_type: WorkloadType) -> i32 {
    let message = match workload_type {
        WorkloadType::Deployment => proto::WorkloadType::Deployment,
        WorkloadType::CronJob => proto::WorkloadType::Cronjob,
        WorkloadType::Pod => proto::WorkloadType::Pod,
        WorkloadType::Job => proto::WorkloadType::Job,
    };
    message.into()
}

/// A workload behind a tunnel that is not spoken here must not be taken for one to be reached in plaintext.
fn protocol(number: i32) -> Result<Protocol, Problem> {
    match known(number)? {
        proto::TunnelProtocol::None => Ok(Protocol::Tcp),
        proto::TunnelProtocol::Hbone => Ok(Protocol::Hbone),
        proto::TunnelProtocol::LegacyIstioMtls => Err(Problem::UnknownValue(number)),
    }
}

fn protocol_number(protocol: Protocol) -> i32 {
    let message = match protocol {
        Protocol::Tcp => proto::TunnelProtocol::None,
        Protocol::Hbone => proto::TunnelProtocol::Hbone,
    };
    message.into()
}

fn status_number(status: Health) -> i32 {
    let message = match status {
        Health::Healthy => proto::WorkloadStatus::Healthy,
        Health::Unhealthy => proto::WorkloadStatus::Unhealthy,
    };
    message.into()
}

fn mode_number(mode: NetworkMode) -> i32 {
    let message = match mode {
        NetworkMode::Standard => proto::NetworkMode::Standard,
        NetworkMode::HostNetwork => proto::NetworkMode::HostNetwork,
    };
    message.into()
}

fn services(
    messages: &BTreeMap<String, proto::PortList>,
    interner: &mut Interner,
) -> Result<Memberships, Fault> {
    let service = |(key, list): (&String, &proto::PortList)| {
        if !key.contains('/') {
            return Err(Fault::new("services", Problem::Key(key.clone())));
        }
        let ports = ports(&list.ports).map_err(|fault| fault.under(&format!("services[{key}]")))?;
        Ok((interner.text(key), ports))
    };
    messages.iter().map(service).collect()
}

fn tunnel(message: &proto::ApplicationTunnel) -> Result<ApplicationTunnel, Fault> {
    Ok(ApplicationTunnel {
        protocol: match known(message.protocol).within("protocol")? {
            TunnelKind::None => ApplicationProtocol::None,
            TunnelKind::Proxy => ApplicationProtocol::Proxy,
        },
        port: Some(port(message.port).within("port")?).filter(|&port| port != 0),
    })
}

fn tunnel_message(tunnel: ApplicationTunnel) -> proto::ApplicationTunnel {
    let protocol = match tunnel.protocol {
        ApplicationProtocol::None => TunnelKind::None,
        ApplicationProtocol::Proxy => TunnelKind::Proxy,
    };
    proto::ApplicationTunnel { protocol: protocol.into(), port: tunnel.port.unwrap_or(0).into() }
}

fn place(message: &proto::Workload, interner: &mut Interner) -> Arc<Place> {
    let locality = message.locality.as_ref().map(|it| locality(it, interner)).unwrap_or_default();
    let place = Place { node: interner.text(&message.node), locality };
    interner.place(place)
}

fn locality(message: &proto::Locality, interner: &mut Interner) -> Locality {
    Locality {
        region: interner.text(&message.region),
        zone: interner.text(&message.zone),
        subzone: interner.text(&message.subzone),
    }
}

fn locality_message(locality: &Locality) -> Option<proto::Locality> {
    (*locality != Locality::default()).then(|| proto::Locality {
        region: locality.region.to_string(),
        zone: locality.zone.to_string(),
        subzone: locality.subzone.to_string(),
    })
}
