//! Roots that are made, read, and refused.

use std::os::unix::fs::PermissionsExt as _;

use std::fs::{self, File};
use std::path::PathBuf;

use rcgen::CertificateParams;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::files;

use super::*;

const KEY: &str = "root-key.pem";
const CERTIFICATE: &str = "root-cert.pem";

/// A directory that goes when the test ends.
struct Dir(PathBuf);

impl Dir {
    /// One that does not exist yet.
    fn fresh(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("culvert-root-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        Self(dir)
    }

    fn open(&self) -> Result<Arc<Root>, Error> {
        let (root, _) = follow(&self.0, SystemTime::now())?;
        Ok(Arc::clone(&root.borrow()))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.file(name)).unwrap().permissions().mode() & 0o7777
    }

    #[track_caller]
    fn assert_refused(&self, expected: &str) {
        let error = self.open().expect_err("the root is refused");
        let text = Chain(&error).to_string();
        assert!(text.contains(expected), "{text}");
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_first_start_makes_a_root_and_later_ones_read_it() {
    let dir = Dir::fresh("first");
    let first = dir.open().unwrap();
    assert_eq!((dir.mode(""), dir.mode(KEY), dir.mode(CERTIFICATE)), (0o700, 0o600, 0o644));
    assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 3, "nothing unfinished is left");
    let second = dir.open().unwrap();
    assert_eq!(first.bundle(), second.bundle());
}

#[test]
fn the_certificate_is_that_of_an_authority_for_ten_years() {
    let dir = Dir::fresh("certificate");
    let root = dir.open().unwrap();
    let der = CertificateDer::from_pem_slice(root.bundle().as_bytes()).unwrap();
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(certificate.subject().to_string(), "CN=Culvert root");
    assert!(certificate.is_ca());
    let usage = certificate.key_usage().unwrap().unwrap().value;
    assert!(usage.key_cert_sign() && usage.crl_sign() && !usage.digital_signature());
    assert_eq!(certificate.public_key().subject_public_key.data.len(), 65, "P-256");
    let years = root.validity().remaining(SystemTime::now()).as_secs() / (365 * 24 * 3600);
    assert_eq!(years, 10);
}

#[test]
fn half_a_root_is_refused_and_left_alone() {
    for (missing, present) in [(KEY, CERTIFICATE), (CERTIFICATE, KEY)] {
        let dir = Dir::fresh(missing);
        dir.open().unwrap();
        fs::remove_file(dir.file(missing)).unwrap();
        dir.assert_refused(&format!("{missing} is not; restore it"));
        assert!(dir.file(present).exists() && !dir.file(missing).exists());
    }
}

#[test]
fn parts_of_two_roots_are_refused() {
    let (one, other) = (Dir::fresh("one"), Dir::fresh("other"));
    one.open().unwrap();
    other.open().unwrap();
    fs::copy(other.file(CERTIFICATE), one.file(CERTIFICATE)).unwrap();
    one.assert_refused("do not belong together");
}

#[test]
fn a_key_others_can_read_is_refused() {
    let dir = Dir::fresh("exposed");
    dir.open().unwrap();
    for mode in [0o644, 0o640, 0o602] {
        fs::set_permissions(dir.file(KEY), fs::Permissions::from_mode(mode)).unwrap();
        dir.assert_refused(&format!("run: chmod 600 {}", dir.file(KEY).display()));
    }
    fs::set_permissions(dir.file(KEY), fs::Permissions::from_mode(0o400)).unwrap();
    dir.open().unwrap();
}

#[test]
fn files_that_are_not_what_they_should_be_are_refused() {
    let dir = Dir::fresh("malformed");
    let root = dir.open().unwrap();
    let key = fs::read_to_string(dir.file(KEY)).unwrap();
    let put = |name: &str, text: &str| fs::write(dir.file(name), text).unwrap();

    put(CERTIFICATE, &format!("{0}{0}{0}", root.bundle()));
    dir.assert_refused("is not one certificate in PEM, or two");
    put(CERTIFICATE, "");
    dir.assert_refused("is not one certificate in PEM, or two");
    let leaf = CertificateParams::default().self_signed(&KeyPair::from_pem(&key).unwrap()).unwrap();
    put(CERTIFICATE, &leaf.pem());
    dir.assert_refused("CA:true");
    put(CERTIFICATE, root.bundle());
    put(KEY, root.bundle());
    dir.assert_refused("is not a private key in PEM");
}

#[test]
fn an_expired_root_is_refused() {
    let dir = Dir::fresh("expired");
    let ten_years = Duration::from_secs(3653 * 24 * 3600);
    Directory::new(&dir.0).make_if_empty(SystemTime::now() - ten_years - BACKDATE).unwrap();
    dir.assert_refused("has expired");
}

#[test]
fn two_processes_do_not_make_two_roots() {
    let dir = Dir::fresh("busy");
    files::make_private_dir(&dir.0).unwrap();
    let other = File::open(&dir.0).unwrap();
    other.lock().unwrap();
    dir.assert_refused("another process is changing the root");
    drop(other);
    dir.open().unwrap();
}
