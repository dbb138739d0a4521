//! `culvert get`: what a node knows, as lists.
//!
//! In go a kind of thing and a node; out comes a table, or what the node said as JSON or YAML. The kinds are in [`kinds`], each
//! with its columns; how a list is asked for, narrowed down and put in order is [`list`], the same for all.

use time::OffsetDateTime;

use crate::client::{self, NodeOptions};
use crate::output::{self, Screen};
use kinds::{Ended, Policy, Recent, Service, Workload};
use list::Listing;

pub(crate) mod kinds;
pub(crate) mod list;

/// What is asked for.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  culvert get pods -n shop
  culvert get connections web -o wide --sort-by age
  culvert get refusals --kube-node worker-1
  culvert get certificates --node unix:/run/culvert/admin.sock -o json")]
pub(crate) struct Options {
    /// What to list
    #[arg(value_enum)]
    kind: Kind,
    /// Only what has this text in its name, or in that of one of its ends
    name: Option<String>,
    /// Only what is in this namespace, or has an end in it
    #[arg(short, long)]
    namespace: Option<String>,
    /// Order by this column, the smallest first; `-COLUMN`: the largest first
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true)]
    sort_by: Option<String>,
    /// Leave the first line of a table away
    #[arg(long)]
    no_headers: bool,
    #[command(flatten)]
    output: output::FormatOptions,
    #[command(flatten)]
    node: NodeOptions,
}

/// What a node has lists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Pods the node serves, or would if it could
    #[value(aliases = ["pod", "po"])]
    Pods,
    /// Workloads of the mesh
    #[value(aliases = ["workload", "wl"])]
    Workloads,
    /// Services of the mesh
    #[value(aliases = ["service", "svc"])]
    Services,
    /// Policies of the mesh
    #[value(aliases = ["policy"])]
    Policies,
    /// Identities of the node's pods, and their certificates
    #[value(aliases = ["certificate", "certs", "identities"])]
    Certificates,
    /// Connections that live
    #[value(aliases = ["connection", "conn"])]
    Connections,
    /// Tunnels to and from other nodes
    #[value(aliases = ["tunnel"])]
    Tunnels,
    /// Recent connections that did not end well
    #[value(aliases = ["refusal"])]
    Refusals,
    /// Recent connections, however they ended
    Recent,
    /// Who talks to whom, and how much
    Traffic,
    /// Endpoints that are asked last for a while, because they could not be reached
    Ejected,
    /// What there may be only so much of, and how close it is to that
    #[value(aliases = ["limit"])]
    Limits,
    /// The node itself
    Node,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Node(#[from] client::Error),
    #[error(transparent)]
    Output(#[from] output::Error),
    #[error("there is no column `{wanted}`; use one of: {columns}")]
    NoColumn { wanted: String, columns: String },
}

/// What is printed, and what is said beside it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// For the standard output.
    pub(crate) text: String,
    /// For the person, and not for a pipe.
    pub(crate) remark: Option<String>,
}

/// Asks, and prints.
///
/// # Errors
/// When the node cannot be asked, or the column is none.
pub(crate) async fn run(options: &Options) -> Result<(), Error> {
    let report = report(options, OffsetDateTime::now_utc(), &Screen::of_stdout()).await?;
    output::print(&report.text);
    if let Some(remark) = report.remark {
        eprintln!("{remark}");
    }
    Ok(())
}

async fn report(options: &Options, now: OffsetDateTime, screen: &Screen) -> Result<Report, Error> {
    let listing = Listing {
        namespace: options.namespace.as_deref(),
        name: options.name.as_deref(),
        order: options.sort_by.as_deref(),
        format: options.output.output,
        headers: !options.no_headers,
        screen,
        now,
    };
    match options.kind {
        Kind::Pods => listing.of::<culvert_api::Pod>(&options.node).await,
        Kind::Workloads => listing.of::<Workload>(&options.node).await,
        Kind::Services => listing.of::<Service>(&options.node).await,
        Kind::Policies => listing.of::<Policy>(&options.node).await,
        Kind::Certificates => listing.of::<culvert_api::Identity>(&options.node).await,
        Kind::Connections => listing.of::<culvert_api::Connection>(&options.node).await,
        Kind::Tunnels => listing.of::<culvert_api::Tunnel>(&options.node).await,
        Kind::Refusals => listing.of::<Ended>(&options.node).await,
        Kind::Recent => listing.of::<Recent>(&options.node).await,
        Kind::Traffic => listing.of::<culvert_api::Traffic>(&options.node).await,
        Kind::Ejected => listing.of::<culvert_api::Ejected>(&options.node).await,
        Kind::Limits => listing.of::<culvert_api::Limit>(&options.node).await,
        Kind::Node => listing.alone::<culvert_api::Node>(&options.node).await,
    }
}

#[cfg(test)]
mod tests;
