//! What `/v1/` tells of connections, pods and refusals is what happened, and what its description says.

use std::collections::HashSet;
use std::net::TcpStream;
use std::time::Duration;

use culvert_lab::{Lab, Node, Pod, Section, http};
use culvert_sys::limits::raise_open_files;
use serde_json::{Value, json};

use crate::harness::cluster::{Cluster, ECHO, service_port};
use crate::harness::command;
use crate::harness::installed::installed;
use crate::harness::talk::{SOON, assert_alive, assert_reset, exchange};
use crate::harness::v1::{ADMIN, list, of, read};

/// Keeps the neighbour away from the server.
const NO_NEIGHBOUR: &str = "
    - {name: no-neighbour, namespace: default, scope: Namespace, action: Deny, rules: [[[{
       principals: [!Exact cluster.local/ns/default/sa/neighbour]}]]]}
    - {name: all-others, namespace: default, scope: Namespace, action: Allow, rules: [[]]}
    ";

/// A cluster whose server does not take calls of the neighbour.
fn guarded(name: &str) -> Cluster {
    let cluster = Cluster::without_mesh(name).unwrap();
    cluster.lab.set(Section::Policies, NO_NEIGHBOUR).unwrap();
    cluster.start_mesh().unwrap();
    cluster
}

/// Waits until a list of a node has this many items, and gives them.
#[track_caller]
fn listed(lab: &Lab, node: &Node, path: &str, count: usize) -> Vec<Value> {
    let what = format!("{count} in {path}");
    lab.wait_until(SOON, &what, || list(node, path).len() == count).unwrap();
    list(node, path)
}

#[test]
fn an_open_connection_is_shown_at_both_ends_with_what_both_know() {
    let cluster = guarded("v1-open");
    let lab = &cluster.lab;
    let mut open = cluster.client.connect((cluster.web.ip4(), service_port(ECHO)), SOON).unwrap();
    for _ in 0..3 {
        assert_alive(&mut open, b"ten bytes!");
    }
    let own = open.local_addr().unwrap().to_string();
    let at_the_server = format!("{}:{ECHO}", cluster.server.ip4());
    let [there] = &listed(lab, &cluster.one, &format!("connections?{}", of(&cluster.client)), 1)[..] else {
        unreachable!()
    };
    let [here] = &listed(lab, &cluster.two, &format!("connections?{}", of(&cluster.server)), 1)[..] else {
        unreachable!()
    };
    for (seen, direction) in [(there, "outbound"), (here, "inbound")] {
        assert_eq!(seen["direction"], direction, "{seen}");
        assert_eq!((&seen["stage"], &seen["protocol"]), (&json!("open"), &json!("hbone")), "{seen}");
        assert_eq!(seen["source"]["workload"], "client", "{seen}");
        assert_eq!(seen["source"]["identity"], cluster.client.identity(), "{seen}");
        assert_eq!(seen["destination"]["identity"], cluster.server.identity(), "{seen}");
        assert_eq!(seen["destination"]["workload"], "server", "{seen}");
        assert_eq!(seen["destination"]["address"], at_the_server, "{seen}");
        assert_eq!(seen["destination"]["service"], cluster.web.hostname(), "{seen}");
        assert_eq!(seen["bytes"], json!({ "toServer": 30, "toClient": 30 }), "{seen}");
        assert!(seen["milliseconds"].as_u64().unwrap() < 60_000, "{seen}");
        assert!(seen.get("outcome").is_none(), "{seen}");
    }
    for (node, seen, pod) in [(&cluster.one, there, &cluster.client), (&cluster.two, here, &cluster.server)] {
        let tunnels = list(node, &format!("tunnels?{}", of(pod)));
        let tunnel = tunnels.iter().find(|tunnel| tunnel["id"] == seen["tunnel"]);
        assert_eq!(tunnel.expect("its tunnel is listed")["tls"]["version"], "TLSv1_3", "{tunnels:?}");
        for side in ["network", "application"] {
            assert!(seen[side]["rttMicroseconds"].as_u64().is_some_and(|rtt| rtt > 0), "{side}: {seen}");
        }
    }
    assert_eq!(there["source"]["address"], own);
    assert_eq!(here["policy"], "default/all-others", "{here}");
    assert_eq!(there["trace"], here["trace"], "both ends log the same");
    let id = there["id"].as_str().unwrap();
    assert_eq!(read(&cluster.one, &format!("connections/{id}"))["began"], there["began"]);
    drop(open);
    listed(lab, &cluster.one, &format!("connections?{}", of(&cluster.client)), 0);
    let ended = read(&cluster.one, &format!("connections/{id}"));
    assert_eq!(
        (&ended["stage"], &ended["outcome"]["state"]),
        (&json!("ended"), &json!("complete")),
        "{ended}"
    );
    assert_eq!(ended["bytes"], json!({ "toServer": 30, "toClient": 30 }));
}

