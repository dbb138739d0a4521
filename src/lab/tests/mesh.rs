//! The lab with the workspace's own programs: that it waits for what it says, and sees what it should.

use std::time::Duration;

use culvert_lab::{Behaviour, Error, Lab, Pod, PodSpec, Programs, Section, ServiceSpec};

const SOON: Duration = Duration::from_secs(10);

/// A mesh of two nodes, with a pod and its application on each; the pods are not enrolled.
fn mesh(name: &str) -> Result<(Lab, Pod, Pod), Error> {
    let lab = Lab::new(name)?.with_programs(Programs::build()?);
    let (a, b) = (lab.node("a")?, lab.node("b")?);
    let client = lab.pod(&a, PodSpec::new("client").service_account("shopper"))?;
    let server = lab.pod(&b, PodSpec::new("server").service_account("shop"))?;
    lab.serve(&server, 8080, Behaviour::WhoAmI)?;
    lab.start_mesh()?;
    Ok((lab, client, server))
}

#[test]
fn enrolment_is_in_effect_when_it_returns_and_so_is_its_end() {
    let (lab, client, server) = mesh("enrolment").unwrap();
    assert!(!client.is_captured().unwrap());
    lab.enrol_all(&[&client, &server]).unwrap();
    for (to, from) in server.ips().into_iter().zip(client.ips()) {
        let wire = lab.wire_of_pod(&server).unwrap();
        let answer = String::from_utf8(client.ask((to, 8080), b"", SOON).unwrap()).unwrap();
        assert!(answer.starts_with("server ") && answer.contains(&from.to_string()), "{answer}");
        let capture = wire.stop().unwrap();
        capture.assert_lossless();
        assert!(!capture.contains(b"server "));
        assert_eq!(capture.tcp_ports(), [15008]);
    }
    lab.unenrol(&client).unwrap();
    lab.unenrol(&server).unwrap();
    let wire = lab.wire_of_pod(&server).unwrap();
    client.ask((server.ip4(), 8080), b"", SOON).unwrap();
    assert_eq!(wire.stop().unwrap().tcp_ports(), [8080]);
}

#[test]
fn the_mesh_file_is_in_effect_when_it_was_set() {
    let (lab, client, server) = mesh("mesh-file").unwrap();
    lab.enrol_all(&[&client, &server]).unwrap();
    let service = lab.service(ServiceSpec::new("shop").port(80, 8080), &[&server]).unwrap();
    for ip in service.ips() {
        assert!(client.ask((ip, 80), b"", SOON).unwrap().starts_with(b"server "));
    }
    lab.set(
        Section::Policies,
        "
        - name: nobody
          namespace: default
          scope: Namespace
          action: Deny
          dryRun: false
          rules:
          - - - destinationPorts: [8080]
        ",
    )
    .unwrap();
    assert!(client.ask((service.ip4(), 80), b"", SOON).is_err());
    let refused = lab.set(Section::Policies, "- nonsense: true").unwrap_err();
    assert!(matches!(&refused, Error::Refused { line, .. } if line.contains("nonsense")), "{refused}");
    lab.set(Section::Policies, "").unwrap();
    assert!(client.ask((service.ip4(), 80), b"", SOON).is_ok());
}

#[test]
fn programs_can_be_replaced_one_at_a_time() {
    let (lab, client, server) = mesh("replace").unwrap();
    let node = lab.node("c").unwrap();
    let other = lab.pod(&node, PodSpec::new("other")).unwrap();
    lab.start_agent(&node).unwrap();
    let proxy = lab.start_node(&node).unwrap();
    lab.enrol_all(&[&client, &other, &server]).unwrap();
    assert!(other.ask((server.ip4(), 8080), b"", SOON).is_ok());

    proxy.kill_hard().unwrap();
    assert!(other.ask((server.ip4(), 8080), b"", SOON).is_err());
    let launch = lab.node_launch(&node).unwrap().env("RUST_LOG", "debug");
    let proxy = lab.start_node_as(&node, launch).unwrap();
    assert!(other.ask((server.ip4(), 8080), b"", SOON).is_ok());
    assert!(proxy.stop().unwrap().success());
    lab.delete(&other).unwrap();
}

#[test]
fn a_proxy_can_serve_one_pod_alone() {
    let (lab, client, _) = mesh("dedicated").unwrap();
    let proxy = lab.start_dedicated(&client).unwrap();
    assert!(client.listens(15008).unwrap());
    assert!(!client.is_captured().unwrap());
    assert!(proxy.is_running());
}

#[test]
fn a_pod_that_takes_tunnels_by_itself_need_not_be_enrolled() {
    let lab = Lab::new("takes-tunnels").unwrap();
    let node = lab.node("a").unwrap();
    lab.pod(&node, PodSpec::new("gate").takes_tunnels()).unwrap();
    lab.pod(&node, PodSpec::new("plain")).unwrap();
    lab.apply().unwrap();
    let mesh = std::fs::read_to_string(lab.mesh_file()).unwrap();
    let protocols: Vec<_> = mesh.lines().filter_map(|line| line.strip_prefix("  protocol: ")).collect();
    assert_eq!(protocols, ["HBONE", "TCP"]);
}
