//! Roots that are made, read, and refused.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// A directory that goes when the test ends.
struct Dir(PathBuf);

impl Dir {
    /// One that does not exist yet.
    fn fresh(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("culvert-root-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        Self(dir)
    }

    fn open(&self) -> Result<Root, Error> {
        Root::open_or_make(&self.0, SystemTime::now())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.file(name)).unwrap().permissions().mode() & 0o7777
    }

    #[track_caller]
    fn assert_refused(&self, expected: &str) {
        let error = self.open().err().expect("the root is refused");
        let text = culvert_process::exit::Chain(&error).to_string();
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
    assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 2, "nothing unfinished is left");
    let second = dir.open().unwrap();
    assert_eq!(first.pem(), second.pem());
}

#[test]
fn the_certificate_is_that_of_an_authority_for_ten_years() {
    let dir = Dir::fresh("certificate");
    let root = dir.open().unwrap();
    let der = only_certificate(root.pem()).unwrap();
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

    put(CERTIFICATE, &format!("{0}{0}", root.pem()));
    dir.assert_refused("is not one certificate in PEM");
    put(CERTIFICATE, "");
    dir.assert_refused("is not one certificate in PEM");
    let leaf = CertificateParams::default().self_signed(&KeyPair::from_pem(&key).unwrap()).unwrap();
    put(CERTIFICATE, &leaf.pem());
    dir.assert_refused("CA:true");
    put(KEY, root.pem());
    dir.assert_refused("is not a private key in PEM");
}

#[test]
fn an_expired_root_is_refused() {
    let dir = Dir::fresh("expired");
    Root::open_or_make(&dir.0, SystemTime::now() - LIFE - BACKDATE).unwrap();
    dir.assert_refused("has expired");
}

#[test]
fn two_processes_do_not_make_two_roots() {
    let dir = Dir::fresh("busy");
    files::make_private_dir(&dir.0).unwrap();
    let other = File::open(&dir.0).unwrap();
    other.lock().unwrap();
    dir.assert_refused("another process is making a root");
    drop(other);
    dir.open().unwrap();
}
