//! Peers that are not who they should be: with certificates that are too old, of somebody else, of another root, or revoked.

use std::fs;
use std::net::SocketAddr;

use culvert_lab::{Pod, PodSpec};
use serde_json::json;

use super::score::{Case, PATIENCE, Score, Which, case, fail, open};
use super::starting;
use crate::harness::certificates::{Authority, Certificate};
use crate::harness::cluster::{Cluster, ECHO};
use crate::harness::node_http2::{self, Client};
use crate::harness::revocation;
use crate::harness::talk::{Ending, assert_alive, read_to_end};
use crate::revoked_peers_are_cut_off::serial;

struct Stage {
    cluster: Cluster,
    old: Pod,
    foreign: Pod,
    other: Pod,
}

impl Stage {
    fn start() -> Self {
        let cluster = Cluster::without_mesh("faults-peers").unwrap();
        let peer = |name: &str| PodSpec::new(name).service_account(name).takes_tunnels();
        let [old, foreign, other] =
            ["old", "foreign", "other"].map(|name| cluster.lab.pod(&cluster.two, peer(name)).unwrap());
        let list = cluster.lab.directory().join("crl.pem");
        cluster.start_programs(&[("CRL_PATH", &list.display().to_string())]).unwrap();
        cluster.lab.enrol_all(&[&cluster.client, &cluster.server]).unwrap();
        let stage = Self { cluster, old, foreign, other };
        let authority = Authority::of_control(&stage.cluster.lab);
        let directory = stage.cluster.lab.directory();
        stage.serve(&stage.old, &authority.issue_expired(directory, &stage.old.identity()));
        stage.serve(&stage.other, &authority.issue(directory, "spiffe://cluster.local/ns/default/sa/x"));
        let stranger = Authority::create(directory);
        stage.serve(&stage.foreign, &stranger.issue(directory, &stage.foreign.identity()));
        stage
    }

    fn serve(&self, pod: &Pod, certificate: &Certificate) {
        node_http2::serve_tunnels(&self.cluster.lab, pod, certificate, json!({}));
    }

    /// Has somebody ask the server's tunnel for an address that it does not have.
    fn ask_server_for(&self, authority: SocketAddr) {
        let Cluster { lab, outsider, server, .. } = &self.cluster;
        let identity = "spiffe://cluster.local/ns/default/sa/asking";
        let certificate = Authority::of_control(lab).issue(lab.directory(), identity);
        let server = (server.ip4(), 15008).into();
        let client = Client { lab, from: outsider, server, certificate: &certificate };
        let wish = json!({ "does": "echo", "authority": authority, "streams": 1, "bytes": 1 });
        client.start(wish).wait_for_exit(PATIENCE).unwrap();
    }

    /// Has the nodes know that the server's certificate does not count. Its own would have it renewed at once, so there is nobody to ask.
    fn revoke(&self) {
        let Cluster { lab, server, .. } = &self.cluster;
        lab.control().unwrap().kill_hard().unwrap();
        let list = revocation::list(&self.cluster.lab, &[serial(&self.cluster, &server.identity())]);
        fs::write(lab.directory().join("crl.pem"), list).unwrap();
    }
}

pub(super) fn judge(score: &Score) {
    let stage = &starting(Stage::start);
    let Cluster { one, two, client, server, .. } = &stage.cluster;
    let mut cases: Vec<Case<'_>> = Vec::new();
    for (name, expected, pod) in [
        ("the peer's certificate has expired", "certificate", &stage.old),
        ("the peer's certificate is of another root", "certificate", &stage.foreign),
        ("somebody else is at the peer's address", "staleConfig", &stage.other),
    ] {
        cases.push(case(name, expected, move |fault| {
            fault.ended(one, client, &Which::From(fail(client, (pod.ip4(), ECHO))));
        }));
    }
    cases.push(case("a peer takes the pod for another one", "staleConfig", move |fault| {
        let asked = (stage.other.ip4(), ECHO).into();
        stage.ask_server_for(asked);
        fault.ended(two, server, &Which::Asking(asked));
    }));
    score.run(&cases);
    let live: Case<'_> =
        case("a certificate is revoked under a live connection", "certificate", move |fault| {
            let (own, mut stream) = open(client, (server.ip4(), ECHO));
            assert_alive(&mut stream, b"so far so good");
            stage.revoke();
            assert_eq!(read_to_end(&mut stream), Ending::Reset);
            fault.ended(one, client, &Which::From(own));
        });
    score.run(&[live]);
    let afterwards: Case<'_> = case("the peer's certificate is revoked", "certificate", move |fault| {
        fault.ended(one, client, &Which::From(fail(client, (server.ip4(), ECHO))));
    });
    score.run(&[afterwards]);
}
