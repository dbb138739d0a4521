//! Pods the agent has not heard of.

use super::*;

#[tokio::test]
async fn a_pod_is_waited_for_until_the_cluster_tells_of_it() {
    let netns = Netns::create().unwrap();
    let agent = Agent::start(None);
    let answer = agent.asking("add", &request(&netns));
    // A pod of the same name that is not this one.
    agent.views.send_replace(Some(Arc::new(view(&[("shop", true)], [pod("older", "shop/web", false)]))));
    assert_eq!(agent.ask("check", &request(&netns)).await.0, 503);
    assert!(!answer.is_finished());
    agent.views.send_replace(Some(Arc::new(shop(true))));
    assert_eq!(agent.until_handed("u").await, netns.id());
    agent.post(State::Enrolled, Some(netns.id()), 1);
    assert_eq!(soon(answer).await.unwrap().0, 200);
}

#[tokio::test]
async fn an_unknown_pod_starts_only_where_nothing_is_in_the_mesh() {
    let netns = Netns::create().unwrap();
    let agent = Agent::impatient(Some(view(
        &[("shop", true), ("tools", false), ("idle", false)],
        [pod("t", "tools/one", true)],
    )));
    let start = Instant::now();
    let ask = |namespace: &str| {
        let mut request = request(&netns);
        request["podNamespace"] = json!(namespace);
        agent.asking("add", &request)
    };
    let answers = ["shop", "tools", "unheard-of", "idle"].map(|namespace| (namespace, ask(namespace)));
    for (namespace, answer) in answers {
        let (status, answer) = soon(answer).await.unwrap();
        if namespace == "idle" {
            assert_eq!((status, &answer["enrolled"]), (200, &json!(false)));
            assert!(answer["note"].as_str().unwrap().contains("not heard"), "{answer}");
        } else {
            assert_eq!((status, &answer["ready"]), (503, &json!(true)), "{namespace}");
            assert!(reason(&answer).contains("not heard"), "{answer}");
        }
    }
    assert!(start.elapsed() >= IMPATIENT.find, "the cluster may be late");
    assert_eq!(*agent.registry.asked.lock().unwrap(), ["idle/web"], "nothing else would help the others");
}

#[tokio::test]
async fn an_unknown_pod_passes_only_when_nobody_can_be_asked_for_it() {
    let netns = Netns::create().unwrap();
    let refused = Presence::Refused("forbidden".to_owned());
    let cases = [
        (Presence::There, "watches are behind"),
        (Presence::Absent, "none of that name"),
        (refused, "forbidden"),
    ];
    let answers = cases.map(|(says, hint)| {
        let agent = Agent::impatient(Some(view(&[("shop", false)], [])));
        *agent.registry.says.lock().unwrap() = Some(says);
        let answer = agent.asking("add", &request(&netns));
        (agent, answer, hint)
    });
    for (agent, answer, hint) in answers {
        let (status, answer) = soon(answer).await.unwrap();
        assert_eq!((status, &answer["ready"]), (503, &json!(true)), "{answer}");
        assert!(reason(&answer).contains(hint), "{hint}: {answer}");
        assert_eq!(*agent.registry.asked.lock().unwrap(), ["shop/web"]);
    }
}

#[tokio::test]
async fn a_pod_that_is_heard_of_while_the_api_server_is_asked_is_taken_into_the_mesh() {
    #[derive(Debug)]
    struct Late(watch::Sender<Option<Arc<View>>>);

    impl Registry for Late {
        fn presence<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Presence> {
            self.0.send_replace(Some(Arc::new(shop(true))));
            Box::pin(std::future::ready(Presence::Silence("no route to host".to_owned())))
        }
    }

    let netns = Netns::create().unwrap();
    let (views, boards) =
        (watch::channel(Some(Arc::new(view(&[("shop", false)], [])))).0, watch::channel(Arc::default()).0);
    let sources = Sources {
        views: views.subscribe(),
        registry: Arc::new(Late(views)),
        boards: boards.subscribe(),
        handed: Handed::default(),
        host: Host::find(Path::new("/proc")).unwrap(),
        host_prefix: PathBuf::new(),
        patience: Patience { enrol: Duration::from_secs(20), ..IMPATIENT },
    };
    let mut changes = sources.handed.changes();
    let scratch = Scratch::new();
    let socket = scratch.join("agent.sock");
    let _task = tokio::spawn(serve(bind(&socket).unwrap(), sources));
    tokio::spawn(ask(socket, "POST", "/v1/cni/add", request(&netns).to_string()));
    soon(changes.wait_for(|all| all.contains_key("u"))).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_knows_nothing_says_so() {
    let netns = Netns::create().unwrap();
    let agent = Agent::impatient(None);
    for what in ["add", "check"] {
        let (status, answer) = agent.ask(what, &request(&netns)).await;
        assert_eq!((status, &answer["ready"]), (503, &json!(false)), "{what}: {answer}");
    }
    assert_eq!(ask(agent.socket(), "GET", "/v1/hello", String::new()).await.0, 200);
}

#[tokio::test]
async fn a_static_pod_starts_though_the_runtime_knows_it_by_another_uid() {
    let netns = Netns::create().unwrap();
    let (_, web) = pod("u", "shop/web", true);
    let mut request = request(&netns);
    request["podUid"] = json!("7d0f0e4e");
    for (wish, status) in [(Wish::Pass(Why::Static), 200), (web.wish.clone(), 503)] {
        let pod = PodView { wish, ..PodView::clone(&web) };
        let agent = Agent::impatient(Some(view(&[("shop", true)], [("u".into(), Arc::new(pod))])));
        assert_eq!(agent.ask("add", &request).await.0, status);
    }
}
