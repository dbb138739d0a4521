//! The agent and the node that run here, as they answer about themselves.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::Context;
use super::catalogue::Family;
use super::finding::{Check, Finding, Verdict};

pub(crate) const FAMILY: Family = Family { name: "programs", checks: &[&AGENT, &NODE, &VERSIONS], look };

const AGENT: Check =
    Check { name: "agent", why: "it says of each pod of this node whether it is captured, and why not" };
const NODE: Check =
    Check { name: "node", why: "a node that is not ready serves no new pod, and captured pods are refused" };
const VERSIONS: Check =
    Check { name: "versions", why: "what this program says of node and agent is true of its own version" };

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);
const LONGEST_ANSWER: u64 = 64 << 20;
const ADMIN: ([u8; 4], u16) = ([127, 0, 0, 1], 15000);
const READY: ([u8; 4], u16) = ([127, 0, 0, 1], 15021);

/// A pod, as the agent lists it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    namespace: String,
    name: String,
    state: String,
    reason: Option<String>,
    /// `net:[inode]`.
    pub(super) netns: Option<String>,
    nodes: usize,
    /// What of it is captured.
    pub(super) capture: Option<Value>,
}

/// Status and body.
type Answer = (u16, String);

fn look(context: &Context<'_>) -> Vec<Finding> {
    let dump = tcp(ADMIN.into(), "/config_dump");
    let version = dump.ok().and_then(|(_, body)| serde_json::from_str::<Value>(&body).ok());
    let version = version.and_then(|dump| Some(dump["version"]["version"].as_str()?.to_owned()));
    vec![
        AGENT.finding(agent(pods(&context.options.agent_socket), &context.options.agent_socket)),
        NODE.finding(node(tcp(READY.into(), "/healthz/ready"), version.as_deref())),
        VERSIONS.finding(versions(version.as_deref(), env!("CARGO_PKG_VERSION"))),
    ]
}

/// The pods of this node, as its agent lists them.
pub(super) fn pods(socket: &Path) -> io::Result<Vec<Listed>> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    match ask(stream, "/v1/pods")? {
        (200, body) => Ok(serde_json::from_str(&body)?),
        (status, _) => Err(io::Error::other(format!("it answers with HTTP status {status}"))),
    }
}

fn tcp(address: SocketAddr, path: &str) -> io::Result<Answer> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    ask(stream, path)
}

/// HTTP/1.0: the answer ends with the connection, and has no transfer coding.
fn ask(mut stream: impl Read + Write, path: &str) -> io::Result<Answer> {
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())?;
    let mut bytes = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let status = text.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    status
        .zip(body)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "what answers does not speak HTTP"))
}

fn agent(listed: io::Result<Vec<Listed>>, socket: &Path) -> Verdict {
    let socket = socket.display();
    let pods = match listed {
        Ok(pods) => pods,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Verdict::ok(format!("none runs here ({socket} is not there)"));
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Verdict::problem(
                format!("{socket} is of an agent that has ended"),
                "start culvert-agent; until then no pod's rules are looked after",
            );
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Verdict::unseen(&error),
        Err(error) => {
            return Verdict::problem(
                format!("{socket} gives no answer: {error}"),
                "see the log of culvert-agent",
            );
        }
    };
    let enrolled = || pods.iter().filter(|pod| pod.state == "enrolled");
    let found = format!("{} pods, {} of them in the mesh", pods.len(), enrolled().count());
    let bad = pods.iter().find(|pod| ["impaired", "quarantined"].contains(&pod.state.as_str()));
    if let Some(Listed { namespace, name, state, reason, .. }) = bad {
        let reason = reason.as_deref().unwrap_or("no reason is given");
        let remedy =
            format!("curl --unix-socket {socket} http://agent/v1/pods; then see the log of culvert-agent");
        return Verdict::problem(format!("{found}; {namespace}/{name} is {state}: {reason}"), remedy);
    }
    if let Some(Listed { namespace, name, .. }) = enrolled().find(|pod| pod.nodes == 0) {
        let found = format!("{found}; no node serves {namespace}/{name}, so its connections are refused");
        return Verdict::problem(
            found,
            "start culvert-node on this host, and see that INPOD_UDS is the agent's --socket",
        );
    }
    Verdict::ok(found)
}

