//! `culvert check`: looks at a host, changes nothing, and says what will be trouble.
//!
//! In goes a machine, perhaps one of its pods; out come findings, each with what is there, why it matters and one remedy. Every
//! family of checks is a file: probes that read facts, and judges that are pure functions of them. What cannot be looked at is
//! `unknown`, never a guess. Nothing is repaired here, and nothing is asked of Kubernetes unless `--kubectl` says so.

use std::cell::LazyCell;
use std::io;
use std::path::PathBuf;

use culvert_process::exit::Failure;
use culvert_sys::netns::Netns;

use catalogue::Selection;
use finding::{Finding, State};
use packets::Filters;
use processes::Process;
use sight::Sight;

use crate::output::{self, FormatOptions, Screen};

mod catalogue;
mod clock;
mod cni;
mod control;
mod finding;
mod firewall;
mod iptables;
mod kernel;
mod limits;
mod manifests;
mod mesh;
mod network;
mod packets;
mod pod;
mod policies;
mod ports;
mod processes;
mod programs;
mod report;
mod sight;
mod storage;
mod tls;
mod traffic;
mod trial;

/// What is looked at, and how it is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    format: FormatOptions,

    /// Tell problems and warnings only
    #[arg(long)]
    quiet: bool,

    /// Only these checks or families of checks (docs/check.md has all names)
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    only: Vec<String>,

    /// Look into a pod as well: a file that is its network namespace
    #[arg(long, value_name = "PATH", conflicts_with = "pid")]
    netns: Option<PathBuf>,

    /// Look into a pod as well: one of its processes
    #[arg(long, value_name = "N")]
    pid: Option<u32>,

    /// Compare the capture rules of that pod with what they should be
    #[arg(long)]
    pod_rules: bool,

    /// Where the container runtime's CNI configuration is
    #[arg(long, value_name = "DIR", default_value = "/etc/cni/net.d")]
    cni_conf_dir: PathBuf,

    /// Where the agent answers questions
    #[arg(long, value_name = "PATH", default_value = "/var/run/culvert/agent.sock")]
    agent_socket: PathBuf,

    /// Where the agent waits for nodes
    #[arg(long, value_name = "PATH", default_value = "/var/run/ztunnel/ztunnel.sock")]
    node_socket: PathBuf,

    /// Ask Kubernetes about its network policies, by this program
    #[arg(long, value_name = "PROGRAM", num_args = 0..=1, default_missing_value = "kubectl")]
    kubectl: Option<String>,

    #[command(flatten)]
    control: control::Options,

    #[command(flatten)]
    manifests: manifests::Options,
}

/// Why there is no answer, or not a good one.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("nothing is called {name:?}: choose from {all}")]
    NoSuchCheck { name: String, all: String },
    #[error(
        "{pod} is no network namespace that can be looked into; name a running process of the pod, or its namespace's file"
    )]
    NoSuchPod { pod: String, source: io::Error },
    #[error("--pod-rules needs a pod: say --pid or --netns as well")]
    NoPod,
    #[error("cannot read the environment of process {number}; say --xds, --ca and --root, or run it as root")]
    NoEnvironment { number: u32, source: io::Error },
    #[error(transparent)]
    Manifests(#[from] manifests::Error),
    #[error("cannot write the findings")]
    Write(#[from] output::Error),
    #[error("{}; what to do is above", counted(*.0))]
    Problems(usize),
}

fn counted(problems: usize) -> String {
    if problems == 1 { "1 problem".to_owned() } else { format!("{problems} problems") }
}

/// What all checks look at.
struct Context<'o> {
    options: &'o Options,
    here: Sight,
    /// The pod; an error when this process may not look into it.
    pod: Option<io::Result<Sight>>,
    processes: Vec<Process>,
    control: control::Settings,
    /// The packet filters of this namespace; reading them takes a while.
    filters: LazyCell<Filters, fn() -> Filters>,
}

/// Looks, tells, and fails if there is a problem.
///
/// # Errors
/// Wrong usage; or when a problem was found, or the findings cannot be told.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mut findings = look(options).map_err(Failure::usage)?;
    let problems = findings.iter().filter(|finding| finding.state == State::Problem).count();
    if options.quiet {
        findings.retain(|finding| finding.state >= State::Warning);
    }
    findings.sort_by_key(|finding| finding.state);
    let text = report::tell(options.format.output, &findings, &Screen::of_stdout());
    output::print(&text.map_err(|error| Failure::runtime(Error::Write(error)))?);
    if problems == 0 { Ok(()) } else { Err(Failure::runtime(Error::Problems(problems))) }
}

/// Looks at this host, or at manifests.
fn look(options: &Options) -> Result<Vec<Finding>, Error> {
    let wrong = |all: String| move |name| Error::NoSuchCheck { name, all };
    if options.manifests.is_given() {
        let selection =
            Selection::parse(&options.only, manifests::knows).map_err(wrong(manifests::names()))?;
        let mut findings = options.manifests.look()?;
        findings.retain(|finding| selection.takes(manifests::NAME, finding.name));
        return Ok(findings);
    }
    let selection = Selection::parse(&options.only, catalogue::knows).map_err(wrong(catalogue::names()))?;
    Ok(selection.look(&Context::new(options)?))
}

impl<'o> Context<'o> {
    fn new(options: &'o Options) -> Result<Self, Error> {
        let pod = options.pod()?;
        if options.pod_rules && pod.is_none() {
            return Err(Error::NoPod);
        }
        let here = Sight::here();
        let filters = LazyCell::new((|| Filters::read(&Sight::here())) as fn() -> Filters);
        let control = options.control.settings()?;
        Ok(Self { options, pod, processes: processes::all(), control, filters, here })
    }

    /// The processes of one of these names.
    fn running(&self, names: &[&str]) -> impl Iterator<Item = &Process> {
        self.processes.iter().filter(move |process| names.contains(&process.name.as_str()))
    }
}

impl Options {
    /// The pod, unless there is none of that name; an error of its own when this process may not look into it.
    fn pod(&self) -> Result<Option<io::Result<Sight>>, Error> {
        let (opened, pod) = match (&self.netns, self.pid) {
            (Some(path), _) => (Netns::open(path), path.display().to_string()),
            (None, Some(pid)) => (Netns::of_process(pid), format!("process {pid}")),
            (None, None) => return Ok(None),
        };
        match opened {
            // Entering takes more rights than opening.
            Ok(netns) => Ok(Some(netns.run(|| ()).map(|()| Sight::of(netns)))),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Some(Err(error))),
            Err(source) => Err(Error::NoSuchPod { pod, source }),
        }
    }
}

/// Findings about a pod: what `look` finds, or why nothing can be found; none when no pod is asked about.
fn in_pod(
    context: &Context<'_>,
    checks: &[&finding::Check],
    look: impl FnOnce(&Sight) -> Vec<Finding>,
) -> Vec<Finding> {
    match &context.pod {
        None => Vec::new(),
        Some(Ok(pod)) => look(pod),
        Some(Err(error)) => {
            checks.iter().map(|check| check.finding(finding::Verdict::unseen(error))).collect()
        }
    }
}
