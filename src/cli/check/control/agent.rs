//! SPIRE's agent in place of a certificate authority: whether its socket is there and answers.
//!
//! In go the variables of a node; out comes a verdict. Nothing is asked of the agent: that takes being who the node is.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::check::finding::Verdict;

/// The agent, as an environment says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Agent {
    /// As the environment has it.
    said: String,
    /// The variable that says it.
    variable: &'static str,
    /// Where it is as seen from here; none when it is not said, or not a path.
    socket: Option<PathBuf>,
}

const DEADLINE: Duration = Duration::from_secs(2);

impl Agent {
    /// The agent, if one issues. `file` finds a path of the process whose environment this is.
    pub(super) fn read(
        environment: &BTreeMap<String, String>,
        file: impl Fn(&str) -> PathBuf,
    ) -> Option<Self> {
        let variable = match environment.get("CULVERT_ISSUER")?.as_str() {
            "spire-delegated" => "SPIRE_ADMIN_ENDPOINT_SOCKET",
            "spire-workload" => "SPIFFE_ENDPOINT_SOCKET",
            _ => return None,
        };
        let said = environment.get(variable).cloned().unwrap_or_default();
        let path = said.strip_prefix("unix://").or_else(|| said.strip_prefix("unix:")).unwrap_or(&said);
        let socket = path.starts_with('/').then(|| file(path));
        Some(Self { variable, socket, said })
    }

    /// Whether somebody listens there.
    pub(super) async fn reached(&self) -> Verdict {
        let Self { variable, said, socket } = self;
        let Some(socket) = socket else {
            let said = if said.is_empty() { "nothing".to_owned() } else { format!("{said:?}") };
            return Verdict::problem(
                format!("SPIRE is to issue, and {variable} says {said}"),
                format!("set {variable} to the agent's socket, as unix:///path"),
            );
        };
        match timeout(DEADLINE, UnixStream::connect(socket)).await {
            Ok(Ok(_)) => Verdict::ok(format!("SPIRE's agent listens at {said}")),
            Ok(Err(error)) if error.kind() == ErrorKind::PermissionDenied => Verdict::unseen(&error),
            Ok(Err(error)) => Verdict::problem(
                format!("nobody listens at {said}, where SPIRE's agent should be: {error}"),
                "start spire-agent, have its socket there (admin_socket_path, socket_path), and mount its directory",
            ),
            Err(_) => Verdict::problem(
                format!("SPIRE's agent at {said} accepts no connection within {DEADLINE:?}"),
                "look at what spire-agent is doing, and restart it",
            ),
        }
    }

    /// There is none to look at.
    pub(super) fn certificate() -> Verdict {
        Verdict::ok("SPIRE's agent shows none: it is known by its socket, which is this host's")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::State;

    fn read(all: &[(&str, &str)]) -> Option<Agent> {
        let environment = all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Agent::read(&environment.collect(), |path| PathBuf::from(format!("/proc/7/root{path}")))
    }

    async fn state(set: &[(&str, &str)]) -> State {
        let environment = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Agent::read(&environment, |path| path.into()).unwrap().reached().await.state
    }

    #[test]
    fn an_agent_is_looked_at_when_it_issues() {
        assert_eq!(read(&[("SPIFFE_ENDPOINT_SOCKET", "unix:///agent.sock")]), None);
        assert_eq!(read(&[("CULVERT_ISSUER", "ca")]), None);
        let (issuer, socket) = (("CULVERT_ISSUER", "spire-delegated"), "SPIRE_ADMIN_ENDPOINT_SOCKET");
        for said in ["unix:///run/admin.sock", "unix:/run/admin.sock", "/run/admin.sock"] {
            let agent = read(&[issuer, (socket, said)]).unwrap();
            assert_eq!(agent.socket, Some("/proc/7/root/run/admin.sock".into()), "{said}");
        }
        assert_eq!(read(&[issuer]).unwrap().socket, None);
    }

    #[tokio::test]
    async fn a_socket_where_somebody_listens_is_fine_and_others_are_not() {
        let path = std::env::temp_dir().join(format!("culvert-check-agent-{}", std::process::id()));
        let said = format!("unix://{}", path.display());
        let set = [("CULVERT_ISSUER", "spire-workload"), ("SPIFFE_ENDPOINT_SOCKET", said.as_str())];
        assert_eq!(state(&set).await, State::Problem);
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        assert_eq!(state(&set).await, State::Ok);
        drop(listener);
        assert_eq!(state(&set).await, State::Problem, "a socket file nobody serves");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(state(&set[..1]).await, State::Problem, "not said where");
    }
}
