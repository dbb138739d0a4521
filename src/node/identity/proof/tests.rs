//! Handshakes one after the other, and what they prove.

use rustls::HandshakeKind;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::identity::testing::{DAY, Leaf, TestCa, TestLists, account, leaf};

/// What the two ends made of each other.
struct Met {
    kinds: [Option<HandshakeKind>; 2],
    /// What the server says of the client, then what the client says of the server.
    proofs: [Result<Proof, Refused>; 2],
}

impl Met {
    #[track_caller]
    fn assert_kind(&self, kind: HandshakeKind) {
        assert_eq!(self.kinds, [Some(kind); 2]);
    }

    #[track_caller]
    fn identities(self) -> [SpiffeId; 2] {
        self.proofs.map(|proof| proof.unwrap().id().clone())
    }
}

/// Shakes hands, and sends a byte to the client: a ticket comes with it.
async fn meet(client: &Certificate, server: &Certificate, expected: &[SpiffeId]) -> Met {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let serve = async {
        let mut tls = TlsAcceptor::from(server.server_config()).accept(far).await.unwrap();
        tls.write_all(b"!").await.unwrap();
        tls.flush().await.unwrap();
        let connection = tls.get_ref().1;
        (connection.handshake_kind(), server.client(connection.peer_certificates()))
    };
    let connect = async {
        let name = ServerName::try_from("192.0.2.1").unwrap();
        let mut tls = TlsConnector::from(client.client_config(expected)).connect(name, near).await.unwrap();
        tls.read_u8().await.unwrap();
        let connection = tls.get_ref().1;
        (connection.handshake_kind(), client.server(connection.peer_certificates(), expected))
    };
    let (of_client, of_server) = tokio::join!(serve, connect);
    Met { kinds: [of_client.0, of_server.0], proofs: [of_client.1, of_server.1] }
}

#[tokio::test]
async fn the_same_two_resume_and_prove_the_same() {
    let ca = TestCa::new("root");
    let (web, db) = (ca.good(&account("web")), ca.good(&account("db")));
    let first = meet(&web, &db, &[account("db")]).await;
    first.assert_kind(HandshakeKind::Full);
    assert_eq!(first.identities(), [account("web"), account("db")]);
    for _ in 0..3 {
        let again = meet(&web, &db, &[account("db")]).await;
        again.assert_kind(HandshakeKind::Resumed);
        assert_eq!(again.identities(), [account("web"), account("db")]);
    }
}

#[tokio::test]
async fn other_expectations_and_other_certificates_never_resume() {
    let ca = TestCa::new("root");
    let (web, db) = (ca.good(&account("web")), ca.good(&account("db")));
    let (other_web, other_db) = (ca.good(&account("web")), ca.good(&account("db")));
    meet(&web, &db, &[account("db")]).await.assert_kind(HandshakeKind::Full);
    meet(&web, &db, &[account("db"), account("cache")]).await.assert_kind(HandshakeKind::Full);
    meet(&other_web, &db, &[account("db")]).await.assert_kind(HandshakeKind::Full);
    meet(&web, &other_db, &[account("db")]).await.assert_kind(HandshakeKind::Full);
}

#[tokio::test]
async fn nothing_is_resumed_across_a_change_of_trust() {
    let (ca, more) = (TestCa::new("root"), TestCa::new("more"));
    let (lists, trust) = TestLists::new();
    let web = ca.good(&account("web"));
    let db = ca.good(&account("db")).trusting(&trust);
    meet(&web, &db, &[account("db")]).await.assert_kind(HandshakeKind::Full);
    lists.publish(&ca.revoking(&[]));
    meet(&web, &db, &[account("db")]).await.assert_kind(HandshakeKind::Full);
    meet(&web, &db, &[account("db")]).await.assert_kind(HandshakeKind::Resumed);
    let _new_root = more.good(&account("other")).trusting(&trust);
    meet(&web, &db, &[account("db")]).await.assert_kind(HandshakeKind::Full);
}

#[tokio::test]
async fn a_resumed_peer_is_looked_at_again() {
    let ca = TestCa::new("root");
    let web = ca.good(&account("web"));
    let soon = Leaf {
        not_after: SystemTime::now() + Duration::from_secs(3),
        ..Leaf::named(&[&account("db").to_string()])
    };
    let db = ca.certificate(&soon, &ca.root_pem());
    let first = meet(&web, &db, &[account("db")]).await;
    let [of_client, of_server] = first.proofs.map(Result::unwrap);
    assert!(!of_client.is_expired() && !of_server.is_expired());
    let both = async { tokio::join!(of_client.expired(), of_server.expired()) };
    tokio::time::timeout(Duration::from_secs(20), both).await.expect("it is told in time");

    let late = meet(&web, &db, &[account("db")]).await;
    late.assert_kind(HandshakeKind::Resumed);
    assert!(
        late.proofs.iter().all(|proof| matches!(proof, Err(Refused::Expired { .. }))),
        "both ends see it"
    );
}

#[test]
fn a_peer_that_is_not_acceptable_proves_nothing() {
    let ca = TestCa::new("root");
    let (lists, trust) = TestLists::new();
    let web = ca.good(&account("web")).trusting(&trust);
    let good = Leaf::named(&[&account("db").to_string()]);
    let old = Leaf { not_before: good.not_before - DAY, not_after: good.not_after - DAY, ..good.clone() };
    let [good, old] = [good, old].map(|leaf| ca.certificate(&leaf, &ca.root_pem()));
    let judge = |certificate: &Certificate| {
        let chain = [CertificateDer::from(leaf(certificate))];
        [web.client(Some(&chain)), web.server(Some(&chain), &[account("db")])]
    };
    assert!(judge(&good).iter().all(Result::is_ok));
    assert!(judge(&old).iter().all(|proof| matches!(proof, Err(Refused::Expired { .. }))));
    lists.publish(&ca.revoking(&[&leaf(&good)]));
    assert!(judge(&good).iter().all(|proof| matches!(proof, Err(Refused::Revoked))));
    let chain = [CertificateDer::from(leaf(&old))];
    let other = web.server(Some(&chain), &[account("cache")]);
    assert!(matches!(other, Err(Refused::Identity { .. })));
    for nothing in [None, Some(&[][..])] {
        assert!(matches!(web.client(nothing), Err(Refused::NoCertificate)));
    }
}

#[tokio::test]
async fn a_revocation_is_told_to_whom_it_concerns() {
    let ca = TestCa::new("root");
    let (lists, trust) = TestLists::new();
    let web = ca.good(&account("web")).trusting(&trust);
    let (one, two) = (ca.good(&account("db")), ca.good(&account("db")));
    let proof =
        |certificate: &Certificate| web.client(Some(&[CertificateDer::from(leaf(certificate))])).unwrap();
    let (of_one, of_two) = (proof(&one), proof(&two));
    let told = tokio::spawn(async move { of_one.revoked().await });
    lists.publish(&ca.revoking(&[]));
    lists.publish(&ca.revoking(&[&leaf(&one)]));
    tokio::time::timeout(Duration::from_secs(10), told).await.expect("it is told in time").unwrap();
    let quiet = tokio::time::timeout(Duration::from_millis(50), of_two.revoked()).await;
    assert!(quiet.is_err(), "another certificate is not concerned");
    // Nobody was waiting when this list came.
    lists.publish(&ca.revoking(&[&leaf(&two)]));
    tokio::time::timeout(Duration::from_secs(10), of_two.revoked()).await.expect("it is not missed");
}
