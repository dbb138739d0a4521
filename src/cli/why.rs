//! `culvert why`: every decision about a connection in order, and who is to blame.
//!
//! In goes a connection there was, or one somebody would make; out come the steps, the verdict and what to do. The node judges; this
//! writes down what it says.

use std::process::ExitCode;

use culvert_api::{Culprit, Why};

use crate::client::{self, Client, NodeOptions, Query};
use crate::output::{self, Format, Screen};

mod account;

/// The exit code when somebody is to blame.
const BLAMED: u8 = 3;

/// What is asked.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Exit code: 0 when nothing is wrong, 3 when somebody or something is to blame, 1 when the node cannot be asked.

Examples:
  culvert why shop/web-1 shop/api:80
  culvert why web-1 api.shop.svc.cluster.local:80 --kube-node worker-1
  culvert why --connection 4be0643f1d98573b")]
pub(crate) struct Options {
    /// Who calls: NAMESPACE/POD, a pod's name, an address or a uid
    #[arg(value_name = "SOURCE", required_unless_present = "connection", requires = "destination")]
    source: Option<String>,
    /// Who is called: HOST:PORT, NAMESPACE/SERVICE:PORT or ADDRESS:PORT
    #[arg(value_name = "DESTINATION")]
    destination: Option<String>,
    /// A connection there is or was, by its id in the access log or in `culvert get`
    #[arg(long, value_name = "ID", conflicts_with_all = ["source", "destination"])]
    connection: Option<String>,
    #[command(flatten)]
    output: output::FormatOptions,
    #[command(flatten)]
    node: NodeOptions,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Node(#[from] client::Error),
    #[error(transparent)]
    Output(#[from] output::Error),
}

/// Asks, and prints.
///
/// # Errors
/// When the node cannot be asked.
pub(crate) async fn run(options: &Options) -> Result<ExitCode, Error> {
    let (text, code) = answer(options, &Screen::of_stdout()).await?;
    output::print(&text);
    Ok(ExitCode::from(code))
}

async fn answer(options: &Options, screen: &Screen) -> Result<(String, u8), Error> {
    let mut client = Client::open(&options.node).await?;
    let said: serde_json::Value = client.one(&options.query()).await?;
    let why: Why = client.understood(&options.query(), &said)?;
    let code = if why.verdict.culprit == Culprit::Nobody { 0 } else { BLAMED };
    let text = match options.output.output.structured(&said)? {
        Some(text) => text,
        None => account::of(&why, options.output.output == Format::Wide, screen),
    };
    Ok((text, code))
}

impl Options {
    fn query(&self) -> Query {
        if let Some(id) = &self.connection {
            return Query::new("/v1/connections").below(id).below("why");
        }
        let asked = [("source", &self.source), ("destination", &self.destination)];
        let with = |query: Query, (name, value): (&'static str, &Option<String>)| match value {
            Some(value) => query.with(name, value),
            None => query,
        };
        asked.into_iter().fold(Query::new("/v1/why"), with)
    }
}

#[cfg(test)]
mod tests;
