//! The CNI plugin (CNI specification 1.1.0): what container runtimes execute for each pod, as the last plugin of the chain.
//!
//! In go `CNI_*` variables and the configuration on stdin; out come the result of the plugin before it, unchanged, or an error a
//! runtime understands: [`culvert_cni`] says what they mean. The pod's network namespace is not entered and no API server is asked: the
//! agent does all that. While the agent is away, pods of namespaces that have pods in the mesh do not start, and all others do.

use std::env;
use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use culvert_cni::message::excerpt;
use culvert_cni::{Call, Code, Command, Error, PLUGIN, Pod, VERSIONS, Variables};

use crate::roster::Roster;

mod ask;
mod stdin;

use ask::Failure;

/// Whether the program was started as the plugin: under its name, or with its command.
pub(crate) fn is_meant() -> bool {
    let mut arguments = env::args_os();
    let program = arguments.next();
    let named = program.as_deref().and_then(|path| Path::new(path).file_name()) == Some(OsStr::new(PLUGIN));
    named || arguments.next().is_some_and(|command| command == "cni")
}

/// Runs the plugin: one command of a runtime.
pub(crate) fn main() -> ExitCode {
    let started = Instant::now();
    let variables = Variables::of(|name| env::var_os(name));
    match run(&variables, started) {
        Ok(output) => print(&output, ExitCode::SUCCESS),
        Err(error) => {
            // Runtimes log what is on stderr; not all show all of what is on stdout.
            eprintln!("{PLUGIN}: {error}");
            print(&error.to_json(), ExitCode::FAILURE)
        }
    }
}

fn print(output: &str, code: ExitCode) -> ExitCode {
    match io::stdout().write_all(output.as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(variables: &Variables, started: Instant) -> Result<String, Error> {
    match Command::of(variables)? {
        Command::Version => Ok(versions()),
        // Nothing is kept here, and a node without its agent can still start what is not in the mesh.
        Command::Status | Command::Gc => Ok(String::new()),
        Command::Del => {
            // A pod that cannot be taken down stays for ever; the agent finds out by itself.
            if let Err(error) = del(variables) {
                eprintln!("{PLUGIN}: {error}; the pod is taken down all the same");
            }
            Ok(String::new())
        }
        Command::Add => {
            let call = Call::read(variables, &stdin::read()?)?;
            let result = call.result()?;
            may_go_on(&call, "add", started)?;
            Ok(result)
        }
        Command::Check => {
            let call = Call::read(variables, &stdin::read()?)?;
            call.result()?;
            may_go_on(&call, "check", started)?;
            Ok(String::new())
        }
    }
}

fn versions() -> String {
    let [.., newest] = VERSIONS;
    serde_json::json!({ "cniVersion": newest, "supportedVersions": VERSIONS }).to_string()
}

fn del(variables: &Variables) -> Result<(), Error> {
    let call = Call::read(variables, &stdin::read()?)?;
    let Some(pod) = call.pod() else { return Ok(()) };
    if call.entry.exempts(&pod.namespace, &pod.name) {
        return Ok(());
    }
    ask::tell(&call.entry.agent_socket, &call.request(pod)?)
        .map_err(|failure| refusal(&call.version, pod, &failure))
}

/// Asks the agent whether the pod may start, or is as it should be.
fn may_go_on(call: &Call, what: &str, started: Instant) -> Result<(), Error> {
    // Without a name it is no pod: somebody runs containers without Kubernetes.
    let Some(pod) = call.pod() else { return Ok(()) };
    if call.entry.exempts(&pod.namespace, &pod.name) {
        return Ok(());
    }
    let failure = match ask::ask(&call.entry.agent_socket, what, &call.request(pod)?, started) {
        Ok(answer) => {
            if let Some(note) = answer.note {
                eprintln!("{PLUGIN}: {}/{}: {}", pod.namespace, pod.name, excerpt(&note));
            }
            return Ok(());
        }
        Err(failure) => failure,
    };
    if failure.is_of_an_agent_that_is_away() {
        let roster = Roster::read(&call.entry.state_file);
        if roster.as_ref().is_ok_and(|roster| !roster.concerns(&pod.namespace)) {
            eprintln!(
                "{PLUGIN}: {}/{} starts without the agent, which has nothing to do with its namespace: {}",
                pod.namespace,
                pod.name,
                excerpt(&failure.to_string())
            );
            return Ok(());
        }
        if let Err(error) = roster {
            let error = culvert_process::exit::Chain(&error).to_string();
            eprintln!("{PLUGIN}: which namespaces are enrolled is not known: {error}");
        }
    }
    Err(refusal(&call.version, pod, &failure))
}

/// What the runtime is told, and people read in the events of the pod.
fn refusal(version: &str, pod: &Pod, failure: &Failure) -> Error {
    let pod = format!("{}/{}", pod.namespace, pod.name);
    let (code, what, remedy) = match failure {
        Failure::Away(_) => (
            Code::TryAgainLater,
            format!("the Culvert agent of this node is away, and {pod} may have to be in the mesh"),
            "it starts once the agent is back: look at the agent's pod on this node, and at its log",
        ),
        Failure::NotReady(_) => (
            Code::TryAgainLater,
            format!(
                "the Culvert agent of this node does not know the cluster yet, and {pod} may have to be in the mesh"
            ),
            "it starts once the agent has read the pods and namespaces: if that lasts, look at the agent's log",
        ),
        Failure::Lost(_) => (
            Code::TryAgainLater,
            format!("the Culvert agent has not said whether {pod} is in the mesh"),
            "tried again by the kubelet; if that lasts, look at the agent's log on this node",
        ),
        Failure::Refused(_) => (
            Code::TryAgainLater,
            format!("{pod} cannot be taken into the mesh yet"),
            "tried again by the kubelet; if that lasts, look at the logs of the agent and the node proxy on this node",
        ),
        Failure::Invalid(_) => (
            Code::Environment,
            format!("the Culvert agent cannot do anything with what the runtime says of {pod}"),
            "the runtime or its configuration of CNI is at fault",
        ),
    };
    Error::new(version, code, what).because(format!("{}; {remedy}", excerpt(&failure.to_string())))
}
