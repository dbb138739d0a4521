//! A new root, step by step, under a server that runs: whoever trusts one of the roots that count is served and believed.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::client::{Client, Has};
use crate::harness::{Ask, Control, DEADLINE, Dir, id, mesh};

/// The certificates of a text.
fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect()
}

fn store(roots: &[CertificateDer<'static>]) -> Arc<RootCertStore> {
    let mut store = RootCertStore::empty();
    roots.iter().for_each(|root| store.add(root.clone()).unwrap());
    Arc::new(store)
}

/// Shakes hands with the server; tells whether its certificate is accepted.
fn is_served(control: &Control, roots: &[CertificateDer<'static>]) -> bool {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(store(roots))
        .with_no_client_auth();
    let tcp = TcpStream::connect(("127.0.0.1", control.port())).unwrap();
    tcp.set_read_timeout(Some(DEADLINE)).unwrap();
    let client = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut stream = StreamOwned::new(client, tcp);
    // The preface of HTTP/2 and empty settings: the answer comes over a connection that was verified.
    let hello = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    hello.is_ok() && stream.read(&mut [0; 9]).is_ok_and(|read| read > 0)
}

/// Tells whether a workload that trusts these roots accepts a peer with this chain.
fn is_believed(chain: &[String], roots: &[CertificateDer<'static>]) -> bool {
    let (_, certified) = chain.split_last().unwrap();
    let mut ders = certified.iter().flat_map(|pem| certificates(pem));
    let leaf = ders.next().unwrap();
    let intermediates: Vec<_> = ders.collect();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let as_client =
        WebPkiClientVerifier::builder_with_provider(store(roots), Arc::clone(&provider)).build().unwrap();
    let as_client = as_client.verify_client_cert(&leaf, &intermediates, UnixTime::now()).is_ok();
    // As a server it has no DNS name: the chain is accepted when the name is all that is wrong.
    let as_server = WebPkiServerVerifier::builder_with_provider(store(roots), provider).build().unwrap();
    let name = "localhost".try_into().unwrap();
    let error = as_server.verify_server_cert(&leaf, &intermediates, &name, &[], UnixTime::now()).unwrap_err();
    let as_server = format!("{error:?}").contains("NotValidForName");
    assert_eq!(as_client, as_server);
    as_client
}

/// The program under one step of a rotation.
fn step(dir: &Dir, step: &str) -> String {
    let words: Vec<&str> = ["root", "--ca-dir", "ca"].into_iter().chain(step.split(' ')).collect();
    let output = dir.program(&words);
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{text}");
    text
}

/// Waits until the old root is known to be needed, and that it is not let go of.
async fn until_needed(dir: &Dir) {
    let start = Instant::now();
    while !step(dir, "status").contains("the old root is needed until 20") {
        assert!(start.elapsed() < DEADLINE, "{}", step(dir, "status"));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let output = dir.program(&["root", "--ca-dir", "ca", "finish"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && text.contains("--insist"), "{text}");
}

/// Asks for a certificate until what is to be trusted is this.
async fn chain_with(control: &Control, bundle: &str) -> Vec<String> {
    let web = id("web");
    let start = Instant::now();
    loop {
        let ask = Ask { token: Some("token-a"), identity: Some(&web), ..Ask::default() };
        let chain = control.ask(ask).await.unwrap();
        if chain.last().unwrap() == bundle {
            return chain;
        }
        assert!(start.elapsed() < DEADLINE, "{chain:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the server's own certificate is of the new root.
async fn until_served(control: &Control, roots: &[CertificateDer<'static>], expected: bool) {
    let start = Instant::now();
    while is_served(control, roots) != expected {
        assert!(start.elapsed() < DEADLINE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_loses_nobody() {
    let dir = Dir::new("rotation");
    let mut control = dir.start();
    let mut stream = Client::synced(&control, &Has::new(), &Has::new()).await;
    let old = certificates(control.root());
    let first = chain_with(&control, control.root()).await;

    assert!(step(&dir, "prepare").contains("stage: prepared\ntrusted roots: 2"));
    let bundle = dir.read("ca/root-cert.pem");
    let both = certificates(&bundle);
    let new = both[1..].to_vec();
    assert_eq!((both.len(), &both[0]), (2, &old[0]));
    let prepared = chain_with(&control, &bundle).await;
    assert_eq!(prepared.len(), 2);
    assert!(is_believed(&prepared, &old) && is_believed(&prepared, &both) && !is_believed(&prepared, &new));
    assert!(is_served(&control, &old) && is_served(&control, &both) && !is_served(&control, &new));

    assert!(step(&dir, "activate").contains("stage: active\ntrusted roots: 2"));
    let bundle = dir.read("ca/root-cert.pem");
    assert_eq!(certificates(&bundle), [new.clone(), old.clone()].concat(), "who signs comes first");
    let active = chain_with(&control, &bundle).await;
    assert_eq!(active.len(), 3, "the leaf, the new root by the old one, what to trust");
    for roots in [&old, &both, &new] {
        assert!(is_believed(&active, roots));
        until_served(&control, roots, true).await;
    }
    assert!(
        is_believed(&first, &both) && is_believed(&prepared, &both),
        "what the old one signed still counts"
    );

    until_needed(&dir).await;
    assert!(step(&dir, "finish --insist").contains("stage: steady\ntrusted roots: 1"));
    let bundle = dir.read("ca/root-cert.pem");
    assert_eq!(certificates(&bundle), new);
    control.trust(&bundle);
    until_served(&control, &old, false).await;
    let last = chain_with(&control, &bundle).await;
    assert!(last.len() == 2 && is_believed(&last, &new) && !is_believed(&last, &old));
    assert!(!is_believed(&prepared, &new), "what the old one signed counts no more");
    assert!(is_served(&control, &new));

    // The stream that was there before has seen nothing of it.
    dir.write("mesh.yaml", &mesh(&[("api", "a")]));
    stream.until(&["api"]).await;
    assert_eq!(control.count("discovery stream ended"), 0);
}

#[test]
fn a_step_at_the_wrong_time_says_what_is_right() {
    let dir = Dir::new("rotation-order");
    let output = dir.program(&["root", "--ca-dir", "ca", "status"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && text.contains("the directory ca cannot be used"), "{text}");
    drop(dir.start());
    assert!(step(&dir, "status").starts_with("stage: steady\n"));
    let output = dir.program(&["root", "--ca-dir", "ca", "finish"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(1) && text.contains("nothing to finish; next comes: prepare"),
        "{text}"
    );
}
