//! Real TLS handshakes between two certificates, over memory.

use std::io;

use rcgen::{ExtendedKeyUsagePurpose, SanType};
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::identity::Trust;
use crate::identity::certificate::Certificate;
use crate::identity::revocation::Revocation;
use crate::identity::testing::{DAY, Leaf, TestCa, TestLists, account, id};

/// What both ends saw.
struct Ends {
    /// The identity the server took the client for.
    server: io::Result<SpiffeId>,
    client: io::Result<()>,
}

impl Ends {
    #[track_caller]
    fn assert_server_refused(&self, why: &str) {
        let error = self.server.as_ref().unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert!(self.client.is_err());
    }

    #[track_caller]
    fn assert_client_refused(&self, why: &str) {
        let error = self.client.as_ref().unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert!(self.server.is_err());
    }
}

/// What an end refused the other one for.
fn refused<T>(end: &io::Result<T>) -> Option<Refused> {
    Refused::of(end.as_ref().err()?.get_ref()?.downcast_ref()?)
}

/// Shakes hands, then sends one byte from the server to the client: a TLS 1.3 client learns of its own refusal late.
async fn handshake(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> Ends {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let serve = async {
        let mut tls = TlsAcceptor::from(server).accept(far).await?;
        tls.write_all(b"!").await?;
        tls.flush().await?;
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        let chain = tls.get_ref().1.peer_certificates().unwrap();
        Ok(x509::identities(&chain[0]).swap_remove(0))
    };
    let connect = async {
        let name = ServerName::try_from("192.0.2.1").unwrap();
        let mut tls = TlsConnector::from(client).connect(name, near).await?;
        tls.read_u8().await.map(drop)
    };
    let (server, client) = tokio::join!(serve, connect);
    Ends { server, client }
}

async fn between(client: &Certificate, server: &Certificate) -> Ends {
    handshake(client.client_config(std::slice::from_ref(server.id())), server.server_config()).await
}

#[tokio::test]
async fn two_workloads_of_one_mesh_meet() {
    let ca = TestCa::new("root");
    let ends = between(&ca.good(&account("web")), &ca.good(&account("db"))).await;
    ends.client.unwrap();
    assert_eq!(ends.server.unwrap(), account("web"));
}

#[tokio::test]
async fn certificates_under_either_root_of_a_bundle_meet() {
    let (old, new) = (TestCa::new("old"), TestCa::new("new"));
    let both = format!("{}{}", old.root_pem(), new.root_pem());
    let web = old.certificate(&Leaf::named(&[&account("web").to_string()]), &both);
    let db = new.certificate(&Leaf::named(&[&account("db").to_string()]), &both);
    for ends in [between(&web, &db).await, between(&db, &web).await] {
        ends.client.unwrap();
        ends.server.unwrap();
    }
}

#[tokio::test]
async fn a_peer_of_another_authority_is_refused() {
    let (ours, theirs) = (TestCa::new("ours"), TestCa::new("theirs"));
    let web = ours.good(&account("web"));
    between(&web, &theirs.good(&account("db"))).await.assert_client_refused("UnknownIssuer");

    // The client trusts both, the server only its own.
    let both = format!("{}{}", ours.root_pem(), theirs.root_pem());
    let stranger = theirs.certificate(&Leaf::named(&[&account("db").to_string()]), &both);
    between(&stranger, &web).await.assert_server_refused("UnknownIssuer");
}

#[tokio::test]
async fn a_root_one_identity_has_learnt_of_is_accepted_by_all() {
    let (old, new) = (TestCa::new("old"), TestCa::new("new"));
    let both = format!("{}{}", old.root_pem(), new.root_pem());
    let leaf = |name: &str| Leaf::named(&[&account(name).to_string()]);
    let trust = Trust::default();
    let web = old.good(&account("web")).trusting(&trust);
    let db = new.certificate(&leaf("db"), &both);
    between(&web, &db).await.assert_client_refused("UnknownIssuer");
    between(&db, &web).await.assert_server_refused("UnknownIssuer");

    let other = old.certificate(&leaf("other"), &both).trusting(&trust);
    for ends in [between(&web, &db).await, between(&db, &web).await] {
        ends.client.unwrap();
        ends.server.unwrap();
    }
    drop(other);
    between(&web, &db).await.assert_client_refused("UnknownIssuer");
    between(&db, &web).await.assert_server_refused("UnknownIssuer");
}

#[tokio::test]
async fn a_peer_of_an_alias_of_the_trust_domain_is_who_it_says() {
    let ca = TestCa::new("root");
    let trust = Trust::new(vec!["old.example".into()], &Revocation::off());
    let alias = |name: &str| id(&format!("spiffe://old.example/ns/default/sa/{name}"));
    let web = ca.good(&account("web")).trusting(&trust);
    let (db, cache) = (ca.good(&alias("db")), ca.good(&alias("cache")));
    handshake(web.client_config(&[account("db")]), db.server_config()).await.client.unwrap_err();
    let db = db.trusting(&Trust::new(vec!["cluster.local".into()], &Revocation::off()));
    handshake(web.client_config(&[account("db")]), db.server_config()).await.client.unwrap();
    let ends = handshake(web.client_config(&[account("db")]), cache.server_config()).await;
    ends.assert_client_refused("the peer is spiffe://old.example/ns/default/sa/cache");

    let ends = between(&db, &web).await;
    ends.client.unwrap();
    assert_eq!(ends.server.unwrap(), alias("db"), "the identity stays what the certificate says");
    let foreign = ca.good(&id("spiffe://other.example/ns/default/sa/web"));
    between(&foreign, &web).await.assert_server_refused("than `cluster.local`, `old.example`");
}

#[tokio::test]
async fn a_revoked_peer_is_refused_in_both_directions() {
    let root = TestCa::new("root");
    let middle = root.below("middle");
    let (lists, trust) = TestLists::new();
    let web = root.good(&account("web")).trusting(&trust);
    let leaf = |name: &str| Leaf::named(&[&account(name).to_string()]);
    let db = root.certificate(&leaf("db"), &root.root_pem());
    let deep = middle.certificate(&leaf("deep"), &root.root_pem());
    between(&web, &db).await.client.unwrap();
    between(&web, &deep).await.client.unwrap();
    lists.publish(&root.revoking(&[&db.chain()[0].der, middle.der()]));
    for revoked in [&db, &deep] {
        let ends = between(&web, revoked).await;
        assert_eq!(refused(&ends.client), Some(Refused::Revoked));
        ends.assert_client_refused("Revoked");
        let ends = between(revoked, &web).await;
        assert_eq!(refused(&ends.server), Some(Refused::Revoked));
        ends.assert_server_refused("Revoked");
    }
    lists.publish("");
    between(&web, &db).await.client.unwrap();
}

#[tokio::test]
async fn a_server_other_than_expected_is_refused_in_the_handshake() {
    let ca = TestCa::new("root");
    let (web, db) = (ca.good(&account("web")), ca.good(&account("db")));
    let ends = handshake(web.client_config(&[account("cache"), account("queue")]), db.server_config()).await;
    ends.assert_client_refused(
        "the peer is spiffe://cluster.local/ns/default/sa/db, expected one of \
         spiffe://cluster.local/ns/default/sa/cache, spiffe://cluster.local/ns/default/sa/queue",
    );
    let ends = handshake(web.client_config(&[account("cache"), account("db")]), db.server_config()).await;
    ends.client.unwrap();
    let ends = handshake(web.client_config(&[]), db.server_config()).await;
    ends.assert_client_refused("expected nobody");
}

#[tokio::test]
async fn a_client_of_another_trust_domain_is_refused() {
    let ca = TestCa::new("root");
    let foreign = ca.good(&id("spiffe://other.example/ns/default/sa/web"));
    between(&foreign, &ca.good(&account("db"))).await.assert_server_refused(
        "the peer is spiffe://other.example/ns/default/sa/web, of another trust domain than `cluster.local`",
    );
}

#[tokio::test]
async fn the_first_identity_is_the_one_that_counts_for_the_server() {
    let ca = TestCa::new("root");
    let names = ["spiffe://other.example/ns/default/sa/web", "spiffe://cluster.local/ns/default/sa/web"];
    let two = ca.certificate(&Leaf::named(&names), &ca.root_pem());
    between(&two, &ca.good(&account("db"))).await.assert_server_refused("another trust domain");
}

#[tokio::test]
async fn a_client_without_identity_is_refused() {
    let ca = TestCa::new("root");
    let db = ca.good(&account("db"));
    let good = Leaf::named(&[&account("web").to_string()]);
    let key = rcgen::KeyPair::generate().unwrap();
    let nameless = Leaf { names: vec![SanType::DnsName("web".try_into().unwrap())], ..good };
    let pem = ca.sign(&nameless, &key);
    let config = plain_client(&ca, &[account("db")]).with_client_auth_cert(
        vec![rustls_pki_types::pem::PemObject::from_pem_slice(pem.as_bytes()).unwrap()],
        rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
    );
    let ends = handshake(with_h2(config.unwrap()), db.server_config()).await;
    ends.assert_server_refused("names no workload identity");
}

#[tokio::test]
async fn a_client_without_certificate_is_refused() {
    let ca = TestCa::new("root");
    let config = plain_client(&ca, &[account("db")]).with_no_client_auth();
    let ends = handshake(with_h2(config), ca.good(&account("db")).server_config()).await;
    ends.assert_server_refused("peer sent no certificates");
}

#[tokio::test]
async fn an_expired_leaf_is_refused_at_both_ends() {
    let ca = TestCa::new("root");
    let good = Leaf::named(&[&account("old").to_string()]);
    let expired = Leaf { not_before: good.not_before - DAY, not_after: good.not_after - DAY, ..good };
    let (old, db) = (ca.certificate(&expired, &ca.root_pem()), ca.good(&account("db")));
    between(&old, &db).await.assert_server_refused("expired");
    between(&db, &old).await.assert_client_refused("expired");
}

#[tokio::test]
async fn a_leaf_for_the_other_end_only_is_refused() {
    let ca = TestCa::new("root");
    let only = |usage: ExtendedKeyUsagePurpose| {
        let leaf = Leaf { usages: vec![usage], ..Leaf::named(&[&account("half").to_string()]) };
        ca.certificate(&leaf, &ca.root_pem())
    };
    let db = ca.good(&account("db"));
    let server_only = only(ExtendedKeyUsagePurpose::ServerAuth);
    between(&server_only, &db).await.assert_server_refused("client authentication");
    between(&db, &server_only).await.client.unwrap();
    let client_only = only(ExtendedKeyUsagePurpose::ClientAuth);
    between(&db, &client_only).await.assert_client_refused("server authentication");
    between(&client_only, &db).await.client.unwrap();
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let ca = TestCa::new("root");
    let servers = Servers::expected(&[account("db")], ca.good(&account("web")).accepted());
    let config = ClientConfig::builder_with_provider(Arc::clone(crypto::provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(servers))
        .with_no_client_auth();
    let ends = handshake(with_h2(config), ca.good(&account("db")).server_config()).await;
    assert!(ends.server.unwrap_err().to_string().contains("incompatible"));
    assert!(ends.client.is_err());
}

type WantsClientCert = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

/// A client that trusts `ca` and presents what the test says.
fn plain_client(ca: &TestCa, expected: &[SpiffeId]) -> WantsClientCert {
    let accepted = ca.good(&account("web")).accepted();
    ClientConfig::builder_with_provider(Arc::clone(crypto::provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Servers::expected(expected, accepted)))
}

fn with_h2(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}
