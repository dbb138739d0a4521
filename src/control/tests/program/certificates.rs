//! Certificates: who gets which, and what a start and an edit need.

use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::Signal;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tonic::{Code, Status};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::harness::{Ask, Control, Dir, id, mesh};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Checks the chain; returns how long the leaf is valid from now on.
#[track_caller]
fn check_chain(chain: &[String], control: &Control, identity: &str) -> Duration {
    let [leaf, root] = chain else { panic!("{chain:?}") };
    assert_eq!(root, control.root());
    let [leaf, root] = [leaf, root].map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap());
    let (_, root) = X509Certificate::from_der(&root).unwrap();
    let (_, leaf) = X509Certificate::from_der(&leaf).unwrap();
    leaf.verify_signature(Some(root.public_key())).unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names, [GeneralName::URI(identity)]);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let not_after = u64::try_from(leaf.validity().not_after.timestamp()).unwrap();
    Duration::from_secs(not_after).saturating_sub(now)
}

#[track_caller]
fn check_refused(answer: Result<Vec<String>, Status>, code: Code, reason: &str) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), code, "{status}");
    let told = status.metadata().get("culvert-reason").map(|value| value.to_str().unwrap());
    assert_eq!(told.unwrap_or_default(), reason, "{status}");
}

#[tokio::test]
async fn a_node_gets_the_identities_of_its_workloads_and_no_others() {
    let dir = Dir::new("node");
    let control = dir.start();
    let (web, db) = (id("web"), id("db"));
    let ask = Ask { token: Some("token-a"), identity: Some(&web), ..Ask::default() };

    let rest = check_chain(&control.ask(ask).await.unwrap(), &control, &web);
    assert!(rest <= DAY && rest > DAY - Duration::from_secs(60), "the default is a day: {rest:?}");
    let line = control.logged("\tcertificate issued\t");
    for field in
        ["caller=node/a", "identity=spiffe://cluster.local/ns/ns/sa/web", "serial=", "not_after=\"20"]
    {
        assert!(line.contains(field), "{line}");
    }

    let hour = check_chain(&control.ask(Ask { ttl: 3600, ..ask }).await.unwrap(), &control, &web);
    assert!(hour <= Duration::from_secs(3600) && hour > Duration::from_secs(3540), "{hour:?}");

    let other = control.ask(Ask { identity: Some(&db), ..ask }).await;
    assert_eq!(other.as_ref().unwrap_err().message(), "no workload with this identity on node \"a\"");
    check_refused(other, Code::PermissionDenied, "identity-not-on-node");
    let line = control.logged("certificate refused");
    assert!(line.contains("caller=node/a") && line.contains("reason=\"identity-not-on-node\""), "{line}");

    let foreign = Some("spiffe://other.example/ns/ns/sa/web");
    check_refused(
        control.ask(Ask { identity: foreign, ..ask }).await,
        Code::PermissionDenied,
        "trust-domain-mismatch",
    );
    check_refused(
        control.ask(Ask { identity: None, ..ask }).await,
        Code::PermissionDenied,
        "identity-not-named",
    );
    let malformed = Some("spiffe://cluster.local/web");
    check_refused(
        control.ask(Ask { identity: malformed, ..ask }).await,
        Code::InvalidArgument,
        "identity-malformed",
    );
}

#[tokio::test]
async fn a_proxy_of_one_workload_gets_its_own_identity_only() {
    let dir = Dir::new("workload");
    let control = dir.start();
    let own = "spiffe://cluster.local/ns/edge/sa/proxy";
    let ask = Ask { token: Some("token-edge"), ..Ask::default() };
    check_chain(&control.ask(ask).await.unwrap(), &control, own);
    check_chain(&control.ask(Ask { identity: Some(own), ..ask }).await.unwrap(), &control, own);
    let web = id("web");
    check_refused(
        control.ask(Ask { identity: Some(&web), ..ask }).await,
        Code::PermissionDenied,
        "identity-not-own",
    );
}

#[tokio::test]
async fn a_stranger_gets_nothing_but_a_code() {
    let dir = Dir::new("stranger");
    let control = dir.start();
    let web = id("web");
    for token in [None, Some(""), Some("token-"), Some("token-c"), Some("TOKEN-A")] {
        let answer = control.ask(Ask { token, identity: Some(&web), ..Ask::default() }).await;
        assert_eq!(answer.as_ref().unwrap_err().message(), "a valid bearer token is needed");
        let code =
            if token.is_some_and(|token| !token.is_empty()) { "token-unknown" } else { "token-missing" };
        check_refused(answer, Code::Unauthenticated, code);
    }
}

