//! Certificates made with the `openssl` program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use culvert_lab::Lab;
use culvert_sys::child::die_with_parent;

/// A certificate and its key, as files.
pub(crate) struct Certificate {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificate {
    /// Its serial number, the highest byte first.
    #[track_caller]
    pub(crate) fn serial(&self) -> Vec<u8> {
        let output = openssl(&["x509", "-noout", "-serial", "-in"]).arg(&self.chain).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let digits = said.trim().strip_prefix("serial=").unwrap_or_else(|| panic!("{output:?}"));
        let digits = digits.as_bytes().chunks(2).map(|two| str::from_utf8(two).unwrap());
        digits.map(|two| u8::from_str_radix(two, 16).unwrap()).collect()
    }
}

/// Somebody who can sign certificates.
pub(crate) struct Authority(Certificate);

impl Authority {
    /// The control plane's own, from the directory it keeps it in.
    pub(crate) fn of_control(lab: &Lab) -> Self {
        let directory = lab.directory().join("ca");
        Self(Certificate { chain: lab.root_certificate(), key: directory.join("root-key.pem") })
    }

    /// A new one, which nobody trusts.
    #[track_caller]
    pub(crate) fn create(directory: &Path) -> Self {
        let certificate = new_files(directory);
        let mut command =
            openssl(&["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        command.args(["-subj", "/O=a stranger", "-days", "1", "-addext", "keyUsage=critical,keyCertSign"]);
        run(command.arg("-keyout").arg(&certificate.key).arg("-out").arg(&certificate.chain));
        Self(certificate)
    }

    /// Signs a certificate for a workload.
    #[track_caller]
    pub(crate) fn issue(&self, directory: &Path, identity: &str) -> Certificate {
        self.sign(directory, identity, &["-days", "1"])
    }

    /// Signs a certificate whose time is over.
    #[track_caller]
    pub(crate) fn issue_expired(&self, directory: &Path, identity: &str) -> Certificate {
        self.sign(directory, identity, &["-startdate", "20200101000000Z", "-enddate", "20200102000000Z"])
    }

    #[track_caller]
    fn sign(&self, directory: &Path, identity: &str, validity: &[&str]) -> Certificate {
        let certificate = new_files(directory);
        let [request, settings, database] =
            ["csr", "cnf", "db"].map(|what| certificate.chain.with_extension(what));
        let mut command =
            openssl(&["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        run(command.args(["-subj", "/", "-keyout"]).arg(&certificate.key).arg("-out").arg(&request));
        fs::write(&settings, self.settings(directory, &database, identity)).unwrap();
        fs::write(&database, "").unwrap();
        let mut command = openssl(&["ca", "-batch", "-notext", "-md", "sha256", "-config"]);
        command.arg(&settings).arg("-in").arg(&request).arg("-out").arg(&certificate.chain);
        run(command.args(validity));
        certificate
    }

    /// The configuration of `openssl ca`.
    fn settings(&self, directory: &Path, database: &Path, identity: &str) -> String {
        format!(
            "[ca]\ndefault_ca = authority\n\
             [authority]\ncertificate = {}\nprivate_key = {}\nnew_certs_dir = {}\ndatabase = {}\n\
             rand_serial = yes\npolicy = anybody\nx509_extensions = workload\n\
             [anybody]\ncommonName = optional\n\
             [workload]\nsubjectAltName = critical,URI:{identity}\nextendedKeyUsage = clientAuth,serverAuth\n",
            self.0.chain.display(),
            self.0.key.display(),
            directory.display(),
            database.display(),
        )
    }
}

fn new_files(directory: &Path) -> Certificate {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let file = |what| directory.join(format!("openssl-{number}.{what}"));
    Certificate { chain: file("crt"), key: file("key") }
}

fn openssl(words: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.args(["20", "openssl"]).args(words);
    command
}

#[track_caller]
fn run(command: &mut Command) {
    let output = die_with_parent(command).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
