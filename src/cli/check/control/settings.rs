//! Where control plane and authority are, and which roots they must be signed by: as somebody says, or as an environment does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::agent::Agent;
use crate::check::{Error, processes, sight};

/// Where they are, and what is trusted.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// The control plane; else XDS_ADDRESS
    #[arg(long, value_name = "HOST:PORT")]
    xds: Option<String>,

    /// The certificate authority; else CA_ADDRESS
    #[arg(long, value_name = "HOST:PORT")]
    ca: Option<String>,

    /// The roots both must be signed by (PEM); else XDS_ROOT_CA and CA_ROOT_CA
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,

    /// Take addresses and roots from the environment of this process, such as culvert-node
    #[arg(long, value_name = "PID")]
    env_of: Option<u32>,
}

/// Where they are.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(super) xds: Server,
    pub(super) ca: Server,
    /// Who issues in place of the authority.
    pub(super) agent: Option<Agent>,
}

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// As somebody wrote it.
    pub(super) address: Option<String>,
    pub(super) root: Option<Root>,
    pub(super) alternative: Option<String>,
    /// The variables that set these, for remedies.
    pub(super) variables: [&'static str; 3],
}

/// What is trusted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Root {
    System,
    Pem(String),
    File(PathBuf),
}

/// Where istiod is in a cluster.
const ISTIOD: &str = "istiod.istio-system.svc:15012";
/// Where a node looks for roots when nobody says.
const ROOT: &str = "./var/run/secrets/istio/root-cert.pem";

impl Options {
    /// The process whose settings are looked at.
    pub(crate) fn environment_of(&self) -> Option<u32> {
        self.env_of
    }

    /// What is said here, or else by an environment.
    pub(crate) fn settings(&self) -> Result<Settings, Error> {
        let environment = match self.env_of {
            Some(number) => {
                processes::environment(number).map_err(|source| Error::NoEnvironment { number, source })?
            }
            None => std::env::vars_os()
                .map(|(name, value)| {
                    (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
                })
                .collect(),
        };
        let server = |said: &Option<String>, variables| self.server(said.clone(), &environment, variables);
        Ok(Settings {
            xds: server(&self.xds, ["XDS_ADDRESS", "XDS_ROOT_CA", "ALT_XDS_HOSTNAME"]),
            ca: server(&self.ca, ["CA_ADDRESS", "CA_ROOT_CA", "ALT_CA_HOSTNAME"]),
            agent: match self.ca {
                Some(_) => None,
                None => Agent::read(&environment, |path| self.file(path)),
            },
        })
    }

    fn server(
        &self,
        said: Option<String>,
        environment: &BTreeMap<String, String>,
        variables: [&'static str; 3],
    ) -> Server {
        let get = |name: &str| environment.get(name).filter(|value| !value.is_empty()).cloned();
        let [address, root, alternative] = variables;
        let in_cluster = || environment.contains_key("KUBERNETES_SERVICE_HOST").then(|| ISTIOD.to_owned());
        let root = match (&self.root, get(root)) {
            (Some(file), _) => Some(Root::File(file.clone())),
            (None, Some(said)) => Some(self.root(said)),
            (None, None) => Some(self.file(ROOT)).filter(|file| file.exists()).map(Root::File),
        };
        Server {
            address: said.or_else(|| get(address)).or_else(in_cluster),
            root,
            alternative: get(alternative),
            variables,
        }
    }

    fn root(&self, said: String) -> Root {
        if said.eq_ignore_ascii_case("SYSTEM") {
            return Root::System;
        }
        if said.contains("-----BEGIN") { Root::Pem(said) } else { Root::File(self.file(&said)) }
    }

    /// A file as the process sees it whose environment is looked at.
    fn file(&self, path: &str) -> PathBuf {
        let Some(number) = self.env_of else { return path.into() };
        let process = Path::new("/proc").join(number.to_string());
        match Path::new(path).strip_prefix("/") {
            Ok(inside) => process.join("root").join(inside),
            Err(_) => process.join("cwd").join(path),
        }
    }
}

impl Root {
    pub(super) fn origin(&self) -> String {
        match self {
            Self::System => "the system's trust store".to_owned(),
            Self::Pem(_) => "the given text".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    pub(super) fn store(&self) -> Result<RootCertStore, String> {
        let certificates = match self {
            Self::System => rustls_native_certs::load_native_certs().certs,
            Self::Pem(text) => certificates(text),
            Self::File(path) => certificates(&sight::read(path).map_err(|error| error.to_string())?),
        };
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(certificates);
        if store.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(store) }
    }
}

fn certificates(text: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(text.as_bytes()).filter_map(Result::ok).collect()
}

/// Reads `host:port`, `https://host:port` or `[::1]:port`.
pub(super) fn parse(address: &str) -> Option<(String, u16)> {
    let rest = address.strip_prefix("https://").unwrap_or(address);
    let authority = rest.split('/').next()?;
    let (host, port) =
        match authority.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']')) {
            Some((host, port)) => (host, port.parse().ok()?),
            None if address.starts_with("https://") => (authority, 443),
            None => return None,
        };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty() && !address.starts_with("http://")).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options { xds: None, ca: None, root: None, env_of: None }
    }

    #[test]
    fn addresses_are_read() {
        let check = |address, expected: Option<(&str, u16)>| {
            assert_eq!(parse(address), expected.map(|(host, port)| (host.to_owned(), port)), "{address}");
        };
        check("istiod.istio-system.svc:15012", Some(("istiod.istio-system.svc", 15012)));
        check("https://10.0.0.1:15012", Some(("10.0.0.1", 15012)));
        check("https://control/path", Some(("control", 443)));
        check("[fd00::1]:15012", Some(("fd00::1", 15012)));
        for nonsense in ["control", "http://control:80", "fd00::1", "control:x", ":15012", ""] {
            check(nonsense, None);
        }
    }

    #[test]
    fn what_is_said_wins_over_the_environment() {
        let environment =
            |all: &[(&str, &str)]| all.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let variables = ["XDS_ADDRESS", "XDS_ROOT_CA", "ALT_XDS_HOSTNAME"];
        let set =
            environment(&[("XDS_ADDRESS", "a:1"), ("XDS_ROOT_CA", "SYSTEM"), ("ALT_XDS_HOSTNAME", "b")]);
        let server = options().server(Some("c:2".to_owned()), &set, variables);
        assert_eq!((server.address.as_deref(), server.alternative.as_deref()), (Some("c:2"), Some("b")));
        assert_eq!(server.root, Some(Root::System));
        let server = options().server(None, &set, variables);
        assert_eq!(server.address.as_deref(), Some("a:1"));
        let in_cluster = environment(&[("KUBERNETES_SERVICE_HOST", "10.96.0.1"), ("XDS_ADDRESS", "")]);
        assert_eq!(options().server(None, &in_cluster, variables).address.as_deref(), Some(ISTIOD));
        assert_eq!(options().server(None, &environment(&[]), variables).address, None);
    }

    #[test]
    fn files_are_those_of_the_process_whose_environment_is_read() {
        let of = Options { env_of: Some(7), ..options() };
        assert_eq!(of.file("/etc/root.pem"), Path::new("/proc/7/root/etc/root.pem"));
        assert_eq!(of.file("./root.pem"), Path::new("/proc/7/cwd/./root.pem"));
        assert_eq!(options().file("./root.pem"), Path::new("./root.pem"));
    }
}
