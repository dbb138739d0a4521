use super::*;

const GOOD: &str = "\
pods:
  - uid: 7d0f0e4e
    name: client-1
    namespace: default
    serviceAccount: client
    netns: /run/netns/client
  - uid: 81a4
    name: server-1
    namespace: default
    serviceAccount: server
    pid: 4711
";

fn read(text: &str) -> Result<Desired, String> {
    parse(Path::new("/etc/pods.yaml"), text, &Arc::default()).map_err(|error| Chain(&error).to_string())
}

/// The good file with its first pod changed, and what is said about it.
fn check(from: &str, to: &str, sentence: &str) {
    assert!(GOOD.contains(from), "{from}");
    assert_eq!(read(&GOOD.replacen(from, to, 1)).unwrap_err(), sentence, "{from} -> {to}");
}

#[test]
fn a_good_file_is_read_in_its_order() {
    let pods = read(GOOD).unwrap();
    let [client, server] = &pods.pods[..] else { panic!("{pods:?}") };
    assert_eq!(client.uid, "7d0f0e4e".into());
    assert_eq!(client.workload.to_string(), "default/client-1");
    assert_eq!(client.workload.service_account, "client");
    assert_eq!(client.netns, NetnsSource::Path("/run/netns/client".into()));
    assert_eq!(server.netns, NetnsSource::Process(4711));
}

#[test]
fn ports_that_kubelet_probes_are_the_pods_own() {
    let with = |ports: &str| GOOD.replacen("pid: 4711", &format!("pid: 4711\n    probePorts: {ports}"), 1);
    let pods = read(&with("[8080, 65535, 8080]")).unwrap();
    let [client, server] = &pods.pods[..] else { panic!("{pods:?}") };
    assert_eq!(server.capture.probe_ports, [8080, 65_535].into());
    assert!(client.capture.probe_ports.is_empty());
    assert_eq!(server.capture.rules, client.capture.rules);
    let ports = |count: u16| (1..=count).map(|port| port.to_string()).collect::<Vec<_>>().join(", ");
    assert_eq!(read(&with(&format!("[{}]", ports(32)))).unwrap().pods.len(), 2);
    let complaint = read(&with(&format!("[{}]", ports(33)))).unwrap_err();
    let expected =
        "/etc/pods.yaml:7: pod `server-1`: probePorts has more than 32 ports; name those kubelet probes";
    assert_eq!(complaint, expected);
    assert!(read(&with("[70000]")).unwrap_err().contains("`70000` in probePorts is no port"));
}

#[test]
fn annotations_say_what_of_a_pod_is_captured_as_they_do_in_kubernetes() {
    let with = |annotations: &str| {
        GOOD.replacen("pid: 4711", &format!("pid: 4711\n    annotations: {{{annotations}}}"), 1)
    };
    let pods = read(&with(
        "culvert.dev/exclude-outbound-ports: '5432, 80-81', ambient.istio.io/dns-capture: 'true'",
    ));
    let pods = pods.unwrap();
    let [client, server] = &pods.pods[..] else { panic!("{pods:?}") };
    let rules = &server.capture.rules;
    assert_eq!((rules.dns, &rules.passed.outbound_ports), (true, &[80, 81, 5432].into()));
    assert_eq!(*client.capture, Capture::default());
    let wrong = read(&with("culvert.dev/exclude-inbound-ports: '0'")).unwrap_err();
    assert!(
        wrong.starts_with("/etc/pods.yaml:7: pod `server-1`: the annotation culvert.dev/exclude-"),
        "{wrong}"
    );
    let long = format!("culvert.dev/exclude-outbound-ports: '{}'", "80,".repeat(2000));
    let long = read(&with(&long)).unwrap_err();
    assert!(long.contains("it is longer than 4096 bytes; shorten it") && long.len() < 400, "{long}");
    let unknown = read(&with("culvert.dev/exclude-ports: '1'")).unwrap_err();
    assert!(unknown.contains("the annotation `culvert.dev/exclude-ports` is unknown"), "{unknown}");
}

#[test]
fn no_pods_are_fine_when_said_so() {
    assert_eq!(read("pods: []\n").unwrap().pods.len(), 0);
}

