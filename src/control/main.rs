//! `culvert-control`: the control plane of a mesh that is written down in files.
//!
//! Reads who may ask (`--tokens`) and the mesh (`--mesh`), follows both, serves the mesh to node proxies, and issues
//! certificates under a root of its own (`--ca-dir`), both on one port. It does not talk to Kubernetes.

mod authority;
mod callers;
mod catalog;
mod cluster;
mod csr;
mod discovery;
mod files;
mod grant;
mod lifetimes;
mod live;
mod mesh;
mod metered;
mod refused;
mod root;
mod server;
mod service;
mod tls;
mod token;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use clap::{Args, Parser, Subcommand};
use culvert_process::exit::{self, Chain, Failure};
use culvert_process::log;
use culvert_process::signal::Stop;
use rustls_pki_types::ServerName;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::authority::Authority;
use crate::callers::listed::{self, Listed};
use crate::catalog::{Collection, Published};
use crate::discovery::Discovery;
use crate::lifetimes::{LifetimeArgs, Lifetimes};
use crate::live::Live;
use crate::root::rotation::{self, Step};
use crate::server::{Services, Stopping};
use crate::service::Service;

/// Serves a mesh that is written down in files, and issues its certificates.
#[derive(Debug, Parser)]
#[command(
    name = "culvert-control",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Option<Serve>,
    #[command(flatten)]
    lifetimes: LifetimeArgs,
}

/// What to do other than to serve.
#[derive(Debug, Subcommand)]
enum Command {
    /// Say everything that is wrong with a mesh; exit code 1 if there is anything.
    Check {
        /// The mesh file, or the directory of mesh files.
        #[arg(long, value_name = "PATH")]
        mesh: PathBuf,
    },
    /// Replace the root certificate, step by step, under a running server.
    Root {
        /// The directory given to the server.
        #[arg(long, value_name = "DIR")]
        ca_dir: PathBuf,
        /// The step to take.
        #[arg(value_enum)]
        step: Step,
    },
}

#[derive(Debug, Args)]
struct Serve {
    /// The mesh: a file, or a directory of *.yaml, *.yml and *.json files. Followed while running.
    #[arg(long, value_name = "PATH")]
    mesh: PathBuf,
    /// Where the root is: root-key.pem and root-cert.pem, both made at the first start. Followed while running.
    #[arg(long, value_name = "DIR")]
    ca_dir: PathBuf,
    /// Who may connect: a list of tokens, each for a node or for one identity. Followed while running.
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
    let Arguments { command, serve, lifetimes } = Arguments::parse();
    let result = match (command, serve) {
        (Some(Command::Check { mesh }), _) => check(&mesh).map_err(Failure::runtime),
        (Some(Command::Root { ca_dir, step }), _) => rotate(&ca_dir, step).map_err(Failure::runtime),
        (None, Some(arguments)) => {
            log::start_from_environment().map_err(Failure::usage).and_then(|_log| start(arguments, lifetimes))
        }
        (None, None) => Err(Failure::usage("nothing to do; --help says what there is")),
    };
    exit::code("culvert-control", result)
}

fn check(mesh: &Path) -> Result<(), Failed> {
    match mesh::check(mesh)? {
        Ok(mesh::Size { files, addresses, policies }) => {
            println!(
                "{}: fine; files: {files}, workloads and services: {addresses}, policies: {policies}",
                mesh.display()
            );
            Ok(())
        }
        Err(problems) => {
            for (path, problem) in &problems {
                println!("{}: {}", path.display(), Chain(problem));
            }
            Err(format!("problems in {}: {}", mesh.display(), problems.len()).into())
        }
    }
}

fn rotate(ca_dir: &Path, step: Step) -> Result<(), Failed> {
    println!("{}", rotation::run(ca_dir, step, SystemTime::now())?);
    Ok(())
}

#[tokio::main]
async fn start(arguments: Serve, lifetimes: LifetimeArgs) -> Result<(), Failure> {
    let lifetimes = Lifetimes::try_from(lifetimes).map_err(Failure::usage)?;
    run(arguments, lifetimes).await.map_err(Failure::runtime)
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

async fn run(arguments: Serve, lifetimes: Lifetimes) -> Result<(), Failed> {
    // First of all: a signal that comes while the root is being made must not leave half of it.
    let stop = Stop::listen()?;
    let (callers, follow_callers) = live::follow("token file", &arguments.tokens, listed::read)?;
    let (published, follow_mesh) = mesh::follow(&arguments.mesh)?;
    log_sizes(&callers, &published);
    let (root, follow_root) = root::follow(&arguments.ca_dir, SystemTime::now())?;
    let authority = Arc::new(Authority::new(root));
    let (tls, renew_tls) = tls::keep(Arc::clone(&authority), arguments.names)?;

    let address = arguments.listen;
    let listener =
        TcpListener::bind(address).await.map_err(|source| server::Error::Bind { address, source })?;
    let mut background = JoinSet::new();
    background.spawn(follow_callers);
    background.spawn(follow_mesh);
    background.spawn(follow_root);
    background.spawn(renew_tls);
    let stopping = watch::Sender::new(false);
    let callers = Arc::new(callers);
    let discovery = Discovery::new(callers.clone(), Arc::clone(&published), stopping.subscribe());
    let certificates = Service { authority, callers, residents: published, lifetimes };
    let services = Services { certificates, discovery };
    server::serve(listener, tls, services, Stopping { asked: stop, tell: stopping }).await?;
    Ok(())
}

fn log_sizes(callers: &Live<Listed>, published: &Published) {
    let (tokens, catalog) = (callers.borrow().len(), published.read());
    let (addresses, policies) = (catalog.len(Collection::Addresses), catalog.len(Collection::Policies));
    tracing::info!(tokens, addresses, policies, "token file and mesh taken");
}

fn server_name(text: &str) -> Result<String, String> {
    match ServerName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("neither a DNS name nor an IP address".to_owned()),
    }
}
