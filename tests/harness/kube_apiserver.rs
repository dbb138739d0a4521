//! A real API server, for tests that shall hold on one: kube-apiserver and an etcd of its own, which end with the lab.
//!
//! In goes the program that `KUBE_APISERVER` names; `etcd` is the one in the path. Out comes what a test may do in a cluster, in the
//! words of [`super::api`]. There is no scheduler, no controller and no kubelet: the test is all of them, and service accounts are
//! there because the chart has them. Programs come in by tokens of their accounts, and may do what the chart's roles let them.
//!
//! The options are those of the upstream documentation of Kubernetes 1.30 and later.

mod client;
mod install;
mod options;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use culvert_lab::{Lab, Launch, Program, wait_for};
use rcgen::KeyPair;
use serde_json::json;

use super::pki::Issuer;
use super::standalone::ROOT;
use client::Client;
use options::Files;

/// Reads which program to use.
pub(crate) const VARIABLE: &str = "KUBE_APISERVER";
const PORT: u16 = 6443;
/// How long it may take until it is ready. On a quiet machine it is five seconds.
const PATIENCE: Duration = Duration::from_secs(90);

/// The programs, and how long they may take.
pub(crate) struct Programs {
    api_server: PathBuf,
    etcd: PathBuf,
    patience: Duration,
}

impl Programs {
    /// Those the environment names, if it names any.
    pub(crate) fn named() -> Option<Self> {
        let named = PathBuf::from(std::env::var_os(VARIABLE)?);
        // Programs run in the lab's directory, where a relative path means something else. One that is not there is told of at its start.
        let api_server = fs::canonicalize(&named).unwrap_or(named);
        Some(Self { api_server, etcd: "etcd".into(), patience: PATIENCE })
    }
}

/// The API server.
pub(crate) struct KubeApiServer {
    client: Client,
}

impl KubeApiServer {
    /// Starts one beside the control plane, with what an installation brings before its programs; or says why there is none.
    pub(crate) fn start(lab: &Lab, programs: &Programs) -> Result<Self, String> {
        let address = SocketAddr::from((lab.control_address().ip(), PORT));
        let directory = lab.directory().join("api-server");
        let files = Files::below(&directory);
        let token = write(&files, address).map_err(|error| format!("{}: {error}", directory.display()))?;
        let launch = |name: &str, binary: &Path, options: Vec<String>| {
            let launch = Launch::new(name, binary, lab.control_netns());
            let launch = options.into_iter().fold(launch, Launch::arg);
            lab.start(launch).map_err(|error| format!("{error:?}"))
        };
        let etcd = launch("etcd", &programs.etcd, options::etcd(&files))?;
        let server = launch("kube-apiserver", &programs.api_server, options::api_server(&files, address))?;
        let client = Client::new(lab.control_netns(), &format!("https://{address}"), &files.root, &token);
        wait_until_ready(&client, &[server, etcd], programs.patience)?;
        let started = Self { client };
        started.install()?;
        Ok(started)
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// A kubeconfig by which a program comes in as a service account of the installation.
    pub(crate) fn kubeconfig(&self, account: &str) -> Result<String, String> {
        let token = self.token((ROOT, account), None, &[])?;
        let root = self.client.root().display();
        Ok(format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: lab\n\
             contexts: [{{name: lab, context: {{cluster: lab, user: lab}}}}]\n\
             clusters: [{{name: lab, cluster: {{server: \"{}\", certificate-authority: {root}}}}}]\n\
             users: [{{name: lab, user: {{token: {token}}}}}]\n",
            self.client.url()
        ))
    }

    /// A token of a service account, which may be bound to a pod: for these audiences, or the API server itself.
    pub(crate) fn token(
        &self,
        (namespace, account): (&str, &str),
        pod: Option<&str>,
        audiences: &[&str],
    ) -> Result<String, String> {
        let mut spec = json!({ "audiences": audiences, "expirationSeconds": 3600 });
        if let Some(name) = pod {
            let bound = self.client.get("pods", namespace, name)?.ok_or(format!("there is no pod {name}"))?;
            spec["boundObjectRef"] =
                json!({ "apiVersion": "v1", "kind": "Pod", "name": name, "uid": bound["metadata"]["uid"] });
        }
        let request =
            json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec });
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let answer = self.client.ask("POST", &path, "application/json", &request)?;
        let token = answer["status"]["token"].as_str();
        token.map(str::to_owned).ok_or(format!("a TokenRequest is answered with {answer}"))
    }
}

/// Waits until the server says that it is ready; a program that has ended is the reason why it never will.
fn wait_until_ready(client: &Client, programs: &[Program], patience: Duration) -> Result<(), String> {
    let seen = wait_for(patience, "the API server is ready", || {
        let ended = programs.iter().find_map(|program| Some((program, program.exit_status()?)));
        match ended {
            Some((program, status)) => Some(Err(format!("{} ended: {status}", program.name()))),
            None => client.is_ready().then_some(Ok(())),
        }
    });
    seen.unwrap_or_else(|_| Err(format!("it was not ready after {patience:?}"))).map_err(|why| {
        let log =
            |program: &Program| format!("--- {}\n{}\n", program.log_file().display(), program.log_tail());
        let logs: String = programs.iter().map(log).collect();
        format!("{VARIABLE} names no API server that can be used: {why}; the ends of the logs:\n{logs}")
    })
}

/// Writes what the programs read; gives the token of whoever may do everything.
fn write(files: &Files, address: SocketAddr) -> std::io::Result<String> {
    fs::create_dir_all(&files.etcd)?;
    fs::create_dir_all(&files.own)?;
    let (root, key, accounts) = (Issuer::root("the lab"), new_key(), new_key());
    fs::write(&files.root, root.pem())?;
    fs::write(&files.certificate, root.server_with(address.ip(), &key).pem)?;
    fs::write(&files.key, key.serialize_pem())?;
    fs::write(&files.account_key, accounts.serialize_pem())?;
    fs::write(&files.account_public_key, accounts.public_key_pem())?;
    let token = culvert_lab::new_uid().map_err(std::io::Error::other)?;
    fs::write(&files.tokens, format!("{token},lab,lab,\"system:masters\"\n"))?;
    Ok(token)
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("the machine has random numbers")
}

#[cfg(test)]
mod tests;
