//! How the two programs are started: files and an address go in, options come out.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where etcd serves the API server, and where it would serve others like it. Nobody else is in that network namespace.
const ETCD: &str = "http://127.0.0.1:2379";
const ETCD_PEERS: &str = "http://127.0.0.1:2380";
/// The issuer of tokens, and whom they are for unless they say so.
const ISSUER: &str = "https://kubernetes.default.svc";
/// Services of the lab are in it, and those of tests.
const SERVICES: &str = "10.96.0.0/16";

/// What the programs read and write.
#[derive(Debug)]
pub(super) struct Files {
    /// Of etcd: the whole cluster.
    pub(super) etcd: PathBuf,
    /// Of the API server: what it makes for itself.
    pub(super) own: PathBuf,
    /// What signs the server's certificate.
    pub(super) root: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    /// What tokens of service accounts are signed with.
    pub(super) account_key: PathBuf,
    pub(super) account_public_key: PathBuf,
    /// Who may come in by a token that is no service account's.
    pub(super) tokens: PathBuf,
}

impl Files {
    pub(super) fn below(directory: &Path) -> Self {
        let at = |name: &str| directory.join(name);
        Self {
            etcd: at("etcd"),
            own: at("own"),
            root: at("root.pem"),
            certificate: at("server.pem"),
            key: at("server-key.pem"),
            account_key: at("accounts-key.pem"),
            account_public_key: at("accounts.pem"),
            tokens: at("tokens.csv"),
        }
    }
}

/// Those of etcd 3.4 and later.
pub(super) fn etcd(files: &Files) -> Vec<String> {
    rendered(&[
        ("name", "lab".to_owned()),
        ("data-dir", shown(&files.etcd)),
        ("listen-client-urls", ETCD.to_owned()),
        ("advertise-client-urls", ETCD.to_owned()),
        ("listen-peer-urls", ETCD_PEERS.to_owned()),
        ("initial-advertise-peer-urls", ETCD_PEERS.to_owned()),
        ("initial-cluster", format!("lab={ETCD_PEERS}")),
    ])
}

/// Those of kube-apiserver.
pub(super) fn api_server(files: &Files, address: SocketAddr) -> Vec<String> {
    rendered(&[
        ("etcd-servers", ETCD.to_owned()),
        ("bind-address", address.ip().to_string()),
        ("advertise-address", address.ip().to_string()),
        ("secure-port", address.port().to_string()),
        ("cert-dir", shown(&files.own)),
        ("tls-cert-file", shown(&files.certificate)),
        ("tls-private-key-file", shown(&files.key)),
        ("token-auth-file", shown(&files.tokens)),
        ("authorization-mode", "Node,RBAC".to_owned()),
        ("service-account-issuer", ISSUER.to_owned()),
        ("api-audiences", ISSUER.to_owned()),
        ("service-account-key-file", shown(&files.account_public_key)),
        ("service-account-signing-key-file", shown(&files.account_key)),
        ("service-cluster-ip-range", SERVICES.to_owned()),
        // Its own endpoints are of no interest to anybody here.
        ("endpoint-reconciler-type", "none".to_owned()),
        // It would want the account of every pod, which nobody makes.
        ("disable-admission-plugins", "ServiceAccount".to_owned()),
    ])
}

fn rendered(options: &[(&str, String)]) -> Vec<String> {
    options.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