#[test]
fn a_refusal_says_why_at_both_ends_and_outlives_its_pod() {
    let cluster = guarded("v1-refused");
    let (lab, from) = (&cluster.lab, &cluster.neighbour);
    assert_reset(from, (cluster.server.ip4(), ECHO));
    let refused = |node, pod: &Pod| listed(lab, node, &format!("refusals?{}", of(pod)), 1).remove(0);
    let (there, here) = (refused(&cluster.one, from), refused(&cluster.two, &cluster.server));
    assert_eq!(here["outcome"]["reason"], "denied", "{here}");
    assert_eq!(there["outcome"]["reason"], "refused_by_peer", "{there}");
    for seen in [&there, &here] {
        assert_eq!(seen["outcome"]["state"], "refused", "{seen}");
        assert_eq!(seen["source"]["identity"], from.identity(), "{seen}");
        assert!(!seen["outcome"]["error"].as_str().unwrap().is_empty(), "{seen}");
    }
    assert_eq!(list(&cluster.two, "refusals?reason=denied").len(), 1);
    assert!(list(&cluster.two, "refusals?reason=drained").is_empty());
    let pods = |node| read(node, "pods")["items"].as_array().unwrap().clone();
    let known = |pod: &Value| pod["name"] == "neighbour";
    assert_eq!(pods(&cluster.one).iter().find(|pod| known(pod)).unwrap()["refused"], 1);
    lab.unenrol(from).unwrap();
    lab.wait_until(SOON, "the pod is gone", || !pods(&cluster.one).iter().any(known)).unwrap();
    let still = refused(&cluster.one, from);
    assert_eq!((&still["id"], &still["outcome"]["reason"]), (&there["id"], &json!("refused_by_peer")));
}

#[test]
fn the_node_knows_its_pods_their_certificates_and_what_it_depends_on() {
    let cluster = guarded("v1-node");
    let (node, lab) = (&cluster.one, &cluster.lab);
    lab.wait_until(SOON, "both pods have certificates", || {
        let identities = list(node, "identities?limit=9");
        identities.len() == 2 && identities.iter().all(|it| it["state"] == "available")
    })
    .unwrap();
    let identities = list(node, "identities?limit=1");
    for (identity, pod) in identities.iter().zip([&cluster.client, &cluster.neighbour]) {
        assert_eq!(identity["identity"], pod.identity());
        assert_eq!(identity["pods"], json!([{ "namespace": "default", "name": pod.name() }]));
        assert!(identity["chain"][0]["expires"].as_str().unwrap().ends_with('Z'), "{identity}");
    }
    let about = read(node, "node");
    assert_eq!((&about["name"], &about["ready"]), (&json!(node.name()), &json!(true)), "{about}");
    assert_eq!((&about["agent"]["connected"], &about["pods"]), (&json!(true), &json!(2)), "{about}");
    for service in ["xds", "ca"] {
        assert_eq!(about[service]["state"], "up", "{about}");
        assert!(about[service]["lastUpdate"].is_string(), "{about}");
    }
    let workloads = list(node, "workloads?limit=2");
    assert_eq!(json!(workloads.len()), about["workloads"]);
    assert_eq!(list(node, "workloads?limit=1&q=serv").len(), 1);
    assert_eq!(list(node, "policies?limit=1").len(), 2);
}

/// Asks for something and gives status and body.
fn ask(node: &Node, method: &str, path: &str) -> (u16, String) {
    let answer = http::request(node.netns(), ADMIN, method, path).unwrap();
    (answer.status, answer.text())
}

#[test]
fn hostile_questions_are_answered_with_what_is_wrong_with_them() {
    let cluster = guarded("v1-hostile");
    let node = &cluster.one;
    let long = "x".repeat(5000);
    for query in [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=NaN",
        "limit=1&limit=2",
        "after=",
        "after=%00",
        "after=00",
        "after=../../etc/passwd",
        "pod=a",
        "pod=%2F",
        "pod=a/b/c",
        "stage='--",
        "colour=green",
        "q=",
        "sort[]=age",
        &format!("q={long}"),
        &format!("{long}=1"),
        "limit=%F0%9F%98%80",
        "direction=outbound%00",
        "=",
        "%",
    ] {
        let (status, text) = ask(node, "GET", &format!("/v1/connections?{query}"));
        assert_eq!(status, 400, "{query}: {text}");
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(problem["status"], 400, "{text}");
        assert!(problem["detail"].as_str().is_some_and(|it| !it.is_empty() && it.len() < 1000), "{text}");
    }
    for query in
        ["q=%00", "q=%ff%fe", "source=%3Cscript%3E", "after=ffffffffffffffffffffffffffffffff", "q=%2525"]
    {
        assert_eq!(ask(node, "GET", &format!("/v1/connections?{query}")).0, 200, "{query}");
    }
    for path in ["/v1/connections/%00", "/v1/connections/'", "/v1/connections/..%2F..%2Fetc"] {
        assert_eq!(ask(node, "GET", path).0, 400, "{path}");
    }
    for (method, path, status) in [
        ("DELETE", "/v1/connections/0123456789abcdef", 405),
        ("POST", "/v1/pods", 405),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/connections/0123456789abcdef", 404),
    ] {
        let (got, text) = ask(node, method, path);
        assert_eq!(got, status, "{method} {path}: {text}");
        assert!(text.contains("\"detail\""), "{method} {path}: {text}");
    }
    let token = std::fs::read_to_string(node.token_file()).unwrap();
    for path in ["node", "pods", "identities", "connections", "openapi.json", "workloads", "policies"] {
        let text = read(node, path).to_string();
        assert!(!text.contains("PRIVATE KEY") && !text.contains(token.trim()), "{path}");
    }
}

