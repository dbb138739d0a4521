//! The program while it serves: on one port certificates and mesh state, until it is asked to stop.
//!
//! In goes what there is to serve, wherever it comes from.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use culvert_process::signal::Stop;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustls_pki_types::ServerName;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use crate::authority::Authority;
use crate::callers::Callers;
use crate::discovery::Discovery;
use crate::grant::Residents;
use crate::lifetimes::{LifetimeArgs, Lifetimes};
use crate::live::Live;
use crate::published::Published;
use crate::root::Root;
use crate::root::leaves::Signed;
use crate::server::{self, Farewell, Services, Stopping};
use crate::service::Service;
use crate::tls;

/// Where it is served, and for how long certificates are good.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub(crate) struct ServingArgs {
    /// The address to serve on; port 0 takes a free one and logs it.
    #[arg(long, value_name = "ADDRESS", env = "LISTEN", default_value = "0.0.0.0:15012")]
    listen: SocketAddr,
    /// A DNS name or IP address clients reach this server by; may be given several times. Always included: localhost,
    /// 127.0.0.1, ::1.
    #[arg(long = "name", value_name = "NAME", value_parser = server_name)]
    names: Vec<String>,
    #[command(flatten)]
    lifetimes: LifetimeArgs,
}

/// What there is to serve.
pub(crate) struct Served {
    pub(crate) callers: Arc<dyn Callers>,
    pub(crate) residents: Arc<dyn Residents>,
    pub(crate) published: Arc<Published>,
    pub(crate) root: Live<Root>,
    /// Where it is noted what is signed.
    pub(crate) signed: Signed,
    /// What comes between being asked to stop and doing so.
    pub(crate) farewell: Farewell,
    /// What keeps it up to date; it ends with the server.
    pub(crate) background: JoinSet<()>,
}

/// Whatever ends the program.
pub(crate) type Failed = Box<dyn std::error::Error + Send + Sync>;

impl ServingArgs {
    /// With these names, unless others were given.
    pub(crate) fn or_named(mut self, names: impl IntoIterator<Item = String>) -> Self {
        if self.names.is_empty() {
            self.names.extend(names);
        }
        self
    }

    /// How long certificates are good for.
    pub(crate) fn lifetimes(&self) -> Result<Lifetimes, crate::lifetimes::Contradiction> {
        self.lifetimes.try_into()
    }
}

/// Serves until asked to stop; then nothing is kept up to date any more.
pub(crate) async fn serve(served: Served, args: ServingArgs, mut stop: Stop) -> Result<(), Failed> {
    let lifetimes = args.lifetimes()?;
    raise_open_files();
    let Served { callers, residents, published, root, signed, farewell, mut background } = served;
    let authority = Arc::new(Authority::new(root).noting(signed));
    let (tls, renew_tls) = tls::keep(Arc::clone(&authority), args.names)?;
    let address = args.listen;
    let listener = TcpListener::bind(address).await.map_err(|source| server::Error { address, source })?;
    background.spawn(renew_tls);
    let tell = watch::Sender::new(false);
    let discovery = Discovery::new(Arc::clone(&callers), published, tell.subscribe());
    let certificates = Service { authority, residents, lifetimes };
    let services = Services { callers, certificates, discovery };
    let stopping = Stopping { asked: stop.asked(), farewell, tell };
    let ended = tokio::select! {
        () = server::serve(listener, tls, services, stopping) => Ok(()),
        ended = gone(&mut background) => Err(ended.into()),
    };
    background.shutdown().await;
    ended
}

/// Every connection is an open file, and many runtimes start programs with few.
fn raise_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most).map(|()| most));
    match raised {
        Ok(most) => tracing::debug!(most, "open files"),
        Err(error) => tracing::warn!(%error, "the limit on open files stays as it is"),
    }
}

/// Waits until something has ended that never should. What it kept up to date would stay as it is from then on: nobody would notice that
/// policies are not enforced any more.
pub(crate) async fn gone(background: &mut JoinSet<()>) -> Gone {
    match background.join_next().await {
        Some(Err(error)) => Gone(Some(error)),
        Some(Ok(())) | None => Gone(None),
    }
}

/// A part of the program has ended, and the rest with it; whoever runs it starts it again.
#[derive(Debug, thiserror::Error)]
#[error("a part of the control plane has ended by itself; it has to be started again")]
pub(crate) struct Gone(#[source] Option<JoinError>);

fn server_name(text: &str) -> Result<String, String> {
    match ServerName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("neither a DNS name nor an IP address".to_owned()),
    }
}
