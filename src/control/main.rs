//! `culvert-control`: the certificate authority of a mesh that is written down in a file.
//!
//! Reads who may ask (`--tokens`) and which workload is on which node (`--mesh`), follows both files, and issues
//! certificates under a root of its own (`--ca-dir`). It does not talk to Kubernetes and serves no mesh state.

mod authority;
mod callers;
mod csr;
mod files;
mod grant;
mod live;
mod placement;
mod root;
mod server;
mod service;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use clap::Parser;
use culvert_process::exit::{self, Failure};
use culvert_process::log;
use culvert_process::signal::Stop;
use rustls_pki_types::ServerName;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::authority::Authority;
use crate::root::Root;
use crate::service::Service;

/// Issues the certificates of a mesh that is written down in a file.
#[derive(Debug, Parser)]
#[command(name = "culvert-control", version)]
struct Arguments {
    /// The mesh file: which workloads there are and on which node. Followed while running.
    #[arg(long, value_name = "FILE")]
    mesh: PathBuf,
    /// Where root-key.pem and root-cert.pem are; both are made at the first start.
    #[arg(long, value_name = "DIR")]
    ca_dir: PathBuf,
    /// Who may ask for certificates: a list of tokens, each for a node or for one identity. Followed while running.
    #[arg(long, value_name = "FILE")]
    tokens: PathBuf,
    /// The address to serve on; port 0 takes a free one and logs it.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:15012")]
    listen: SocketAddr,
    /// A DNS name or IP address clients reach this server by; may be given several times. Always included: localhost,
    /// 127.0.0.1, ::1.
    #[arg(long = "name", value_name = "NAME", value_parser = server_name)]
    names: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = log::start_from_environment().map_err(Failure::usage).and_then(|()| start(arguments));
    exit::code("culvert-control", result)
}

#[tokio::main]
async fn start(arguments: Arguments) -> Result<(), Failure> {
    run(arguments).await.map_err(Failure::runtime)
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

async fn run(arguments: Arguments) -> Result<(), Failed> {
    // First of all: a signal that comes while the root is being made must not leave half of it.
    let stop = Stop::listen()?;
    let (callers, follow_callers) = live::follow("token file", &arguments.tokens, callers::read)?;
    let (placement, follow_placement) = live::follow("mesh file", &arguments.mesh, placement::read)?;
    let root = Root::open_or_make(&arguments.ca_dir, SystemTime::now())?;
    let authority = Arc::new(Authority::new(root));
    let (tls, renew_tls) = tls::keep(Arc::clone(&authority), arguments.names)?;

    let address = arguments.listen;
    let listener =
        TcpListener::bind(address).await.map_err(|source| server::Error::Bind { address, source })?;
    let mut background = JoinSet::new();
    background.spawn(follow_callers);
    background.spawn(follow_placement);
    background.spawn(renew_tls);
    server::serve(listener, tls, Service::new(authority, callers, placement), stop).await?;
    Ok(())
}

fn server_name(text: &str) -> Result<String, String> {
    match ServerName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("neither a DNS name nor an IP address".to_owned()),
    }
}
