//! Lists good and bad, and which chains they revoke.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject as _;

use super::*;
use crate::identity::certificate::Certificate;
use crate::identity::testing::{Leaf, TestCa, account};

fn web() -> Leaf {
    Leaf::named(&[&account("web").to_string()])
}

/// What is presented with a certificate.
fn chain(certificate: &Certificate) -> Vec<CertificateDer<'static>> {
    certificate.chain().iter().map(|certificate| certificate.der.clone()).collect()
}

fn revoked(lists: &str, chain: &[CertificateDer<'_>], root: &TestCa) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(root.der())).unwrap();
    let lists = Lists::parse(lists.as_bytes()).unwrap();
    let ends = [End::Client, End::Server].map(|end| {
        let (leaf, rest) = chain.split_first().unwrap();
        lists.revoke(Presented { end, leaf, rest, roots: &roots, at: UnixTime::now() })
    });
    assert_eq!(ends[0], ends[1], "both directions agree");
    ends[0]
}

#[test]
fn a_listed_leaf_is_revoked_and_another_is_not() {
    let ca = TestCa::new("root");
    let [one, two] = [(); 2].map(|()| chain(&ca.good(&account("web"))));
    let list = ca.revoking(&[&one[0]]);
    assert!(revoked(&list, &one, &ca));
    assert!(!revoked(&list, &two, &ca));
    assert!(!revoked("", &one, &ca));
    assert!(!revoked(&ca.revoking(&[]), &one, &ca));
}

#[test]
fn a_listed_intermediate_takes_everything_below_and_nothing_else() {
    let root = TestCa::new("root");
    let (left, right) = (root.below("left"), root.below("right"));
    let deep = left.below("deep");
    let present = |ca: &TestCa| chain(&ca.certificate(&web(), &root.root_pem()));
    let list = root.revoking(&[left.der()]);
    assert!(revoked(&list, &present(&left), &root));
    assert!(revoked(&list, &present(&deep), &root));
    assert!(!revoked(&list, &present(&right), &root));
    let list = left.revoking(&[deep.der()]);
    assert!(!revoked(&list, &present(&left), &root));
    assert!(revoked(&list, &present(&deep), &root));
}

#[test]
fn a_list_of_another_issuer_of_the_same_name_says_nothing() {
    let root = TestCa::new("root");
    let (one, two) = (root.below("same"), root.below("same"));
    let of_one = chain(&one.certificate(&web(), &root.root_pem()));
    let forged = two.revoking(&[&of_one[0]]);
    assert!(!revoked(&forged, &of_one, &root));
    let both = format!("{forged}{}", one.revoking(&[&of_one[0]]));
    assert!(revoked(&both, &of_one, &root), "the right one counts beside it");
}

#[test]
fn certificates_that_are_presented_without_need_change_nothing() {
    let (root, stranger) = (TestCa::new("root"), TestCa::new("stranger"));
    let junk = stranger.below("junk");
    let mut presented = chain(&root.below("middle").certificate(&web(), &root.root_pem()));
    presented.insert(1, CertificateDer::from(junk.der().to_vec()));
    presented.push(CertificateDer::from(b"nonsense".to_vec()));
    assert!(!revoked(&stranger.revoking(&[junk.der()]), &presented, &root));
    let list = format!("{}{}", stranger.revoking(&[junk.der()]), root.revoking(&[&presented[2]]));
    assert!(revoked(&list, &presented, &root));
}

#[test]
fn a_file_is_pem_with_any_blocks_or_der() {
    let ca = TestCa::new("root");
    let leaf = chain(&ca.good(&account("web")));
    let list = ca.revoking(&[&leaf[0]]);
    let mixed = format!("# a comment\n{}{list}{}", ca.root_pem(), TestCa::new("other").revoking(&[]));
    let der = CertificateRevocationListDer::from_pem_slice(list.as_bytes()).unwrap().to_vec();
    for (content, lists, certificates) in [
        (b"".to_vec(), 0, 0),
        (b" \n".to_vec(), 0, 0),
        (ca.root_pem().into_bytes(), 0, 0),
        (list.clone().into_bytes(), 1, 1),
        (mixed.into_bytes(), 2, 1),
        (der, 1, 1),
    ] {
        let parsed = Lists::parse(&content).unwrap();
        assert_eq!((parsed.lists.len(), parsed.certificates), (lists, certificates));
    }
    let cut = &list[..list.len() / 2];
    let broken = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    for content in ["nonsense", cut, broken, &format!("{list}{broken}")] {
        assert!(Lists::parse(content.as_bytes()).is_err(), "{content}");
    }
}

struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("culvert-crl-{name}-{}", std::process::id())))
    }

    fn write(&self, content: &str) {
        let new = self.0.with_extension("new");
        std::fs::write(&new, content).unwrap();
        std::fs::rename(&new, &self.0).unwrap();
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn until(revocation: &Revocation, wanted: impl Fn(&Status) -> bool) {
    let there = async {
        while !wanted(&revocation.status()) {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(10), there).await;
    assert!(waited.is_ok(), "{:?}", revocation.status());
}

/// How many lists there are, and certificates on them.
fn in_force(revocation: &Revocation) -> (usize, usize) {
    let lists = revocation.lists();
    let lists = lists.borrow();
    (lists.lists.len(), lists.certificates)
}

#[tokio::test]
async fn a_file_is_waited_for_and_followed_and_garbage_changes_nothing() {
    let ca = TestCa::new("root");
    let leaf = chain(&ca.good(&account("web")));
    let file = File::new("followed");
    let (revocation, follow) = Revocation::of_file(&file.0);
    assert_eq!(revocation.status(), Status::Missing);
    let follow = tokio::spawn(follow.run());
    let in_force = || in_force(&revocation);

    file.write(&ca.revoking(&[&leaf[0]]));
    until(&revocation, |status| *status == Status::Valid { lists: 1, certificates: 1 }).await;
    assert_eq!(in_force(), (1, 1));
    file.write("garbage");
    until(&revocation, |status| matches!(status, Status::Invalid { why } if why.contains("list 1"))).await;
    assert_eq!(in_force(), (1, 1), "what was read before stays");
    std::fs::remove_file(&file.0).unwrap();
    until(&revocation, |status| *status == Status::Missing).await;
    assert_eq!(in_force(), (1, 1));
    file.write(&ca.revoking(&[]));
    until(&revocation, |status| *status == Status::Valid { lists: 1, certificates: 0 }).await;
    assert_eq!(in_force(), (1, 0));
    follow.abort();
}

#[tokio::test]
async fn garbage_at_the_start_is_not_the_end() {
    let ca = TestCa::new("root");
    let file = File::new("garbage");
    file.write("garbage");
    let (revocation, follow) = Revocation::of_file(&file.0);
    assert!(matches!(revocation.status(), Status::Invalid { .. }));
    let follow = tokio::spawn(follow.run());
    file.write(&ca.revoking(&[]));
    until(&revocation, |status| matches!(status, Status::Valid { .. })).await;
    follow.abort();
}

/// Somebody begins to write a newer file at the very moment: what is read is the beginning, which has none of the lists.
fn while_it_is_written(path: &Path) -> io::Result<Vec<u8>> {
    match std::fs::rename(path.with_extension("newer"), path) {
        Ok(()) => Ok(Vec::new()),
        Err(_) => std::fs::read(path),
    }
}

#[tokio::test]
async fn what_changes_while_it_is_read_lifts_nothing_and_the_newer_counts() {
    let ca = TestCa::new("root");
    let [one, two] = [(); 2].map(|()| chain(&ca.good(&account("web"))));
    let file = File::new("written");
    file.write(&ca.revoking(&[&one[0]]));
    let (revocation, follow) = Revocation::read_by(while_it_is_written, &file.0);
    assert_eq!(in_force(&revocation), (1, 1));
    let mut lists = revocation.lists();
    lists.mark_unchanged();
    let follow = tokio::spawn(follow.run());
    std::fs::write(file.0.with_extension("newer"), ca.revoking(&[&one[0], &two[0]])).unwrap();
    // Another change has it read.
    file.write(&(ca.revoking(&[&one[0]]) + "\n"));
    let changed = tokio::time::timeout(Duration::from_secs(20), lists.changed()).await;
    changed.expect("the newer one is read in time").unwrap();
    assert_eq!(in_force(&revocation), (1, 2), "half of a list is none");
    follow.abort();
}

static IS_FULL: AtomicBool = AtomicBool::new(false);

/// For a while there are no descriptors.
fn without_descriptors(path: &Path) -> io::Result<Vec<u8>> {
    if IS_FULL.load(Ordering::Relaxed) { Err(io::Error::from_raw_os_error(24)) } else { std::fs::read(path) }
}

#[tokio::test]
async fn what_could_not_be_read_lifts_nothing_and_is_read_when_it_can_be_without_a_change() {
    let ca = TestCa::new("root");
    let [one, two] = [(); 2].map(|()| chain(&ca.good(&account("web"))));
    let file = File::new("full");
    file.write(&ca.revoking(&[&one[0]]));
    let (revocation, follow) = Revocation::read_by(without_descriptors, &file.0);
    let follow = tokio::spawn(follow.run());
    IS_FULL.store(true, Ordering::Relaxed);
    file.write(&ca.revoking(&[&one[0], &two[0]]));
    until(&revocation, |status| matches!(status, Status::Invalid { .. })).await;
    assert_eq!(in_force(&revocation), (1, 1));
    IS_FULL.store(false, Ordering::Relaxed);
    until(&revocation, |status| *status == Status::Valid { lists: 1, certificates: 2 }).await;
    assert_eq!(in_force(&revocation), (1, 2));
    follow.abort();
}
