//! A revocation list is enforced on connections that live and on those that are tried, and on nobody else.

use std::fs;

use culvert_lab::http;
use rcgen::SerialNumber;
use serde_json::Value;

use crate::harness::cluster::{Cluster, ECHO};
use crate::harness::metrics;
use crate::harness::revocation;
use crate::harness::talk::{Ending, SOON, assert_alive, assert_echo, assert_reset, exchange, read_to_end};

const ADMIN: ([u8; 4], u16) = ([127, 0, 0, 1], 15000);

/// The serial number of the certificate the second node holds for an identity.
pub(crate) fn serial(cluster: &Cluster, identity: &str) -> SerialNumber {
    let answer = http::get(cluster.two.netns(), ADMIN, "/config_dump").unwrap();
    let dump: Value = serde_json::from_slice(&answer.body).unwrap();
    let all = dump["certificates"].as_array().unwrap();
    let one = all.iter().find(|it| it["identity"] == identity).unwrap();
    let number: u128 = one["certChain"][0]["serialNumber"].as_str().unwrap().parse().unwrap();
    SerialNumber::from_slice(&number.to_be_bytes())
}

#[test]
fn a_revoked_server_is_cut_off_and_let_back_in() {
    let cluster = Cluster::without_mesh("revoked").unwrap();
    let lab = &cluster.lab;
    lab.enrol_all(&[&cluster.client, &cluster.neighbour, &cluster.server]).unwrap();
    lab.start_control().unwrap();
    lab.start_agent(&cluster.one).unwrap();
    lab.start_agent(&cluster.two).unwrap();
    lab.start_node(&cluster.two).unwrap();
    let list = lab.directory().join("crl.pem");
    let launch = lab.node_launch(&cluster.one).unwrap().env("CRL_PATH", list.display());
    // It comes later; until then nothing is revoked.
    let node = lab.start_node_as(&cluster.one, launch).unwrap();
    let server = (cluster.server.ip4(), ECHO);
    let mut out = cluster.client.connect(server, SOON).unwrap();
    let mut back = cluster.server.connect((cluster.client.ip4(), ECHO), SOON).unwrap();
    let mut near = cluster.client.connect((cluster.neighbour.ip4(), ECHO), SOON).unwrap();
    for stream in [&mut out, &mut back, &mut near] {
        assert_alive(stream, b"before");
    }

    let identity = cluster.server.identity().to_string();
    fs::write(&list, revocation::list(lab, &[serial(&cluster, &identity)])).unwrap();
    assert_eq!(read_to_end(&mut out), Ending::Reset, "as client of the revoked one");
    assert_eq!(read_to_end(&mut back), Ending::Reset, "as server of the revoked one");
    assert_alive(&mut near, b"not our business");
    let line = node.wait_for_log("revoked by CRL", SOON).unwrap();
    assert!(line.contains(&identity), "{line}");
    assert_reset(&cluster.client, server);
    assert_reset(&cluster.server, (cluster.client.ip4(), ECHO));
    for reporter in ["reporter=\"source\"", "reporter=\"destination\""] {
        let counted =
            || metrics::counter(&cluster.one, "istio_crl_policy_rejections_total", &[reporter]) >= 2;
        lab.wait_until(SOON, reporter, counted).unwrap();
    }

    // What makes no sense changes nothing; an empty list revokes nothing.
    fs::write(&list, "nonsense").unwrap();
    node.wait_for_log("revocation lists cannot be used", SOON).unwrap();
    assert_reset(&cluster.client, server);
    fs::write(&list, "").unwrap();
    let served = || exchange(&cluster.client, server, b"back") == Ending::Complete(b"back".to_vec());
    lab.wait_until(SOON, "the server is let back in", served).unwrap();
    assert_echo(&cluster.server, (cluster.client.ip4(), ECHO), b"both ways");
}
