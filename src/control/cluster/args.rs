//! How the control plane of a cluster is started: flags, each with the environment variable that installations of others use for it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use culvert_derive::{Settings, Unready};
use culvert_membership::{EXCLUDED, settings as membership};
use culvert_token::Account;

use crate::lifetimes;
use crate::serving::ServingArgs;

/// The settings.
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    #[command(flatten)]
    pub(crate) serving: ServingArgs,
    /// The port of /metrics, /healthz, /healthz/live and /readyz
    #[arg(long, value_name = "PORT", env = "MONITORING_PORT", default_value_t = 15014)]
    pub(super) monitoring_port: u16,
    /// The namespace this runs in: its Secrets hold the root, policies in it that select nothing hold for the whole mesh
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE", default_value = "culvert-system")]
    pub(super) namespace: String,
    /// The name of this replica, by which it holds the lease that makes it the one to write
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub(super) pod: String,
    /// How to reach the API server; in a pod of the cluster it is known
    #[arg(long, value_name = "FILE", env = "KUBECONFIG")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The trust domain of all identities
    #[arg(long, value_name = "DOMAIN", env = "TRUST_DOMAIN", default_value = "cluster.local")]
    pub(super) trust_domain: String,
    /// What the cluster is called
    #[arg(long, value_name = "NAME", env = "CLUSTER_ID", default_value = "Kubernetes")]
    cluster_id: String,
    /// What names of services end in
    #[arg(long, value_name = "DOMAIN", env = "CLUSTER_DOMAIN", default_value = "cluster.local")]
    cluster_domain: String,
    /// For whom tokens have to be, one of these
    #[arg(
        long,
        value_name = "AUDIENCE",
        env = "TOKEN_AUDIENCES",
        value_delimiter = ',',
        default_value = "istio-ca"
    )]
    pub(super) token_audiences: Vec<String>,
    /// Service accounts of node proxies, `NAMESPACE/NAME`; the default is culvert-node in this namespace
    #[arg(long, value_name = "ACCOUNT", env = "CA_TRUSTED_NODE_ACCOUNTS", value_delimiter = ',')]
    trusted_node_accounts: Vec<Account>,
    /// Which pods are in the mesh, as the agents are told: a YAML list of podSelector and namespaceSelector
    #[arg(
        long,
        env = "AMBIENT_ENABLEMENT_SELECTOR",
        value_name = "YAML",
        default_value = "",
        hide_default_value = true
    )]
    enablement_selector: String,
    /// Namespaces whose pods are never in the mesh, as the agents are told, separated by commas
    #[arg(long, env = "EXCLUDE_NAMESPACES", value_name = "NAMES", default_value = EXCLUDED)]
    exclude_namespaces: String,
    /// How long to go on serving once asked to stop, not being ready any more: until clients are sent elsewhere
    #[arg(long, value_name = "DURATION", env = "LAME_DUCK", default_value = "5s", value_parser = lifetimes::duration)]
    pub(super) lame_duck: Duration,
    /// What becomes of traffic for a waypoint that is wanted and cannot be had
    #[arg(long, value_enum, env = "WAYPOINT_UNREADY", default_value_t)]
    waypoint_unready: WaypointUnready,
    /// Whether ServiceEntries without addresses are given some in their status; not where another control plane does
    #[arg(long, value_name = "BOOL", env = "PILOT_ENABLE_IP_AUTOALLOCATE", action = ArgAction::Set, default_value_t = true)]
    pub(super) give_addresses: bool,
}

/// What becomes of traffic for a waypoint that is wanted and cannot be had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum WaypointUnready {
    /// It is refused: what the waypoint would have checked is checked by nobody else.
    #[default]
    Refuse,
    /// It goes past the waypoint.
    Bypass,
}

impl ClusterArgs {
    /// What meshes are derived by.
    pub(super) fn settings(&self) -> Settings {
        let text = |text: &str| Arc::from(text);
        Settings {
            cluster: text(&self.cluster_id),
            trust_domain: text(&self.trust_domain),
            domain: text(&self.cluster_domain),
            root_namespace: text(&self.namespace),
            unready: match self.waypoint_unready {
                WaypointUnready::Refuse => Unready::Refuse,
                WaypointUnready::Bypass => Unready::Bypass,
            },
        }
    }

    /// By what it is decided who is in the mesh.
    pub(super) fn membership(&self) -> Result<membership::Settings, membership::Error> {
        membership::Settings::read(&self.enablement_selector, &self.exclude_namespaces)
    }

    /// The service accounts of node proxies.
    pub(super) fn node_accounts(&self) -> Vec<Account> {
        if self.trusted_node_accounts.is_empty() {
            let own = Account { namespace: self.namespace.clone(), name: "culvert-node".to_owned() };
            return vec![own];
        }
        self.trusted_node_accounts.clone()
    }

    /// The names its clients reach it by, unless others were given.
    pub(super) fn names(&self) -> [String; 2] {
        let service = format!("culvert-control.{}.svc", self.namespace);
        [format!("{service}.{}", self.cluster_domain), service]
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: ClusterArgs,
    }

    fn args(more: &[&str]) -> ClusterArgs {
        Line::parse_from(["control", "--pod=control-1"].iter().chain(more)).args
    }

    #[test]
    fn who_is_in_the_mesh_is_what_the_agents_are_told() {
        assert_eq!(args(&[]).membership().unwrap(), membership::Settings::default());
        let (selectors, excluded) = ("- podSelector: {matchLabels: {a: b}}", "infra,kube-system");
        let told = args(&[
            &format!("--enablement-selector={selectors}"),
            &format!("--exclude-namespaces={excluded}"),
        ]);
        let expected = membership::Settings::read(selectors, excluded).unwrap();
        assert_eq!(told.membership().unwrap(), expected);
        let error = args(&["--exclude-namespaces=A"]).membership().unwrap_err().to_string();
        assert!(error.contains("EXCLUDE_NAMESPACES") && error.contains("`A`"), "{error}");
    }

    #[test]
    fn the_environment_has_the_names_the_agents_settings_have() {
        let command = <Line as clap::CommandFactory>::command();
        let named = |flag: &str| {
            let argument = command.get_arguments().find(|it| it.get_long() == Some(flag)).unwrap();
            argument.get_env().unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(named("enablement-selector"), "AMBIENT_ENABLEMENT_SELECTOR");
        assert_eq!(named("exclude-namespaces"), "EXCLUDE_NAMESPACES");
    }
}
