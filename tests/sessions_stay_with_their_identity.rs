//! A TLS session that may be resumed belongs to the identity it was made with: at another pod of the same node it counts for nothing.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use culvert_lab::Pod;
use rustls::client::Resumption;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};

use crate::harness::certificates::Authority;
use crate::harness::cluster::Cluster;
use crate::harness::endpoint::Groups;
use crate::harness::frames::load;
use crate::harness::talk::SOON;
use crate::harness::tunnel::{PREFACE, client_config, peer_name};

/// A peer that keeps its sessions, all under one name, and shows what it has to everybody.
struct Caller {
    cluster: Cluster,
    config: Arc<ClientConfig>,
}

impl Caller {
    fn start(name: &str) -> Self {
        let cluster = Cluster::start(name).unwrap();
        let identity = "spiffe://cluster.local/ns/default/sa/caller";
        let certificate = Authority::of_control(&cluster.lab).issue(cluster.lab.directory(), identity);
        let (chain, key) = load(&certificate);
        let mut config = Arc::unwrap_or_clone(client_config(chain, key, Groups::Classic));
        config.resumption = Resumption::in_memory_sessions(64);
        Self { cluster, config: Arc::new(config) }
    }

    /// Makes a tunnel to a pod, waits for the first word, which the sessions come before, and says how it was made and who was there.
    #[track_caller]
    fn call(&self, pod: &Pod) -> (HandshakeKind, Vec<u8>) {
        let tls = ClientConnection::new(Arc::clone(&self.config), peer_name()).unwrap();
        let stream = self.cluster.outsider.connect((pod.ip4(), 15008), SOON).unwrap();
        let mut stream = StreamOwned::new(tls, stream);
        stream.write_all(PREFACE).and_then(|()| stream.flush()).unwrap();
        stream.read_exact(&mut [0]).unwrap();
        let shown = stream.conn.peer_certificates().and_then(<[_]>::first).unwrap().to_vec();
        (stream.conn.handshake_kind().unwrap(), shown)
    }
}

#[test]
fn a_session_of_one_pod_is_not_resumed_by_its_neighbour() {
    let caller = Caller::start("sessions");
    let (client, neighbour) = (&caller.cluster.client, &caller.cluster.neighbour);
    let (first, shown) = caller.call(client);
    assert_eq!(first, HandshakeKind::Full);
    assert_eq!(caller.call(client), (HandshakeKind::Resumed, shown.clone()), "sessions are kept");
    let (next, other) = caller.call(neighbour);
    assert_eq!(next, HandshakeKind::Full);
    assert_ne!(other, shown, "the neighbour is itself");
}
