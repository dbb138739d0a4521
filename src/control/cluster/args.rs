//! How the control plane of a cluster is started: flags, each with the environment variable that installations of others use for it.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use culvert_derive::{Settings, Unready};

use super::account::Account;
use crate::serving::ServingArgs;

/// The settings.
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    #[command(flatten)]
    pub(crate) serving: ServingArgs,
    /// The port of /metrics, /healthz and /readyz
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
    pub(super) kubeconfig: Option<PathBuf>,
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
    /// What becomes of traffic for a waypoint that is wanted and cannot be had
    #[arg(long, value_enum, env = "WAYPOINT_UNREADY", default_value_t)]
    waypoint_unready: WaypointUnready,
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