/// Those that stay are on the pages once each, whatever comes and goes meanwhile.
#[test]
fn thousands_of_connections_are_paged_without_a_gap_or_a_duplicate() {
    raise_open_files().unwrap();
    let cluster = Cluster::start("v1-many").unwrap();
    let listener = cluster.server.listen(0).unwrap();
    let server = (cluster.server.ip4(), listener.local_addr().unwrap().port());
    // Keeps what comes, and lives as long as the test does.
    std::thread::spawn(move || listener.incoming().collect::<Result<Vec<TcpStream>, _>>());
    let connect = || cluster.client.connect(server, Duration::from_secs(30)).unwrap();
    let staying: Vec<TcpStream> = (0..5000).map(|_| connect()).collect();
    // The kernel takes connections before the node does.
    let all_known = || read(&cluster.one, "node")["open"] == 5000;
    cluster.lab.wait_until(SOON * 6, "the node knows all connections", all_known).unwrap();
    let ports = |items: &[Value]| -> Vec<String> {
        items.iter().map(|it| it["source"]["address"].as_str().unwrap().to_owned()).collect()
    };
    let path = format!("connections?{}&limit=333", of(&cluster.client));
    let expected: HashSet<String> =
        staying.iter().map(|stream| stream.local_addr().unwrap().to_string()).collect();
    for sort in ["began", "age"] {
        let (mut seen, mut after, mut passing) = (Vec::new(), String::new(), Vec::new());
        loop {
            let mut page = read(&cluster.one, &format!("{path}&sort={sort}{after}"));
            let Value::Array(items) = page["items"].take() else { panic!("no list") };
            seen.extend(ports(&items));
            // Others come and go between the pages.
            passing.truncate(passing.len() / 2);
            passing.extend((0..6).map(|_| connect()));
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        let once: HashSet<&String> = seen.iter().collect();
        assert_eq!(once.len(), seen.len(), "{sort}: some are there twice");
        let missing = expected.iter().filter(|it| !once.contains(it)).count();
        assert_eq!(missing, 0, "{sort}: of those that stayed all the time");
    }
}

/// Somebody else's program reads the description and tries what it says, and what it does not.
#[test]
fn the_description_is_true_as_far_as_another_program_can_tell() {
    let cluster = guarded("v1-described");
    let lab = &cluster.lab;
    let mut open = cluster.client.connect((cluster.web.ip4(), service_port(ECHO)), SOON).unwrap();
    let mut plain = cluster.client.connect((cluster.outsider.ip4(), ECHO), SOON).unwrap();
    for stream in [&mut open, &mut plain] {
        assert_alive(stream, b"something to show");
    }
    let closed = cluster.server.listen(0).unwrap().local_addr().unwrap().port();
    for pod in [&cluster.client, &cluster.neighbour] {
        assert_reset(pod, (cluster.server.ip4(), closed));
    }
    exchange(&cluster.client, (cluster.server.ip4(), ECHO), b"and one that ends well");
    for node in [&cluster.one, &cluster.two] {
        listed(lab, node, "refusals?limit=9", 2);
        let said = try_all(lab, node);
        assert!(said.is_ok(), "{}", said.unwrap_err());
    }
}

/// Has Schemathesis try everything the description of a node says.
fn try_all(lab: &Lab, node: &Node) -> Result<String, String> {
    let program = installed("schemathesis");
    let program = program.to_str().unwrap();
    let wanted = "run http://127.0.0.1:15000/v1/openapi.json --no-color --checks all --phases examples,coverage,fuzzing,stateful \
         --max-examples 5 --seed 7 --generation-database none --request-timeout 5 --warnings off";
    // It leaves what it has found where it runs.
    let directory = lab.directory().display().to_string();
    let own = ["env", "-C", &directory, program];
    let words: Vec<&str> = own.into_iter().chain(wanted.split_whitespace()).collect();
    command::run_long_in(node.netns(), 120, &words)
}
