use super::*;
use crate::workload::GatewayDestination;

fn every() -> Vec<Refusal> {
    let destination: SocketAddr = "10.1.0.1:80".parse().unwrap();
    let [service, workload] = ["n/s", "uid"].map(Arc::<str>::from);
    let (hostname, target) = ("db.example.com".into(), service.clone());
    let network = || Arc::from("west");
    let authority = Authority::Address(destination);
    let at = GatewayDestination::Hostname { namespace: "n".into(), hostname: "waypoint".into() };
    let waypoint = GatewayAddress { destination: at, port: 15008 };
    let (gateway, own_port) = (waypoint.clone(), Refusal::OwnPort { port: 15008 });
    vec![
        Refusal::Loop { destination },
        Refusal::UnknownServicePort { service: service.clone(), destination },
        Refusal::NoEndpoint { service: service.clone(), destination, known: 2 },
        Refusal::UnknownWaypoint { target: target.clone(), waypoint: waypoint.clone() },
        Refusal::WaypointNotReady { target, waypoint, why: Box::new(own_port.clone()) },
        Refusal::NoGateway { workload: workload.clone(), network: network() },
        Refusal::UnknownGateway { workload: workload.clone(), gateway: gateway.clone() },
        Refusal::GatewayNotReady { workload: workload.clone(), gateway, why: Box::new(own_port) },
        Refusal::NotThroughGateway { workload: workload.clone(), network: network(), destination },
        Refusal::NobodyVouchedFor { service: service.clone(), network: network() },
        Refusal::HostnameNotResolved { workload: workload.clone(), hostname },
        Refusal::NoAddress { workload: workload.clone() },
        Refusal::NoIdentity { workload: workload.clone(), source: NotAnIdentity("x".to_owned()) },
        Refusal::IpMismatch { asked: destination.ip(), local: destination.ip() },
        Refusal::UnknownHost { host: "web".to_owned() },
        Refusal::NotAnEndpoint { workload: workload.clone(), service: service.clone() },
        Refusal::NoTargetPort { workload: workload.clone(), authority },
        Refusal::OwnPort { port: 15008 },
        Refusal::NoVirtualAddress { workload, service },
        Refusal::Denied(Denial::NoneAllowed),
    ]
}

#[test]
fn every_reason_has_a_key_of_its_own_fit_for_a_metric() {
    let keys: std::collections::BTreeSet<&str> = every().iter().map(Refusal::reason).collect();
    assert_eq!(keys.len(), every().len());
    assert!(
        keys.iter().all(|key| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')),
        "{keys:?}"
    );
}

#[test]
fn the_faces_of_a_refusal_agree() {
    let faces = |refusal: &Refusal| (refusal.http_status(), refusal.flag().as_str());
    for (reason, expected) in [
        ("denied", (401, "DENY")),
        ("ip_mismatch", (400, "-")),
        ("unknown_host", (503, "-")),
        ("no_endpoint", (503, "CONNECT")),
        ("no_identity", (503, "IDENTITY_ERROR")),
        ("loop", (503, "-")),
    ] {
        let refusal = every().into_iter().find(|refusal| refusal.reason() == reason).unwrap();
        assert_eq!(faces(&refusal), expected, "{reason}");
    }
}

#[test]
fn a_sentence_says_what_failed_and_what_to_do() {
    for (refusal, expected) in every().iter().zip([
        "10.1.0.1:80 is a port of this proxy; ",
        "no healthy upstream: 10.1.0.1:80: service n/s does not declare port 80; add the port",
        "no healthy upstream: 10.1.0.1:80: no endpoint of service n/s can take the connection (2 known); look at",
        "unknown waypoint: n/s is behind n/waypoint port 15008, which is no service or workload, ",
        "n/s is behind waypoint n/waypoint port 15008, which cannot take the connection, ",
        "uid is on network `west`, which has no gateway; deploy",
        "unknown network gateway: uid is on another network, behind n/waypoint port 15008, which is no service or",
        "uid is on another network, behind n/waypoint port 15008, which cannot take the connection",
        "uid is on network `west`, and a gateway is asked for services by name: 10.1.0.1:80 is no service; call",
        "service n/s vouches for nobody, so that whoever answers behind the gateway of network `west` cannot be",
        "uid has no address, only the name `db.example.com`, whose addresses are not known; look",
        "uid has no address that the service's IP families allow; give",
        "the identity of uid is not usable; correct",
        "ip mismatch: 10.1.0.1 != 10.1.0.1; ",
        "no service is called `web`; ",
        "uid is not an endpoint of service n/s; look at",
        "10.1.0.1:80 has no target port on uid; look at",
        "port 15008 belongs to the proxy, not to the application; dial",
        "uid takes its traffic with PROXY protocol, and service n/s has no virtual address to put there; give",
        "connection closed due to policy rejection: allow policies exist, but none allowed",
    ]) {
        assert!(refusal.to_string().starts_with(expected), "{refusal}");
    }
}

#[test]
fn flags_are_spelled_as_operators_filter_by() {
    let flags = [Flag::TlsFailure, Flag::H2HandshakeFailure, Flag::NetworkPolicy, Flag::CertRevoked];
    let expected = ["TLS_FAILURE", "H2_HANDSHAKE_FAILURE", "NETWORK_POLICY", "CERT_REVOKED"];
    assert_eq!(flags.map(Flag::as_str), expected);
}
