//! Who may ask, how many at once, and what becomes of nonsense.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use super::*;

#[tokio::test]
async fn reasons_of_any_length_are_cut_in_answers_and_in_the_list() {
    let netns = Netns::create().unwrap();
    let agent = Agent::start(Some(shop(true)));
    let answer = agent.asking("add", &request(&netns));
    agent.until_handed("u").await;
    agent.post(quarantined(&"long ".repeat(1 << 20)), Some(netns.id()), 0);
    let (_, refusal) = soon(answer).await.unwrap();
    let (_, pods) = ask(agent.socket(), "GET", "/v1/pods", String::new()).await;
    for text in [reason(&refusal), reason(&pods[0])] {
        assert!(text.starts_with("long long") && text.len() < 3000, "{} bytes", text.len());
    }
}

#[tokio::test]
async fn names_that_are_none_are_refused() {
    let netns = Netns::create().unwrap();
    let agent = Agent::start(Some(shop(true)));
    for (field, value) in
        [("podName", "../x"), ("podNamespace", "shop?a=b"), ("containerId", ""), ("ifname", "a b")]
    {
        let mut request = request(&netns);
        request[field] = json!(value);
        let (status, answer) = agent.ask("add", &request).await;
        assert_eq!(status, 400, "{field}");
        assert!(reason(&answer).contains("cannot be right"), "{answer}");
    }
}

#[tokio::test]
async fn nonsense_is_refused_and_does_no_harm() {
    let agent = Agent::start(Some(shop(true)));
    let huge = json!({ "containerId": "x".repeat(100_000) }).to_string();
    for body in ["", "{", "[]", "{}", huge.as_str()] {
        let (status, answer) = ask(agent.socket(), "POST", "/v1/cni/add", body.to_owned()).await;
        assert_eq!((status, &answer["ready"]), (400, &json!(true)), "{answer}");
    }
    assert_eq!(ask(agent.socket(), "GET", "/v1/cni/add", String::new()).await.0, 405);
    assert_eq!(ask(agent.socket(), "GET", "/v1/nothing", String::new()).await.0, 404);
}

#[tokio::test]
async fn too_many_at_once_are_sent_away_and_hear_hello_all_the_same() {
    let netns = Netns::create().unwrap();
    let patience = Patience { find: Duration::from_secs(600), ..Patience::default() };
    let agent = Agent::launch(None, patience);
    let waiting: Vec<_> = (0..MOST_REQUESTS).map(|_| agent.asking("add", &request(&netns))).collect();
    let refused = async {
        loop {
            let (_, answer) = agent.ask("check", &request(&netns)).await;
            if reason(&answer).contains("requests") {
                return answer;
            }
        }
    };
    let answer = soon(refused).await;
    assert!(reason(&answer).contains("256 requests"), "{answer}");
    assert_eq!(agent.ask("del", &request(&netns)).await.0, 200, "what is gone is gone");
    assert_eq!(ask(agent.socket(), "GET", "/v1/hello", String::new()).await.0, 200);
    agent.views.send_replace(Some(Arc::new(shop(false))));
    for answer in waiting {
        assert_eq!(soon(answer).await.unwrap().0, 200);
    }
    assert_eq!(agent.ask("check", &request(&netns)).await.0, 200);
}

#[tokio::test]
async fn requests_are_counted_by_command_and_result() {
    let recorder = culvert_metrics::Metrics::new(culvert_metrics::Settings::default());
    // All of the agent runs on this thread.
    let _guard = metrics::set_default_local_recorder(&recorder);
    let netns = Netns::create().unwrap();
    let agent = Agent::start(Some(shop(false)));
    agent.ask("add", &request(&netns)).await;
    agent.ask("add", &json!(7)).await;
    agent.ask("del", &request(&netns)).await;
    agent.views.send_replace(Some(Arc::new(shop(true))));
    agent.ask("check", &request(&netns)).await;
    agent.views.send_replace(None);
    agent.ask("check", &request(&netns)).await;
    let text = recorder.text();
    for (command, result) in [
        ("add", "passed"),
        ("add", "invalid"),
        ("del", "passed"),
        ("check", "refused"),
        ("check", "not_ready"),
    ] {
        let line = format!("culvert_agent_cni_requests_total{{command=\"{command}\",result=\"{result}\"}} 1");
        assert!(text.contains(&line), "{line}: {text}");
    }
    assert!(text.contains("culvert_agent_cni_request_duration_seconds_count{command=\"add\"} 2"), "{text}");
}

#[tokio::test]
async fn only_root_may_call() {
    let agent = Agent::start(Some(shop(false)));
    let metadata = fs::metadata(agent.socket()).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    // Whatever becomes of the file's mode.
    fs::set_permissions(agent.socket(), fs::Permissions::from_mode(0o666)).unwrap();
    let call = |uid: u32| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--max-time", "20", "--unix-socket"]).arg(agent.socket());
        curl.arg("http://agent/v1/pods").uid(uid).stderr(Stdio::null());
        tokio::task::spawn_blocking(move || curl.output().unwrap().status.success())
    };
    assert!(soon(call(0)).await.unwrap());
    assert!(!soon(call(65534)).await.unwrap());
}

#[tokio::test]
async fn a_living_agents_socket_is_not_taken_and_a_dead_ones_is() {
    let scratch = Scratch::new();
    let path = scratch.join("agent.sock");
    let first = bind(&path).unwrap();
    let error = bind(&path).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    // What is left of an agent that was killed.
    std::mem::forget(first);
    let stale = scratch.join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    assert!(stale.exists());
    drop(bind(&stale).unwrap());
    assert!(!stale.exists());
    scratch.write("file", "precious");
    assert!(matches!(bind(&scratch.join("file")), Err(Error::Listen { .. })));
    assert_eq!(scratch.read("file"), "precious");
}