#[test]
fn bad_values_are_told_with_place_pod_reason_and_cure() {
    let of_client = |rest: &str| format!("/etc/pods.yaml:2: pod `client-1`: {rest}");
    for (from, to, rest) in [
        ("uid: 7d0f0e4e", "uid: ''", "uid is empty; give it a value"),
        ("namespace: default", "namespace: ''", "namespace is empty; give it a value"),
        ("serviceAccount: client", "serviceAccount: ''", "serviceAccount is empty; give it a value"),
        ("netns: /run/netns/client", "netns: ''", "netns is empty; give it a value"),
        (
            "    netns: /run/netns/client\n",
            "",
            "neither netns nor pid is given; say where its network namespace is with one of them",
        ),
        (
            "netns: /run/netns/client",
            "{netns: /a, pid: 1}",
            "netns and pid are both given; remove one of them",
        ),
        (
            "netns: /run/netns/client",
            "netns: client",
            "netns `client` is not an absolute path; write it from the root, like /run/netns/web",
        ),
        (
            "netns: /run/netns/client",
            "pid: 0",
            "pid 0 is no process; write the number of a process of the pod",
        ),
        (
            "netns: /run/netns/client",
            "{netns: /a, probePorts: [0]}",
            "`0` in probePorts is no port; write numbers from 1 to 65535",
        ),
        (
            "netns: /run/netns/client",
            "{netns: /a, probePorts: [http]}",
            "`http` in probePorts is no port; write numbers from 1 to 65535",
        ),
        ("namespace: default", "namespace: a/b", "namespace contains `/`; use the name Kubernetes knows"),
    ] {
        let to = to
            .strip_prefix('{')
            .and_then(|to| to.strip_suffix('}'))
            .map_or(to.into(), |to| to.replace(", ", "\n    "));
        check(from, &to, &of_client(rest));
    }
    check("name: client-1", "name: ''", "/etc/pods.yaml:2: pod `7d0f0e4e`: name is empty; give it a value");
    check(
        "uid: 81a4",
        "uid: 7d0f0e4e",
        "/etc/pods.yaml:7: pod `server-1`: uid `7d0f0e4e` is already used on line 2; give each pod its own uid",
    );
}

#[test]
fn names_are_held_to_the_lengths_of_kubernetes() {
    for (from, field, limit) in [
        ("uid: 7d0f0e4e", "uid", 253),
        ("name: client-1", "name", 253),
        ("namespace: default", "namespace", 63),
        ("serviceAccount: client", "serviceAccount", 253),
    ] {
        let with = |length| GOOD.replacen(from, &format!("{field}: {}", "x".repeat(length)), 1);
        read(&with(limit)).unwrap();
        let error = read(&with(limit + 1)).unwrap_err();
        let sentence = format!("{field} is longer than the {limit} bytes Kubernetes allows; shorten it");
        assert!(error.ends_with(&sentence) && error.len() < 250, "{error}");
    }
}

#[test]
fn what_is_not_a_pods_file_is_told_with_its_line() {
    for (text, place, hint) in [
        (GOOD.replacen("netns:", "netnss:", 1).as_str(), 6, "netnss"),
        // The YAML library names the last line of the pod that lacks something.
        (GOOD.replacen("    name: client-1\n", "", 1).as_str(), 5, "missing field `name`"),
        (
            GOOD.replacen("pid: 4711", "pid: many", 1).as_str(),
            11,
            "pid `many` is not the number of a process",
        ),
        (GOOD.replacen("pods:", "pots:", 1).as_str(), 1, "pots"),
        ("", 1, ""),
        ("pods: [", 1, ""),
        ("just a text", 1, ""),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.starts_with(&format!("/etc/pods.yaml:{place}: ")), "{text}\n{error}");
        assert!(error.ends_with("; correct the file") && error.contains(hint), "{text}\n{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn a_bad_version_is_rejected_whole_and_the_pods_in_force_stay() {
    let file = Path::new("/etc/pods.yaml");
    let (desired, seen) = watch::channel(read(GOOD).unwrap());
    reload(file, Ok(GOOD.replacen("uid: 81a4", "uid: ''", 1)), &Arc::default(), &desired);
    reload(file, Err(io::ErrorKind::NotFound.into()), &Arc::default(), &desired);
    assert!(!seen.has_changed().unwrap());
    reload(file, Ok("pods: []".into()), &Arc::default(), &desired);
    assert!(seen.has_changed().unwrap());
    assert_eq!(seen.borrow().pods.len(), 0);
}

#[tokio::test]
async fn a_changed_file_is_read_again() {
    let path = std::env::temp_dir().join(format!("culvert-agent-pods-{}", std::process::id()));
    std::fs::write(&path, GOOD).unwrap();
    let (follower, text) = Follower::open(&path).unwrap();
    let (desired, mut seen) = watch::channel(read(&text).unwrap());
    let following = tokio::spawn(async move { follow(follower, &Arc::default(), desired).await });
    std::fs::write(&path, "pods: []").unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(10), seen.changed()).await.unwrap().unwrap();
    assert_eq!(seen.borrow().pods.len(), 0);
    following.abort();
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn nothing_is_too_deep_for_a_thread_of_tokio() {
    let refuse = || {
        for depth in [10, 50, 63, 100, 10_000] {
            for deep in ["[".repeat(depth), "{a: ".repeat(depth), format!("\n{}1", "- ".repeat(depth))] {
                for text in [deep.clone(), format!("pods: {deep}"), format!("pods: [{{annotations: {deep}")] {
                    assert!(read(&text).unwrap_err().starts_with("/etc/pods.yaml:"));
                }
            }
        }
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(refuse).unwrap().join().unwrap();
}
