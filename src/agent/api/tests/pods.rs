//! The list of pods.

use ebpf_free_iptables::{Options, Passed};

use super::*;
use crate::cluster::{PodView, Why, Wish};
use crate::pod::Capture;

async fn list(agent: &Agent) -> Value {
    let (status, pods) = ask(agent.socket(), "GET", "/v1/pods", String::new()).await;
    assert_eq!(status, 200);
    pods
}

#[tokio::test]
async fn pods_in_the_mesh_are_listed_with_all_that_is_known_of_them() {
    let netns = Netns::create().unwrap();
    let capture = Capture {
        rules: Options {
            dns: true,
            inbound: false,
            virtual_interfaces: vec!["br0".into()],
            passed: Passed {
                outbound_ports: [5432].into(),
                inbound_ports: [9090].into(),
                outbound_networks: ["10.9.0.0/16".parse().unwrap()].into(),
            },
            ..Options::default()
        },
        probe_ports: [8080].into(),
    };
    let mut cluster = shop(true);
    let known = Arc::unwrap_or_clone(cluster.pods.remove("u").unwrap());
    let known = PodView { complaints: vec!["annotation x is odd".into()], ..known };
    cluster.pods.insert("u".into(), Arc::new(known));
    let agent = Agent::start(Some(cluster));
    let since = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let posted = status(State::Enrolled, Some(netns.id()), 2);
    let posted = Status { capture: Arc::new(capture), since, repairs: 3, ..posted };
    agent.boards.send_replace(Arc::new([(Uid::from("u"), Arc::new(posted))].into()));
    let wanted = json!([{
        "uid": "u", "namespace": "shop", "name": "web", "serviceAccount": "web", "state": "enrolled", "reason": null,
        "since": "2023-11-14T22:13:20Z", "netns": netns.id().to_string(), "nodes": 2, "repairs": 3,
        "capture": {
            "dns": true, "inbound": false, "virtualInterfaces": ["br0"], "excludeOutboundPorts": [5432],
            "excludeInboundPorts": [9090], "excludeOutboundCidrs": ["10.9.0.0/16"], "probePorts": [8080],
        },
        "complaints": ["annotation x is odd"],
    }]);
    assert_eq!(list(&agent).await, wanted);
}

#[tokio::test]
async fn states_and_reasons_are_what_the_enrolment_says() {
    let agent = Agent::start(Some(shop(true)));
    let listed = async |agent: &Agent| {
        let pods = list(agent).await;
        (pods[0]["state"].as_str().unwrap().to_owned(), pods[0]["reason"].as_str().map(ToOwned::to_owned))
    };
    assert_eq!(listed(&agent).await, ("awaited".into(), None));
    for (state, nodes, name, reason) in [
        (State::Awaited, 0, "awaited", None),
        (State::Programming, 0, "programming", None),
        (State::Enrolled, 1, "enrolled", None),
        (State::Enrolled, 0, "enrolled", Some("no node serves it")),
        (State::Impaired { reason: "broken".into() }, 1, "impaired", Some("broken")),
        (quarantined("worse"), 0, "quarantined", Some("worse")),
        (State::Leaving, 1, "leaving", None),
    ] {
        agent.post(state, None, nodes);
        let (found, said) = listed(&agent).await;
        assert_eq!((found.as_str(), said.is_some()), (name, reason.is_some()));
        assert!(said.unwrap_or_default().contains(reason.unwrap_or_default()));
    }
}

#[tokio::test]
async fn pods_that_pass_are_listed_with_the_reason_and_pods_that_are_gone_until_they_are_let_go() {
    let whys = [
        (Why::ExcludedNamespace, "excluded"),
        (Why::HostNetwork, "host's network"),
        (Why::Sidecar, "proxy of its own"),
        (Why::OptedOut, "keeps it out"),
        (Why::NotLabelled, "labelled"),
        (Why::Finished, "ended"),
    ];
    let mut cluster = view(&[("shop", false)], []);
    for (index, (why, _)) in whys.iter().enumerate() {
        let (uid, pod) = pod(&format!("p{index}"), "shop/x", false);
        let pod = PodView { wish: Wish::Pass(*why), ..Arc::unwrap_or_clone(pod) };
        cluster.pods.insert(uid, Arc::new(pod));
    }
    let agent = Agent::start(Some(cluster));
    agent.post(State::Leaving, None, 1);
    let pods = list(&agent).await;
    for (index, (_, hint)) in whys.iter().enumerate() {
        let pod = &pods[index];
        assert_eq!((&pod["uid"], &pod["state"]), (&json!(format!("p{index}")), &json!("passed")));
        assert!(pod["reason"].as_str().unwrap().contains(hint), "{pod}");
        assert_eq!((&pod["capture"], &pod["since"]), (&Value::Null, &Value::Null));
    }
    assert_eq!((&pods[6]["uid"], &pods[6]["state"]), (&json!("u"), &json!("leaving")));
}
