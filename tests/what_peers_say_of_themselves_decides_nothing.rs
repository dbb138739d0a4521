//! What a peer says of itself in headers changes no decision: policies see the identity its certificate proves, and the address
//! its tunnel comes from.

use std::net::SocketAddr;

use culvert_lab::Section;

use crate::harness::certificates::{Authority, Certificate};
use crate::harness::cluster::{Cluster, ECHO};
use crate::harness::frames::{Rogue, connect, field, flag, kind, status};

const ALLOWED: u32 = 200;
const DENIED: u32 = 401;

/// A server on the second node, and two peers outside of the mesh's programs: one the policies are for, and one they are not for.
struct Rig {
    cluster: Cluster,
    trusted: Certificate,
    liar: Certificate,
}

impl Rig {
    fn start(name: &str) -> Self {
        let cluster = Cluster::start(name).unwrap();
        let authority = Authority::of_control(&cluster.lab);
        let certificate = |identity| authority.issue(cluster.lab.directory(), identity);
        let trusted = certificate("spiffe://cluster.local/ns/trusted/sa/friend");
        let liar = certificate("spiffe://cluster.local/ns/default/sa/liar");
        Self { cluster, trusted, liar }
    }

    /// Lets nobody into the server but whom this condition is met by.
    fn allow(&self, condition: &str) {
        let only = format!(
            "- {{name: only, namespace: default, scope: Namespace, action: Allow, rules: [[[{{ {condition} }}]]]}}"
        );
        self.cluster.lab.set(Section::Policies, &only).unwrap();
    }

    /// The answer to a peer that says these things.
    #[track_caller]
    fn answer(&self, certificate: &Certificate, headers: &[(&str, String)]) -> u32 {
        let server: SocketAddr = (self.cluster.server.ip4(), ECHO).into();
        let tunnel = (self.cluster.server.ip4(), 15008);
        let mut peer = Rogue::enter(&self.cluster.outsider, tunnel, certificate);
        peer.begin();
        let mut block = connect(server);
        for (name, value) in headers {
            block.extend(field(name.as_bytes(), value.as_bytes()));
        }
        peer.frame(kind::HEADERS, flag::END_HEADERS, 1, &block);
        status(&peer.wait_for(|frame| frame.kind == kind::HEADERS && frame.stream == 1))
    }

    /// All that a peer can say to be taken for the friend, who is at the address of the client.
    fn lies(&self) -> Vec<(&'static str, String)> {
        let ip = self.cluster.client.ip4();
        let who = "spiffe://cluster.local/ns/trusted/sa/friend";
        let baggage = "k8s.cluster.name=Kubernetes,k8s.namespace.name=trusted,k8s.pod.name=friend,\
                       k8s.deployment.name=friend,service.name=friend,service.version=v1";
        vec![
            // As programs of ours say it; and without a port, as others may.
            ("forwarded", format!("for=\"{ip}:4000\";host=server.default.svc.cluster.local")),
            ("forwarded", format!("for={ip};by={};host={}", self.cluster.server.ip4(), who)),
            ("baggage", baggage.to_owned()),
            ("x-forwarded-network", "trusted".to_owned()),
            ("x-forwarded-for", ip.to_string()),
            ("x-forwarded-client-cert", format!("By={who};URI={who}")),
            ("source", who.to_owned()),
        ]
    }

    /// The answers to the liar, for each lie alone and for all of them at once.
    #[track_caller]
    fn assert_answers_to_lies(&self, expected: u32) {
        let lies = self.lies();
        for lie in &lies {
            assert_eq!(self.answer(&self.liar, std::slice::from_ref(lie)), expected, "{lie:?}");
        }
        assert_eq!(self.answer(&self.liar, &lies), expected, "{lies:?}");
    }
}

#[test]
fn nobody_is_let_in_for_what_it_says() {
    let rig = Rig::start("lies-in");
    for condition in
        ["principals: [!Exact cluster.local/ns/trusted/sa/friend]", "namespaces: [!Exact trusted]"]
    {
        rig.allow(condition);
        assert_eq!(rig.answer(&rig.trusted, &[]), ALLOWED, "{condition} is about the friend");
        rig.assert_answers_to_lies(DENIED);
    }
    // The friend's address is the client's, and neither of the two is there.
    rig.allow(&format!("sourceIps: [\"{}\"]", rig.cluster.client.ip4()));
    rig.assert_answers_to_lies(DENIED);
}

#[test]
fn nobody_is_kept_out_for_what_it_says() {
    let rig = Rig::start("lies-out");
    for condition in [
        "notPrincipals: [!Exact cluster.local/ns/trusted/sa/friend]".to_owned(),
        "notNamespaces: [!Exact trusted]".to_owned(),
        format!("sourceIps: [\"{}\"]", rig.cluster.outsider.ip4()),
    ] {
        rig.allow(&condition);
        rig.assert_answers_to_lies(ALLOWED);
    }
    rig.allow("notPrincipals: [!Exact cluster.local/ns/default/sa/liar]");
    rig.assert_answers_to_lies(DENIED);
}
