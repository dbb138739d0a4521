//! The page at `/` of the admin port, read in Chromium as people read it.

mod picture;

use std::net::{SocketAddr, TcpStream};

use culvert_lab::{Lab, Launch, Node, Program, Section, http};
use serde_json::{Value, json};

use crate::harness::cluster::{Cluster, ECHO, SINK, service_port, shared};
use crate::harness::installed::installed;
use crate::harness::talk::{SOON, assert_alive, assert_echo, assert_reset};

const URL: &str = "http://127.0.0.1:15000/";
const ADMIN: ([u8; 4], u16) = ([127, 0, 0, 1], 15000);

/// Keeps the client away from one port of everybody.
const NO_CLIENT: &str = "
    - name: no-client
      namespace: default
      scope: Namespace
      action: Deny
      rules: [[[{ principals: [!Exact cluster.local/ns/default/sa/client] }], [{ destinationPorts: [7009] }]]]
    ";

/// How much the live connections have moved each way, the first one least.
const MOVED: [usize; 3] = [2_000, 30_000, 400_000];

/// Starts the reader on a node; the script says what there is to wish for.
#[track_caller]
fn start(lab: &Lab, node: &Node, mut wish: Value) -> Program {
    wish["url"] = json!(URL);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/page.py");
    let home = lab.directory().join(format!("browser-{}", wish["do"].as_str().unwrap()));
    std::fs::create_dir_all(&home).unwrap();
    let launch = Launch::new("browser", installed("python"), node.netns())
        .env("HOME", home.display())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(script)
        .arg(wish);
    lab.start(launch).unwrap()
}

/// Waits until the reader has read all, and gives what it says.
#[track_caller]
fn result(program: &Program) -> String {
    let status = program.wait_for_exit(SOON * 18).unwrap();
    let said = program.log_text();
    assert!(status.success(), "{said}");
    said.lines().last().unwrap_or_default().to_owned()
}

#[track_caller]
fn read(lab: &Lab, node: &Node, wish: Value) -> String {
    result(&start(lab, node, wish))
}

/// Connections of the client that stay, to the service in front of the server.
fn talk(cluster: &Cluster) -> Vec<TcpStream> {
    let service = SocketAddr::from((cluster.web.ip4(), service_port(ECHO)));
    let talk = |bytes: &usize| {
        let mut stream = cluster.client.connect(service, SOON).unwrap();
        assert_alive(&mut stream, &vec![b'.'; *bytes]);
        stream
    };
    MOVED.iter().map(talk).collect()
}

/// What the page shall say of a live connection.
fn live(stream: &TcpStream, bytes: usize) -> Value {
    let kilobytes = if bytes < 10_000 { format!("{}.0", bytes / 1000) } else { (bytes / 1000).to_string() };
    json!({
        "from": "client",
        "port": stream.local_addr().unwrap().port().to_string(),
        "bytes": bytes,
        "sent": format!("{kilobytes} kB"),
        "details": [
            "spiffe://cluster.local/ns/default/sa/client",
            "spiffe://cluster.local/ns/default/sa/server",
            "web.default.svc.cluster.local",
            stream.local_addr().unwrap().to_string(),
            stream.peer_addr().unwrap().to_string(),
        ],
    })
}

#[test]
fn every_view_shows_what_is() {
    let cluster = Cluster::without_mesh("page").unwrap();
    cluster.lab.set(Section::Policies, NO_CLIENT).unwrap();
    cluster.start_mesh().unwrap();
    let open = talk(&cluster);
    assert_echo(&cluster.client, (cluster.outsider.ip4(), ECHO), b"in plaintext");
    assert_reset(&cluster.client, (cluster.neighbour.ip4(), SINK));
    let identities = [cluster.client.identity(), cluster.neighbour.identity()];
    let truth = json!({
        "do": "truth",
        "node": cluster.one.name(),
        "pods": [["default", "client"], ["default", "neighbour"]],
        "identities": identities,
        "live": open.iter().zip(MOVED).map(|(stream, bytes)| live(stream, bytes)).collect::<Vec<_>>(),
        "refused": {
            "reason": "explicitly denied by: default/no-client",
            "row": ["client", "neighbour"],
            "policy": "default/no-client",
            "caller": "client",
            "count": 1,
            "pairs": 3,
        },
        "map": ["client", "neighbour", "server", "web"],
        "policy": ["no-client", "Deny", "identity is cluster.local/ns/default/sa/client; and port is 7009"],
        "tunnelTo": cluster.server.identity(),
        "why": [
            { "source": "default/client", "destination": format!("{}:{SINK}", cluster.neighbour.ip4()), "culprit": "A policy" },
            { "source": "default/client", "destination": format!("{}:{ECHO}", cluster.server.ip4()), "culprit": "Nothing is wrong" },
        ],
    });
    read(&cluster.lab, &cluster.one, truth);
    drop(open);
}

#[test]
fn a_node_that_does_not_answer_is_said_to_be_silent() {
    let cluster = Cluster::start("page-silent").unwrap();
    let reader = start(&cluster.lab, &cluster.two, json!({ "do": "silence" }));
    reader.wait_for_log("take the node away", SOON * 3).unwrap();
    let proxy = cluster.lab.proxy(&cluster.two).unwrap();
    proxy.pause().unwrap();
    reader.wait_for_log("bring the node back", SOON * 4).unwrap();
    proxy.resume().unwrap();
    result(&reader);
}

#[test]
fn it_is_readable_for_everybody_at_any_width_in_light_and_dark() {
    let cluster = shared();
    read(&cluster.lab, &cluster.one, json!({ "do": "manners" }));
}

#[test]
fn it_stays_as_the_reader_has_left_it() {
    let cluster = shared();
    read(&cluster.lab, &cluster.one, json!({ "do": "habits" }));
}

#[test]
fn it_needs_no_mouse() {
    let cluster = shared();
    read(&cluster.lab, &cluster.one, json!({ "do": "keyboard" }));
}

#[test]
fn what_workloads_call_themselves_stays_text() {
    let cluster = shared();
    read(&cluster.lab, &cluster.one, json!({ "do": "hostile" }));
}

#[test]
fn five_thousand_connections_are_looked_through_without_a_wait() {
    let cluster = shared();
    read(&cluster.lab, &cluster.one, json!({ "do": "crowd" }));
}

/// Whoever asks without a browser is told the same, in the same way.
#[test]
fn a_browser_is_told_to_trust_nothing_but_the_page() {
    let cluster = shared();
    let answer = http::get(cluster.one.netns(), ADMIN, "/").unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("<script type=\"module\" src=\"page/main.js\">"), "{}", answer.text());
}
