//! Makes a client of the API server: as a pod of its cluster, or as a kubeconfig says.
//!
//! It speaks HTTP/1.1 with as many connections as there are requests at a time, and keeps those that are idle for the next ones. Each
//! watch has a connection of its own: a dozen of them cost a dozen descriptors, none holds up another, and one that has died without
//! a word takes no other along.

use std::path::{Path, PathBuf};
use std::time::Duration;

use culvert_tls::fips;
use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use crate::pause::Pace;

#[cfg(test)]
mod tests;

/// How long it may take until the API server's address answers at all.
const CONNECT: Duration = Duration::from_secs(10);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or makes no sense.
    #[error("the kubeconfig {} cannot be used; name another one with --kubeconfig", path.display())]
    Kubeconfig {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<KubeconfigError>,
    },
    /// Nothing says where the API server is.
    #[error(
        "this does not seem to run in a pod with a service account; name a file with --kubeconfig elsewhere"
    )]
    InCluster(#[source] Box<InClusterError>),
    /// Address or certificates make no sense.
    #[error(
        "a client for the API server cannot be made; correct the address and certificates in its configuration"
    )]
    Client(#[source] Box<kube::Error>),
    /// The program keeps to a module that is not there.
    #[error("no connection to the API server is made")]
    NotApproved(#[from] fips::NotApproved),
}

/// Makes a client: with a kubeconfig as that says, without one as a pod of the cluster. Nothing is asked yet, so it need not be possible
/// to reach the API server.
///
/// # Errors
/// When there is nothing to make it of, or what there is makes no sense.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, Error> {
    let config = match kubeconfig {
        Some(path) => {
            let wrong = |source| Error::Kubeconfig { path: path.to_owned(), source: Box::new(source) };
            let file = Kubeconfig::read_from(path).map_err(wrong)?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(wrong)?
        }
        None => Config::incluster().map_err(|error| Error::InCluster(Box::new(error)))?,
    };
    client(config)
}

/// Makes a client of the server at an address, to whom it is nobody in particular.
///
/// # Errors
/// When the address makes no sense to the client library.
pub fn at(address: http::Uri) -> Result<Client, Error> {
    client(Config::new(address))
}

/// A client whose waits all have an end. Watches have their own, earlier one; this is for what is below them.
fn client(mut config: Config) -> Result<Client, Error> {
    fips::check()?;
    // Somebody may have chosen one already; there is only this one in our programs.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let pace = Pace::default();
    config.connect_timeout = Some(CONNECT);
    config.write_timeout = Some(pace.answer);
    config.read_timeout = Some(pace.watch + pace.answer);
    config.reset_reader_on_write = true;
    // It would retry for minutes, unseen; who asks retries, and says so.
    config.default_retry = false;
    Client::try_from(config).map_err(|error| Error::Client(Box::new(error)))
}