#[tokio::test]
async fn requests_that_cannot_be_met_are_refused() {
    let dir = Dir::new("requests");
    let control = dir.start();
    let web = id("web");
    let ask = Ask { token: Some("token-a"), identity: Some(&web), ..Ask::default() };
    let long = "x".repeat(20_000);
    for csr in ["", "nonsense", control.root(), &long] {
        check_refused(
            control.ask(Ask { csr: Some(csr), ..ask }).await,
            Code::InvalidArgument,
            "csr-malformed",
        );
    }
    let days = |days: i64| days * 24 * 3600;
    for ttl in [days(91), days(90) + 1, i64::MAX] {
        check_refused(control.ask(Ask { ttl, ..ask }).await, Code::InvalidArgument, "ttl-too-long");
    }
    for (ttl, expected) in [(days(90), DAY * 90), (-1, DAY), (i64::MIN, DAY)] {
        let rest = check_chain(&control.ask(Ask { ttl, ..ask }).await.unwrap(), &control, &web);
        assert!(rest <= expected && rest > expected - Duration::from_secs(60), "{ttl}: {rest:?}");
    }
    // More than any request needs: not even read.
    let huge = "x".repeat(1_000_000);
    assert!(control.ask(Ask { csr: Some(&huge), ..ask }).await.is_err());
}

#[tokio::test]
async fn a_restart_keeps_the_root() {
    let dir = Dir::new("restart");
    let first = dir.start();
    assert_eq!(
        (dir.mode("ca"), dir.mode("ca/root-key.pem"), dir.mode("ca/root-cert.pem")),
        (0o700, 0o600, 0o644)
    );
    let root = first.root().to_owned();
    assert!(first.stop(Signal::SIGTERM).await.success());
    let second = dir.start();
    assert_eq!(second.root(), root);
    let web = id("web");
    let ask = Ask { token: Some("token-a"), identity: Some(&web), ..Ask::default() };
    check_chain(&second.ask(ask).await.unwrap(), &second, &web);
    assert!(second.stop(Signal::SIGINT).await.success());
}

#[tokio::test]
async fn an_open_connection_does_not_hold_up_the_stop() {
    let dir = Dir::new("stop");
    let control = dir.start();
    let channel = control.connect("localhost").await.unwrap();
    let start = Instant::now();
    let status = control.stop(Signal::SIGTERM).await;
    assert!(
        status.success() && start.elapsed() < Duration::from_secs(4),
        "{status} after {:?}",
        start.elapsed()
    );
    drop(channel);
}

#[tokio::test]
async fn the_server_is_known_by_all_its_names() {
    let dir = Dir::new("names");
    let control = dir.start();
    for name in ["localhost", "127.0.0.1", "::1", "control.example"] {
        control.connect(name).await.unwrap();
    }
    assert!(control.connect("other.example").await.is_err());
}

#[tokio::test]
async fn edits_count_at_once_and_bad_ones_change_nothing() {
    let dir = Dir::new("edits");
    let control = dir.start();
    let db = id("db");
    let ask = Ask { token: Some("token-a"), identity: Some(&db), ..Ask::default() };
    check_refused(control.ask(ask).await, Code::PermissionDenied, "identity-not-on-node");

    dir.write("mesh.yaml", &mesh(&[("db", "a")]));
    control.ask_until(ask, Result::is_ok).await;
    dir.write("mesh.yaml", "workloads:\n- {nonsense: 1}\n");
    let line = control.logged("file is not valid");
    assert!(line.contains("line=2") && line.contains("nonsense"), "{line}");
    control.ask(ask).await.unwrap();

    let unknown = |answer: &Result<Vec<String>, Status>| {
        answer.as_ref().is_err_and(|status| status.code() == Code::Unauthenticated)
    };
    dir.write("tokens.yaml", "tokens:\n- {token: rotated, node: a}\n");
    control.ask_until(ask, unknown).await;
    let rotated = Ask { token: Some("rotated"), ..ask };
    control.ask(rotated).await.unwrap();
    dir.write("tokens.yaml", "tokens:\n- {token: rotated, node: a}\n- {token: rotated, node: b}\n");
    let line = control.logged("line 3: the same token");
    assert!(!line.contains("rotated"), "{line}");
    control.ask(rotated).await.unwrap();
    std::fs::remove_file(dir.path("tokens.yaml")).unwrap();
    control.logged("file cannot be read");
    control.ask(rotated).await.unwrap();
}

#[test]
fn a_start_that_cannot_work_says_why() {
    let dir = Dir::new("start");
    let check = |more: &[&str], code: i32, expected: &str| {
        let output = dir.run(more);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(expected), "{text}");
    };
    check(&["--name", "not a name"], 2, "neither a DNS name nor an IP address");
    check(&["--listen", "192.0.2.1:1"], 1, "cannot listen on 192.0.2.1:1");

    let tokens = dir.path("tokens.yaml");
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&tokens, readable).unwrap();
    check(&[], 1, &format!("run: chmod 600 {}", tokens.display()));
    dir.write("tokens.yaml", "tokens:\n- {token: secret, nod: a}\n");
    check(&[], 1, "line 2");
    dir.write("tokens.yaml", "tokens: []\n");
    dir.write("mesh.yaml", "nonsense: 1\n");
    check(&[], 1, "line 1");
    std::fs::remove_file(dir.path("mesh.yaml")).unwrap();
    check(&[], 1, "cannot be read");
}
