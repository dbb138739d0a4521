//! `culvert-control root`: how far the root's rotation is, and its next step, in a directory or in a cluster.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use culvert_kubernetes::client;

use crate::cluster::rotation as in_cluster;
use crate::lifetimes::duration;
use crate::root::rotation::{self, Haste, Step};
use crate::serving::Failed;

/// Which root, and what to do with it.
#[derive(Debug, Args)]
pub(crate) struct RootArgs {
    #[command(flatten)]
    place: Place,
    /// How to reach the API server; in a pod of the cluster it is known.
    #[arg(long, value_name = "FILE", env = "KUBECONFIG", requires = "namespace")]
    kubeconfig: Option<PathBuf>,
    /// The step to take.
    #[arg(value_enum)]
    step: Wish,
    /// With `rotate`: how long the old root stays trusted at least once the new one signs. Certificates it has signed are waited for anyway.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration, requires = "namespace")]
    trust_old_for: Duration,
    /// With `finish` and `rotate`: do not wait for certificates the old root has signed. Whoever still has one is refused by everybody.
    #[arg(long)]
    insist: bool,
}

/// Where the root is.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Place {
    /// The directory given to the server.
    #[arg(long, value_name = "DIR")]
    ca_dir: Option<PathBuf>,
    /// The namespace of the control plane, in whose Secret the root is.
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
}

/// What an operator can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Wish {
    /// Say how far a rotation is, and what comes next.
    Status,
    /// Make a new root; clients get it as one to trust, the old one signs.
    Prepare,
    /// Have the new root sign; both are trusted.
    Activate,
    /// Take the trust from the old root.
    Finish,
    /// In a cluster: all three, one after the other, each when it is time. It goes on by itself.
    Rotate,
}

impl Wish {
    /// The one step it is, unless it is all of them.
    fn step(self) -> Option<Step> {
        match self {
            Self::Status => Some(Step::Status),
            Self::Prepare => Some(Step::Prepare),
            Self::Activate => Some(Step::Activate),
            Self::Finish => Some(Step::Finish),
            Self::Rotate => None,
        }
    }
}

impl RootArgs {
    fn haste(&self) -> Haste {
        if self.insist { Haste::Insist } else { Haste::Wait }
    }
}

/// Takes the step; gives what to tell the operator.
pub(crate) fn run(args: &RootArgs) -> Result<String, Failed> {
    if args.insist && !matches!(args.step, Wish::Finish | Wish::Rotate) {
        return Err("--insist is for `finish` and `rotate`: the other steps wait for nothing".into());
    }
    match (&args.place.ca_dir, &args.place.namespace, args.step.step()) {
        (Some(dir), _, Some(step)) => Ok(rotation::run(dir, step, args.haste(), SystemTime::now())?),
        (_, Some(namespace), step) => of_cluster(args, namespace, step),
        (Some(_) | None, None, _) => {
            Err("a root in a directory is replaced step by step: prepare, activate, finish".into())
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn of_cluster(args: &RootArgs, namespace: &str, step: Option<Step>) -> Result<String, Failed> {
    let client = client::connect(args.kubeconfig.as_deref()).await?;
    match step {
        Some(step) => Ok(in_cluster::run(&client, namespace, step, args.haste()).await?),
        None => Ok(in_cluster::begin(&client, namespace, args.trust_old_for, args.haste()).await?),
    }
}
