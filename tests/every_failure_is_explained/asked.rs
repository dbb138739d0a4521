//! What would become of connections nobody has made; and the same answers on the command line.

use std::process::{Command, Output};

use culvert_lab::{Node, http};
use culvert_sys::child::die_with_parent;
use serde_json::Value;

use super::decided::Stage;
use super::score::{Case, Score, call, fail};
use super::starting;
use crate::harness::cluster::{Cluster, ECHO, programs};
use crate::harness::talk::{SOON, assert_echo};
use crate::harness::v1::{ADMIN, list, of, read};

/// What is asked, who has to act, and what has to be in the answer.
const QUESTIONS: [(&str, &str, &str, &str); 18] = [
    ("an open door", "default/server:7007", "nobody", "no policy restricts it"),
    ("a door by its service", "web:7", "nobody", "service default/web.default.svc.cluster.local"),
    ("a pod outside the mesh", "default/outsider:7007", "nobody", "takes no tunnels"),
    ("a policy denies", "denied/denied:7007", "policy", "denied/no-client"),
    ("no policy allows", "strict/strict:7007", "policy", "none allowed"),
    ("a policy is tried out", "dry/dry:7007", "nobody", "dry/trial would deny it"),
    ("a policy is not there", "lost/lost:7007", "staleConfig", "lost/nowhere"),
    ("no endpoint", "empty:80", "server", "(0 known)"),
    ("no endpoint is ready", "unready:80", "server", "(1 known)"),
    ("a port the service does not have", "empty:81", "config", "does not declare port 81"),
    ("a headless service", "headless.test:7007", "nobody", "a tunnel to Kubernetes//Pod/default/server"),
    ("an unknown waypoint", "unknown:80", "config", "nobody.example.com"),
    ("a waypoint without pods", "undone:80", "waypoint", "no-gate"),
    ("a waypoint that is there", "unheard:80", "nobody", "its policies are not this node's to judge"),
    ("an endpoint that was set aside", "shaky:80", "nobody", "could not be reached and is asked last"),
    ("an endpoint that has only a name", "named.test:80", "unknown", "nobody.example"),
    ("a port of the own proxy", "default/client:15001", "client", "is a port of this proxy"),
    ("an address of nobody", "192.0.2.1:80", "nobody", "is not of the mesh"),
];

#[test]
fn what_would_become_of_a_connection_is_told_without_making_it() {
    let stage = starting(|| Stage::start("would"));
    let Cluster { one, client, .. } = &stage.cluster;
    // Somebody has found out that one of them does not listen.
    for nth in 0..30 {
        assert_echo(client, (stage.shaky.ip4(), 80), format!("call {nth}").as_bytes());
    }
    let score = Score::default();
    let calls = list(one, &format!("recent?{}&limit=500", of(client))).len();
    let cases: Vec<Case<'_>> = QUESTIONS
        .iter()
        .map(|(name, to, expected, part)| -> Case<'_> {
            let ask = move |fault: super::score::Fault<'_>| {
                let why = fault.would(one, "default/client", to);
                assert!(why.to_string().contains(part), "`{part}` is not in {why}");
            };
            (name, expected, Box::new(ask))
        })
        .collect();
    score.run(&cases);
    let (table, asked, right) = score.table();
    println!("{table}");
    assert_eq!(right, asked, "{table}");
    assert_eq!(list(one, &format!("recent?{}&limit=500", of(client))).len(), calls, "none was made");
    for (source, destination, part) in [
        ("default/nobody", "web:7", "is no workload"),
        ("default/client", "nowhere:80", "is no service, host or address"),
        ("default/client", "web", "has no port"),
        ("default/client", "web:0", "is no port"),
    ] {
        let path = format!("/v1/why?source={source}&destination={destination}");
        let answer = http::get(one.netns(), ADMIN, &path).unwrap();
        let problem: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.status, &problem["status"]), (404, &Value::from(404)), "{path}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{path}: {problem}");
    }
}

/// `culvert why` of a connection, asked from outside of the node's namespace.
fn culvert_why(pid: u32, id: &str) -> Output {
    let mut command = Command::new(programs().unwrap().agent.with_file_name("culvert"));
    command.args(["why", "--connection", id, "--node", &format!("pid:{pid}")]);
    die_with_parent(&mut command).output().unwrap()
}

/// The newest connection of the client.
fn newest(node: &Node, from: std::net::SocketAddr, cluster: &Cluster) -> Value {
    let is_it = |it: &Value| it["source"]["address"] == from.to_string();
    let look = || list(node, &format!("recent?{}&limit=500", of(&cluster.client))).into_iter().find(is_it);
    culvert_lab::wait_for(SOON, "the connection is over", look).unwrap()
}

#[test]
fn the_command_line_says_what_the_node_says_and_fails_where_somebody_is_to_blame() {
    let cluster = starting(|| Cluster::start("why-cli").unwrap());
    let Cluster { lab, one, client, server, .. } = &cluster;
    let closed = server.listen(0).unwrap().local_addr().unwrap().port();
    let pid = lab.proxy(one).unwrap().pid();
    for (from, code) in [(fail(client, (server.ip4(), closed)), 3), (call(client, (server.ip4(), ECHO)).0, 0)]
    {
        let id = newest(one, from, &cluster)["id"].as_str().unwrap().to_owned();
        let output = culvert_why(pid, &id);
        let said = String::from_utf8(output.stdout).unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}{error}");
        let verdict = &read(one, &format!("connections/{id}/why"))["verdict"];
        for key in ["culprit", "sentence", "remedy"] {
            let whole = said.split_whitespace().collect::<Vec<_>>().join(" ");
            let part = verdict[key].as_str().unwrap_or_default();
            assert!(whole.contains(part), "{key} `{part}` is not in {said}");
        }
    }
    let unknown = culvert_why(pid, "0123456789abcdef");
    assert_eq!(unknown.status.code(), Some(1), "{}", String::from_utf8_lossy(&unknown.stderr));
}