fn node(ready: io::Result<Answer>, version: Option<&str>) -> Verdict {
    let version = version.map_or_else(String::new, |version| format!(", version {version}"));
    match ready {
        Ok((200, _)) => Verdict::ok(format!("it is ready{version}")),
        Ok((status, body)) => {
            let why =
                body.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it gives no reason");
            let why: String = why.chars().take(300).collect();
            let remedy = "see what it waits for: curl http://127.0.0.1:15021/healthz/ready, and the log of culvert-node";
            Verdict::problem(format!("it is not ready{version} (HTTP status {status}): {why}"), remedy)
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Verdict::ok("none runs here"),
        Err(error) => {
            let remedy = "see who it is: ss -Hltnp sport = :15021";
            Verdict::problem(format!("whoever has 127.0.0.1:15021 gives no answer: {error}"), remedy)
        }
    }
}

fn versions(node: Option<&str>, own: &str) -> Verdict {
    match node {
        None => Verdict::ok(format!("this is culvert {own}")),
        Some(node) if node == own => Verdict::ok(format!("node and this program are of version {own}")),
        Some(node) => Verdict::warning(
            format!("the node is of version {node}, this program of {own}"),
            format!("use the culvert of the node's image (version {node})"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::State;

    fn pod(state: &str, nodes: usize) -> Listed {
        let reason = Some("iptables refused".to_owned());
        let (namespace, name, state) = ("shop".to_owned(), "web".to_owned(), state.to_owned());
        Listed { namespace, name, state, reason, netns: None, nodes, capture: None }
    }

    #[test]
    fn what_the_agent_says_of_pods_is_judged() {
        let at = Path::new("/agent.sock");
        for (pods, state) in [
            (vec![], State::Ok),
            (vec![pod("enrolled", 1), pod("passed", 0)], State::Ok),
            (vec![pod("enrolled", 0)], State::Problem),
            (vec![pod("enrolled", 1), pod("impaired", 1)], State::Problem),
            (vec![pod("quarantined", 0)], State::Problem),
        ] {
            let verdict = agent(Ok(pods.clone()), at);
            assert_eq!(verdict.state, state, "{pods:?}");
            assert_eq!(verdict.found.contains("shop/web"), state == State::Problem, "{verdict:?}");
        }
        for (kind, state) in [
            (io::ErrorKind::NotFound, State::Ok),
            (io::ErrorKind::ConnectionRefused, State::Problem),
            (io::ErrorKind::PermissionDenied, State::Unknown),
            (io::ErrorKind::TimedOut, State::Problem),
        ] {
            assert_eq!(agent(Err(kind.into()), at).state, state, "{kind}");
        }
    }

    #[test]
    fn a_node_that_is_not_ready_says_why() {
        assert_eq!(node(Ok((200, String::new())), Some("1.0")).found, "it is ready, version 1.0");
        let waiting = node(Ok((500, "\nxds: never connected\n".into())), None);
        assert!(
            waiting.state == State::Problem && waiting.found.ends_with("xds: never connected"),
            "{waiting:?}"
        );
        assert_eq!(node(Err(io::ErrorKind::ConnectionRefused.into()), None).state, State::Ok);
        assert_eq!(node(Err(io::ErrorKind::InvalidData.into()), None).state, State::Problem);
        assert_eq!(versions(Some("1.0"), "1.1").state, State::Warning);
        assert_eq!(versions(Some("1.1"), "1.1").state, State::Ok);
    }

    #[test]
    fn an_answer_is_read_to_its_end() {
        let (mut server, client) = UnixStream::pair().unwrap();
        server.write_all(b"HTTP/1.1 503 no\r\nx: y\r\n\r\nwaits\r\n").unwrap();
        server.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(ask(client, "/").unwrap(), (503, "waits\r\n".to_owned()));
        let (mut server, client) = UnixStream::pair().unwrap();
        server.write_all(b"SSH-2.0\r\n\r\n").unwrap();
        drop(server);
        assert!(ask(client, "/").is_err());
    }
}
