//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::probes::Probing;
use crate::{api, install, kubernetes, server};

/// Programs the pods of this node and hands their network namespaces to culvert-node.
#[derive(Debug, Parser)]
#[command(name = "culvert-agent", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// The pods that shall be in the mesh (YAML), followed while the agent runs; without it Kubernetes is asked
    #[arg(long, value_name = "FILE")]
    pub(crate) pods: Option<PathBuf>,

    /// Where nodes connect
    #[arg(long, value_name = "PATH", default_value = "/var/run/ztunnel/ztunnel.sock")]
    pub(crate) socket: PathBuf,

    /// Where the host's processes can be seen
    #[arg(long, value_name = "DIR", default_value = "/proc")]
    pub(crate) proc: PathBuf,

    /// How kubelet's probes come in to pods that take mutual TLS only
    #[arg(long, env = "CULVERT_PROBES", value_name = "HOW", value_enum, default_value_t)]
    pub(crate) probes: Probing,

    /// The agent's own pod; it and its like start without asking the agent
    #[arg(long, env = "POD_NAME", value_name = "NAME", requires = "pod_namespace")]
    pub(crate) pod_name: Option<String>,

    /// The namespace of the agent's own pod
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAME")]
    pub(crate) pod_namespace: Option<String>,

    /// Take back all that was ever put on this node, and exit: rules, routes, sets, files, annotations
    #[arg(long)]
    pub(crate) cleanup: bool,

    /// Take the rules out of the pods on SIGTERM or SIGINT; without it captured pods stay captured
    #[arg(long)]
    pub(crate) release_on_exit: bool,

    #[command(flatten)]
    pub(crate) kubernetes: kubernetes::settings::Args,

    #[command(flatten)]
    pub(crate) api: api::Args,

    #[command(flatten)]
    pub(crate) install: install::Args,

    #[command(flatten)]
    pub(crate) server: server::Args,
}

/// What else the program does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The CNI plugin, as container runtimes call it: settings in CNI_* variables and on stdin
    Cni,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_options_of_all_parts_fit_together() {
        Args::command().debug_assert();
        let args = Args::try_parse_from(["culvert-agent", "--pods", "pods.yaml"]).unwrap();
        assert_eq!(args.api.host_netns_prefix, None, "what is not said has values that can be used");
    }
}
